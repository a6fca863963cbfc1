/** Names of users and groups of this host, from its passwd and group files. */
import * as fs from 'node:fs';

export interface AccountNames {
  user(uid: number): string | undefined;
  group(gid: number): string | undefined;
}

function namesByNumber(file: string): ReadonlyMap<number, string> {
  const names = new Map<number, string>();
  let text = '';
  try {
    text = fs.readFileSync(file, 'utf8');
  } catch {
    // A container image without such a file has numbers only; that is what is recorded then.
    return names;
  }
  for (const line of text.split('\n')) {
    const [name, , number] = line.split(':');
    const id = Number.parseInt(number ?? '', 10);
    if (name && !Number.isNaN(id) && !names.has(id)) names.set(id, name);
  }
  return names;
}

export function localAccounts(): AccountNames {
  const users = namesByNumber('/etc/passwd');
  const groups = namesByNumber('/etc/group');
  return { user: (uid) => users.get(uid), group: (gid) => groups.get(gid) };
}
