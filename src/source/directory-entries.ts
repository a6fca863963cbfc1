/** Folders of the local file system as entries: names as bytes, everything that `lstat` says, extended attributes. */
import * as fs from 'node:fs';
import type { Accounts } from '../base/accounts.ts';
import { messageOf, systemCode } from '../base/errors.ts';
import { extendedAttributes, statusOf, type FileStatus } from '../base/posix.ts';
import { fromText, joinRaw, toFsPath, toText, type RawName } from '../base/raw-name.ts';
import type { DirectoryEntry, Entry, Metadata, Problem } from '../repository/entry.ts';

const TYPE = 0o170000;
const SPECIAL: ReadonlyMap<number, 'fifo' | 'socket' | 'dev' | 'chardev'> = new Map([
  [0o010000, 'fifo'], [0o140000, 'socket'], [0o060000, 'dev'], [0o020000, 'chardev'],
]);

const DEVICES: readonly number[] = [0o060000, 0o020000];

export interface Walk {
  readonly accounts: Accounts;
  problem(problem: Problem): void;
  /** True for paths that the user has excluded. */
  isExcluded(path: RawName): boolean;
}

/** The children of a folder; those that vanish meanwhile or cannot be looked at are reported and left out. */
export function readFolder(walk: Walk, folder: RawName): readonly Entry[] {
  const entries: Entry[] = [];
  for (const name of namesIn(walk, folder)) {
    const path = joinRaw(folder, name);
    if (walk.isExcluded(path)) continue;
    try {
      entries.push(entryAt(walk, path, name));
    } catch (error) {
      walk.problem(problemOf(path, error));
    }
  }
  return entries;
}

function namesIn(walk: Walk, folder: RawName): readonly RawName[] {
  try {
    return fs.readdirSync(toFsPath(folder), { encoding: 'latin1' });
  } catch (error) {
    walk.problem(problemOf(folder, error));
    return [];
  }
}

function entryAt(walk: Walk, path: RawName, name: RawName): Entry {
  const stats = statusOf(path);
  const kind = stats.mode & TYPE;
  const metadata = metadataOf(walk, path, stats);
  if (kind === 0o100000) return { type: 'file', name, metadata, content: { from: 'path', path } };
  if (kind === 0o040000) return { type: 'dir', name, metadata, children: () => Promise.resolve(readFolder(walk, path)) };
  if (kind === 0o120000) return { type: 'symlink', name, metadata, target: fs.readlinkSync(toFsPath(path), 'latin1') };
  const special = SPECIAL.get(kind);
  if (special === undefined) throw new Error(`has the unknown type ${kind.toString(8)}`);
  return { type: special, name, metadata };
}

function metadataOf(walk: Walk, path: RawName, stats: FileStatus): Metadata {
  const { mode, uid, gid, mtimeNs, ctimeNs, inode, deviceId, links, size, device } = stats;
  const attributes = attributesOf(walk, path);
  return {
    mode, uid, gid, user: walk.accounts.userName(uid), group: walk.accounts.groupName(gid), mtimeNs,
    // As restic does by default: a backup that recorded every access would never find a folder unchanged.
    atimeNs: mtimeNs,
    ctimeNs, inode, deviceId, links, size,
    ...(DEVICES.includes(mode & TYPE) ? { device } : {}),
    ...(attributes.length > 0 ? { attributes } : {}),
  };
}

function attributesOf(walk: Walk, path: RawName): ReturnType<typeof extendedAttributes> {
  try {
    return extendedAttributes(path);
  } catch (error) {
    walk.problem({ subject: toText(path), kind: 'left-out', message: `its extended attributes cannot be read: ${messageOf(error)}` });
    return [];
  }
}

function problemOf(path: RawName, error: unknown): Problem {
  const vanished = ['ENOENT', 'ENOTDIR'].includes(systemCode(error) ?? '');
  const message = vanished ? 'was gone before it could be read' : `cannot be read: ${messageOf(error)}`;
  return { subject: toText(path), kind: vanished ? 'vanished' : 'unreadable', message };
}

/** The folders from the root of the file system down to `path`, each with one child, as restic's trees begin. */
export function rootedAt(walk: Walk, path: string): DirectoryEntry {
  const names = path.split('/').filter((name) => name !== '');
  return ancestor(walk, '/', names.map(fromText));
}

function ancestor(walk: Walk, path: RawName, below: readonly RawName[]): DirectoryEntry {
  const [next, ...rest] = below;
  const name = path.slice(path.lastIndexOf('/') + 1);
  const metadata = metadataOf(walk, path, statusOf(path, 'follow'));
  const children = next === undefined ? () => readFolder(walk, path) : () => [ancestor(walk, joinRaw(path, next), rest)];
  return { type: 'dir', name, metadata, children: () => Promise.resolve(children()) };
}
