/** From a place to a storage, with the care that its kind needs. Adapters are loaded when they are needed. */
import { systemClock } from '../base/clock.ts';
import type { Secret } from '../base/secret.ts';
import { LocalStorage } from './local.ts';
import type { StoragePlace } from './place.ts';
import type { Storage } from './storage.ts';
import { withCache } from './with-cache.ts';
import { withLimit, type StorageLimit } from './with-limit.ts';
import { withRetry } from './with-retry.ts';

export type { StorageLimit } from './with-limit.ts';

export interface OpenOptions {
  readonly limit?: StorageLimit | undefined;
  /** The folder for a cache of what is read again and again; undefined for none. */
  readonly cacheFolder?: string | undefined;
  /** Ends calls and pauses under way; what is called later gets one try. */
  readonly signal?: AbortSignal | undefined;
  /** Told, as a sentence, that the storage does not answer well and when it is tried again. */
  readonly waiting?: ((sentence: string) => void) | undefined;
}

/** A disk is there or it is not; only network file systems have a bad moment now and then. */
const LOCAL_RETRY_MS = 60_000;

/**
 * Opens the storage; what takes a connection connects with the first call. From the inside out: the limit, so that what is tried
 * again counts; the retries; the cache, which needs neither. A call to a disk cannot be given up, so nothing watches over it.
 */
export async function openStorage(place: StoragePlace<Secret>, { limit, cacheFolder, signal, waiting }: OpenOptions = {}): Promise<Storage> {
  const adapter = await openAdapter(place);
  const isLocal = place.kind === 'local';
  const isLimited = limit !== undefined && [limit.up, limit.down, limit.requests].some((rate) => rate !== undefined);
  const limited = isLimited ? withLimit(adapter, limit, systemClock) : adapter;
  const retrying = withRetry(limited, systemClock, { random: Math.random, signal, waiting, ...(isLocal && { stallMs: Infinity, totalMs: LOCAL_RETRY_MS }) });
  return cacheFolder === undefined || isLocal ? retrying : withCache(retrying, cacheFolder, systemClock);
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
      return new SftpStorage(place, systemClock);
    }
  }
}
