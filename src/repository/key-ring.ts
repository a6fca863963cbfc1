/** The passwords of a repository: each is a key file around the one master key. */
import * as os from 'node:os';
import type { Clock } from '../base/clock.ts';
import { HoldfastError } from '../base/errors.ts';
import type { Secret } from '../base/secret.ts';
import { listIds, loadKeyFile, sha256, type Core } from './core.ts';
import { createKeyFile } from './format/key-file.ts';
import { formatDate } from './format/go-time.ts';
import { saveProven } from './save-proven.ts';

export interface KeyInfo {
  readonly id: string;
  readonly created: string;
  readonly username: string;
  readonly hostname: string;
  /** It is the one that the password has opened. */
  readonly current: boolean;
}

export async function listKeys(core: Core): Promise<readonly KeyInfo[]> {
  const keys: KeyInfo[] = [];
  for (const id of await listIds(core.storage, 'key')) keys.push(await readKey(core, id));
  return keys.sort((a, b) => (a.created < b.created ? -1 : 1));
}

export async function readKey(core: Core, id: string): Promise<KeyInfo> {
  const { created, username, hostname } = await loadKeyFile(core.storage, id);
  return { id, created, username, hostname, current: id === core.keyId };
}

/** Adds a password; answers the id of its key. */
export async function addKey(core: Core, password: Secret, clock: Clock): Promise<string> {
  if (password.reveal() === '') throw new HoldfastError('usage', 'an empty password protects nothing', { hint: 'Give a file that holds the new password.' });
  const file = await createKeyFile(core.key, password, { created: formatDate(clock.now()), username: os.userInfo().username, hostname: os.hostname() });
  const bytes = Buffer.from(JSON.stringify(file));
  const id = sha256(bytes);
  // Read back: `changePassword` removes the old one on the strength of it.
  await saveProven(core.storage, { kind: 'key', id }, bytes);
  return id;
}

/** Removes the key whose id begins so. The one in use is never removed, so a password always remains. */
export async function removeKey(core: Core, prefix: string): Promise<string> {
  const ids = (await listIds(core.storage, 'key')).filter((id) => prefix !== '' && id.startsWith(prefix));
  const [id, ...others] = ids;
  if (!id || others.length > 0) {
    throw new HoldfastError('usage', `${ids.length === 0 ? 'no key has' : `${ids.length} keys have`} an id that begins with '${prefix}'`, { hint: 'List them with `holdfast key list`.' });
  }
  if (id === core.keyId) {
    throw new HoldfastError('usage', `key ${id.slice(0, 10)} is the one that opened the repository; it is not removed`, { hint: 'Add another password first and remove this one with that.' });
  }
  await core.storage.remove({ kind: 'key', id });
  return id;
}

/** Replaces the password in use. The new key is there before the old one goes. */
export async function changePassword(core: Core, password: Secret, clock: Clock): Promise<string> {
  const id = await addKey(core, password, clock);
  await core.storage.remove({ kind: 'key', id: core.keyId });
  return id;
}
