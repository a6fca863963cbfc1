/** Files and folders that a capture makes up: what the tree of a database's snapshot consists of. */
import type { Clock } from '../../../base/clock.ts';
import { fromText } from '../../../base/raw-name.ts';
import type { Content, DirectoryEntry, Entry, FileEntry, Metadata } from '../../../repository/entry.ts';

/** Of files that exist nowhere yet: ours, of now, for nobody else to read. */
export function plainMetadata(clock: Clock): Metadata {
  const now = BigInt(clock.now().getTime()) * 1_000_000n;
  return { mode: 0o100600, uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0, mtimeNs: now, atimeNs: now, ctimeNs: now, inode: 0n, deviceId: 0n, links: 1, size: 0 };
}

export function file(name: string, metadata: Metadata, content: string | Content, size = 0): FileEntry {
  const held: Content = typeof content === 'string' ? { from: 'bytes', bytes: Buffer.from(content) } : content;
  return { type: 'file', name: fromText(name), metadata: { ...metadata, size }, content: held };
}

export function folder(name: string, metadata: Metadata, children: readonly Entry[]): DirectoryEntry {
  return { type: 'dir', name: fromText(name), metadata: { ...metadata, mode: 0o040700 }, children: async () => children };
}
