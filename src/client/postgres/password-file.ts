/** `.pgpass`: passwords by host, port, database and user, one a line, as libpq reads it. https://www.postgresql.org/docs/18/libpq-pgpass.html */
import { readFileSync, statSync, type Stats } from 'node:fs';
import { messageOf, systemCode } from '../../base/errors.ts';
import { Secret } from '../../base/secret.ts';

export interface PasswordQuestion {
  /** The folder of a Unix socket, else a name or an address. */
  readonly host: string;
  readonly port: number;
  readonly user: string;
  /** Any of them will do: a replication connection answers to `replication` too. */
  readonly databases: readonly string[];
}

/** The password, or a clause why this file has none: `/root/.pgpass has no line for …`. `exposed`: others could read it, so it was not used. `file` names file and line. */
export type PasswordAnswer = { readonly password: Secret; readonly file?: string } | { readonly because: string; readonly exposed?: boolean };

/** Sockets in the folders where servers put them are `localhost` in the file; others are named by their folder. */
const SOCKET_FOLDERS: ReadonlySet<string> = new Set(['/tmp', '/var/run/postgresql', '/run/postgresql']);

/** Never throws: a file that cannot be used is a reason. One that group or others may read is not used, as libpq does not. */
export function askPasswordFile(path: string, question: PasswordQuestion): PasswordAnswer {
  let text: string;
  try {
    const stats: Stats = statSync(path);
    if (!stats.isFile()) return { because: `${path} is no plain file` };
    if ((stats.mode & 0o077) !== 0) return { because: `${path} is not used, because others may read it (mode ${(stats.mode & 0o777).toString(8).padStart(4, '0')})`, exposed: true };
    text = readFileSync(path, 'utf8');
  } catch (error) {
    return { because: systemCode(error) === 'ENOENT' ? `there is no ${path}` : `${path} cannot be read (${messageOf(error)})` };
  }
  const { host, port, user, databases } = question;
  const hosts = SOCKET_FOLDERS.has(host) ? ['localhost', host] : [host];
  for (const [index, line] of text.split('\n').entries()) {
    if (line.startsWith('#')) continue;
    const [lineHost, linePort, lineDatabase, lineUser, password] = fieldsOf(line.replace(/\r$/, ''));
    if (password === undefined) continue;
    const fits = matches(lineHost, hosts) && matches(linePort, [String(port)]) && matches(lineDatabase, databases) && matches(lineUser, [user]);
    if (fits) return { password: new Secret(password), file: `${path}:${index + 1}` };
  }
  return { because: `${path} has no line for ${hosts[0]}:${port}:${databases[0]}:${user}` };
}

/** Four fields and the password, which is the rest. `\:` and `\\` are a colon and a backslash; a bare `*` stays apart from an escaped one. */
function fieldsOf(line: string): string[] {
  const fields: string[] = [];
  let field = '';
  for (let at = 0; at < line.length; at++) {
    const letter = line.charAt(at);
    if (letter === '\\' && at + 1 < line.length) field += line.charAt(++at) === '*' ? String.raw`\*` : line.charAt(at);
    else if (letter === ':' && fields.length < 4) {
      fields.push(field);
      field = '';
    } else field += letter;
  }
  return fields.length < 4 ? [] : [...fields, field.replaceAll(String.raw`\*`, '*')];
}

function matches(field: string | undefined, values: readonly string[]): boolean {
  return field === '*' || (field !== undefined && values.includes(field.replaceAll(String.raw`\*`, '*')));
}
