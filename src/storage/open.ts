/** From a place to a storage, with the care that its kind needs. Adapters are loaded when they are needed. */
import { systemClock } from '../base/clock.ts';
import type { Secret } from '../base/secret.ts';
import { LocalStorage } from './local.ts';
import type { StoragePlace } from './place.ts';
import type { Storage } from './storage.ts';

/** What a storage may use at most. */
export interface StorageLimit {
  /** Bytes a second. */
  readonly up?: number | undefined;
  readonly down?: number | undefined;
  /** Requests a second. */
  readonly requests?: number | undefined;
}

export interface OpenOptions {
  readonly limit?: StorageLimit | undefined;
  /** The folder for a cache of what is read again and again; undefined for none. */
  readonly cacheFolder?: string | undefined;
}

/** Opens the storage; what takes a connection connects with the first call. */
export async function openStorage(place: StoragePlace<Secret>, options: OpenOptions = {}): Promise<Storage> {
  const adapter = await openAdapter(place);
  void options;
  return adapter;
}

async function openAdapter(place: StoragePlace<Secret>): Promise<Storage> {
  switch (place.kind) {
    case 'local':
      return await Promise.resolve(new LocalStorage(place.path));
    case 's3': {
      const { S3Storage } = await import('./s3.ts');
      return new S3Storage(place, systemClock);
    }
    case 'sftp': {
      const { SftpStorage } = await import('./sftp.ts');
      return new SftpStorage(place);
    }
  }
}
