/** What the system's errors mean for a repository in a folder, in words that lead somewhere. */
import * as fs from 'node:fs/promises';
import * as os from 'node:os';
import * as path from 'node:path';
import { HoldfastError, messageOf, systemCode } from '../base/errors.ts';

const FULL: readonly string[] = ['ENOSPC', 'EDQUOT'];
const DENIED: readonly string[] = ['EACCES', 'EPERM'];
/** A failing or vanished disk. */
const BROKEN: readonly string[] = ['EIO', 'ENXIO', 'ENODEV', 'EUCLEAN', 'ENOTCONN'];
/** Network file systems: a handle that the server has forgotten, a server or a network that is away for a moment. */
const PASSING: readonly string[] = ['ESTALE', 'EINTR', 'EAGAIN', 'ETIMEDOUT', 'EHOSTDOWN', 'EHOSTUNREACH', 'ENETDOWN', 'ENETUNREACH', 'ECONNRESET'];

/** `what` completes "cannot …"; `place` is the path that it was done to. */
export async function localFailure(error: unknown, what: string, location: string, place: string): Promise<HoldfastError> {
  const code = systemCode(error) ?? '';
  const says = (reason: string): string => `cannot ${what} in ${location}: ${reason}`;
  if (FULL.includes(code)) {
    const reason = code === 'EDQUOT' ? 'the quota of the user is used up' : 'no space left on the device';
    return new HoldfastError('storage-full', says(reason), { hint: 'Free some space there or use another repository. What was stored before is unharmed and will be used again.', cause: error });
  }
  if (code === 'EROFS') {
    return new HoldfastError('storage-failed', says('the file system is read-only'), { hint: 'The repository can be listed, checked and restored from as it is. To write to it, mount it for writing.', cause: error });
  }
  if (DENIED.includes(code)) {
    return new HoldfastError('storage-denied', says(`permission denied to ${whoWeAre()}; ${await whoseIs(place)}`), {
      hint: 'Run Holdfast as the user whose files these are, or give them to the one that it runs as. A repository is best used by one user only.', cause: error,
    });
  }
  if (BROKEN.includes(code)) {
    return new HoldfastError('storage-failed', says(messageOf(error)), { hint: 'The disk fails, or was unplugged. Look at the log of the kernel (dmesg) before you go on.', cause: error });
  }
  const passing = PASSING.includes(code);
  return new HoldfastError('storage-failed', says(messageOf(error)), {
    hint: passing ? 'Is the server of this network file system well?' : 'Look at the permissions and the disk of that folder.', transient: passing, cause: error,
  });
}

function whoWeAre(): string {
  const uid = process.geteuid?.() ?? 0;
  try {
    return `${os.userInfo().username} (uid ${uid})`;
  } catch {
    // A user without an entry in passwd, as in containers.
    return `uid ${uid}`;
  }
}

/** Of the path, or of the nearest folder above it that we may look at. */
async function whoseIs(place: string): Promise<string> {
  try {
    const { uid, gid, mode } = await fs.lstat(place);
    return `${place} belongs to uid ${uid}, gid ${gid}, with mode ${(mode & 0o7777).toString(8).padStart(4, '0')}`;
  } catch {
    const above = path.dirname(place);
    return above === place ? 'nothing of its path can be looked at' : await whoseIs(above);
  }
}

/** Why there is no config in this folder: for those who forgot to mount a disk, or mistyped a path. */
export async function whyNoConfig(location: string): Promise<string> {
  const make = 'or make a repository there with `holdfast init`.';
  let names: readonly string[];
  try {
    names = await fs.readdir(location);
  } catch (error) {
    if (systemCode(error) === 'ENOTDIR') return `It is a file, not a folder. Check the path, ${make}`;
    return `There is no such folder. Is the disk mounted on which it lies? Check the path, ${make}`;
  }
  if (names.filter((name) => name !== 'lost+found').length === 0) return `The folder is empty: is the disk mounted that belongs there? If so, check the path, ${make}`;
  if (['data', 'keys', 'snapshots'].every((name) => names.includes(name))) return 'The folders of a repository are there, but not its file `config`. Bring it back from a copy of the repository.';
  return `The folder holds other things. Check the path, ${make}`;
}
