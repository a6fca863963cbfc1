/** Whose files a data directory has: Postgres starts only for their owner, and never for root. */
import { lchown, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { unprivileged, type Identity } from '../../client/postgres/programs.ts';

/**
 * Who should own what is restored: the owner of the directory that it replaces, else the user `postgres` of this host. Undefined where we
 * are not root: then all is ours.
 */
export async function ownerFor(directory: string | undefined): Promise<Identity | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const there = directory === undefined ? undefined : await stat(directory).catch(() => undefined);
  return there === undefined || there.uid === 0 ? await unprivileged() : { uid: there.uid, gid: there.gid };
}

/** Gives a folder and all below it to a user. Links are given, not what they lead to. */
export async function giveTree(path: string, owner: Identity): Promise<void> {
  const { uid, gid } = owner;
  if (uid === undefined || gid === undefined) return;
  await lchown(path, uid, gid);
  for (const entry of await readdir(path, { recursive: true, withFileTypes: true })) await lchown(join(entry.parentPath, entry.name), uid, gid);
}
