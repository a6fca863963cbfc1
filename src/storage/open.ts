/** From an address to a storage. */
import { HoldfastError } from '../base/errors.ts';
import { LocalStorage } from './local.ts';
import type { Storage } from './storage.ts';

const SCHEME = /^([a-z][a-z0-9+.-]*):/i;

/** Opens a folder of this host. Other kinds of places are named as what they are: not supported yet. */
export function openStorage(address: string): Storage {
  const scheme = SCHEME.exec(address)?.[1]?.toLowerCase();
  if (scheme === undefined || scheme === 'local' || scheme === 'file') return new LocalStorage(address.replace(/^(local:|file:(\/\/)?)/i, ''));
  throw new HoldfastError('usage', `repositories of the kind '${scheme}:' are not supported by this version`, {
    hint: 'Give the path of a folder.',
  });
}
