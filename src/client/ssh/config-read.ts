/** Reads `ssh_config` files and what they include. */
import * as fs from 'node:fs/promises';
import * as path from 'node:path';
import { HoldfastError, messageOf, systemCode } from '../../base/errors.ts';
import { parseConfig, type ConfigLine } from './config-file.ts';
import type { LocalFacts } from './token.ts';

export const SYSTEM_CONFIG = '/etc/ssh/ssh_config';

/** As deep as OpenSSH goes. */
const MOST_INCLUDES = 16;

/**
 * The lines that count for this user: those of `file` when one is named, and no others; else those of `~/.ssh/config` and
 * then of the system. Throws `config` when a file is named and cannot be read.
 */
export async function readSshConfig(file: string | undefined, local: LocalFacts): Promise<readonly ConfigLine[]> {
  if (file !== undefined) return await readLines(file, { local, folder: path.join(local.home, '.ssh'), depth: 0, mustExist: true });
  const user = path.join(local.home, '.ssh/config');
  await refuseForeign(user, local.uid);
  return [
    ...(await readLines(user, { local, folder: path.join(local.home, '.ssh'), depth: 0, mustExist: false })),
    // Lines after a Host block of the user's file would belong to it, were the files one.
    { keyword: 'host', args: ['*'], rest: '*', at: SYSTEM_CONFIG, included: [] },
    ...(await readLines(SYSTEM_CONFIG, { local, folder: path.dirname(SYSTEM_CONFIG), depth: 0, mustExist: false })),
  ];
}

interface Reading {
  readonly local: LocalFacts;
  /** Where relative paths of Include begin. */
  readonly folder: string;
  readonly depth: number;
  readonly mustExist: boolean;
}

async function readLines(file: string, reading: Reading): Promise<readonly ConfigLine[]> {
  const text = await readText(file, reading.mustExist);
  const lines: ConfigLine[] = [];
  for (const line of text === undefined ? [] : parseConfig(text, file)) {
    lines.push(line.keyword === 'include' ? { ...line, included: await includedBy(line, reading) } : line);
  }
  return lines;
}

async function includedBy(line: ConfigLine, reading: Reading): Promise<readonly ConfigLine[]> {
  if (reading.depth >= MOST_INCLUDES) throw new HoldfastError('config', `${line.at}: files include each other without end`, { hint: 'Take one of the Include lines out.' });
  const lines: ConfigLine[] = [];
  for (const arg of line.args) {
    const home = arg.startsWith('~/') ? path.join(reading.local.home, arg.slice(2)) : arg;
    const pattern = path.resolve(reading.folder, home);
    for (const file of await filesOf(pattern)) {
      // Each file begins outside of any block but that of the Include.
      const included = await readLines(file, { ...reading, depth: reading.depth + 1, mustExist: false });
      lines.push({ keyword: 'include', args: [file], rest: file, at: line.at, included });
    }
  }
  return lines;
}

async function filesOf(pattern: string): Promise<readonly string[]> {
  if (!/[*?[]/.test(pattern)) return [pattern];
  const files: string[] = [];
  for await (const file of fs.glob(pattern)) files.push(file);
  return files.sort();
}

async function readText(file: string, mustExist: boolean): Promise<string | undefined> {
  try {
    return await fs.readFile(file, 'utf8');
  } catch (error) {
    if (!mustExist && ['ENOENT', 'ENOTDIR'].includes(systemCode(error) ?? '')) return undefined;
    throw new HoldfastError('config', `the SSH configuration ${file} cannot be read: ${systemCode(error) === 'ENOENT' ? 'there is no such file' : messageOf(error)}`, { hint: 'Check the path, and as whom this runs.', cause: error });
  }
}

/** A file that others can write could send us anywhere; OpenSSH does not take it either. */
async function refuseForeign(file: string, uid: number): Promise<void> {
  const stat = await fs.stat(file).catch(() => undefined);
  if (stat === undefined || (((stat.uid === uid || stat.uid === 0)) && (stat.mode & 0o022) === 0)) return;
  throw new HoldfastError('config', `the SSH configuration ${file} belongs to somebody else, or others can write it`, { hint: `Run: chmod go-w ${file}` });
}
