/** Writing the files of a repository into a bucket, and finding out what the server makes sure of while it takes them. */
import { hash } from 'node:crypto';
import type { StorageClass } from '@aws-sdk/client-s3';
import type { Clock } from '../base/clock.ts';
import { HoldfastError } from '../base/errors.ts';
import { failureOf } from '../client/s3/failure.ts';
import { nameOf } from './layout.ts';
import type { S3Place } from './place.ts';
import { withoutObjectLock } from './s3-bucket.ts';
import { md5, put, type Put, type Target } from './s3-put.ts';
import type { S3Reader } from './s3-read.ts';
import type { S3Session } from './s3-session.ts';
import type { Call, FileKind, StoredFile } from './storage.ts';

const DAY_MS = 86_400_000;
/** Files of which the second to be written must not replace the first. */
const ONLY_NEW: readonly FileKind[] = ['config', 'key'];
const WRONG_MD5 = md5(Buffer.from('not these bytes'));

interface PutChoice {
  readonly call: Call;
  readonly onlyNew: boolean;
  readonly digest?: string;
}

export class S3Writer {
  readonly #session: S3Session;
  readonly #place: S3Place<unknown>;
  readonly #reader: S3Reader;
  readonly #clock: Clock;
  /** ETags of packs that this process has stored as their names say, and nobody has asked `holds` for yet. */
  readonly #stored = new Map<string, string>();
  /** A small file that this process has stored and not removed, to try the server out with. */
  #small: { readonly file: StoredFile; readonly bytes: Uint8Array } | undefined;
  #knowsConditions = true;
  #checksDigests: Promise<boolean> | undefined;

  constructor(session: S3Session, place: S3Place<unknown>, reader: S3Reader, clock: Clock) {
    this.#session = session;
    this.#place = place;
    this.#reader = reader;
    this.#clock = clock;
  }

  async save(file: StoredFile, bytes: Uint8Array, call: Call): Promise<void> {
    if (ONLY_NEW.includes(file.kind)) return await this.#saveUnique(file, bytes, call);
    const { etag, sha256 } = await this.#put(file, bytes, { call, onlyNew: false });
    if (file.kind === 'pack' && etag !== undefined && sha256 === file.id) this.#stored.set(file.id, etag);
    if (file.kind === 'lock') this.#small = { file, bytes };
  }

  /** Servers that know no condition answer 501, or do not look at it. So what is there afterwards decides: two configs would be two keys. */
  async #saveUnique(file: StoredFile, bytes: Uint8Array, call: Call): Promise<void> {
    try {
      if (this.#knowsConditions) await this.saveNew(file, bytes, call);
      else await this.#put(file, bytes, { call, onlyNew: false });
    } catch (error) {
      if (failureOf(error).status !== 501 || !this.#knowsConditions) throw error;
      this.#knowsConditions = false;
      await this.#put(file, bytes, { call, onlyNew: false });
    }
    // A key is named by its hash: whoever wrote it wrote the same.
    if (file.kind !== 'config' || (await this.#reader.load(file, undefined, call)).equals(bytes)) return;
    throw new HoldfastError('repository-exists', `somebody else has made a repository at ${this.#session.location} in the same moment`, { hint: 'Use that one, or choose another place.' });
  }

  async saveNew(file: StoredFile, bytes: Uint8Array, call: Call): Promise<boolean> {
    try {
      await this.#put(file, bytes, { call, onlyNew: true });
      return true;
    } catch (error) {
      if (failureOf(error).status === 412) return false;
      throw error;
    }
  }

  async #put(file: StoredFile, bytes: Uint8Array, choice: PutChoice): Promise<Put> {
    const target = this.#target(file);
    try {
      return await this.#session.send({ what: `write ${nameOf(file)}`, action: 's3:PutObject', signal: choice.call.signal }, async (client) => await put(client, target, bytes, choice));
    } catch (error) {
      if (target.ObjectLockMode !== undefined && failureOf(error).code === 'InvalidRequest') throw withoutObjectLock(target.Bucket, error);
      throw error;
    }
  }

  #target(file: StoredFile): Target {
    const { bucket, storageClass, objectLock } = this.#place;
    return {
      Bucket: bucket, Key: this.#session.key(file),
      // Other classes bill for a least size and time, which suits packs only.
      ...(storageClass !== undefined && file.kind === 'pack' && { StorageClass: storageClass as StorageClass }),
      ...(objectLock && file.kind !== 'lock' && {
        ObjectLockMode: objectLock.mode === 'compliance' ? 'COMPLIANCE' as const : 'GOVERNANCE' as const,
        ObjectLockRetainUntilDate: new Date(this.#clock.now().getTime() + objectLock.days * DAY_MS),
      }),
    };
  }

  /** Told of what was removed, so that it is not stored again to try the server out. */
  forget(file: StoredFile): void {
    this.#stored.delete(file.id);
    if (this.#small?.file.id === file.id) this.#small = undefined;
  }

  async holds(file: StoredFile, bytes: Uint8Array, call: Call): Promise<boolean> {
    const etag = this.#stored.get(file.id);
    this.#stored.delete(file.id);
    // The name is the hash of what was sent. What went up in parts has no ETag here: nobody tried out what servers check of those.
    const isVouchedFor = etag !== undefined && hash('sha256', bytes, 'hex') === file.id && (await this.#serverChecks(file, bytes, call));
    if (!isVouchedFor) return (await this.#reader.load(file, undefined, call)).equals(bytes);
    const head = await this.#reader.head(file, call);
    return head?.etag === etag && head.size === bytes.length;
  }

  async #serverChecks(file: StoredFile, bytes: Uint8Array, call: Call): Promise<boolean> {
    this.#checksDigests ??= this.#tryWrongDigest(this.#small ?? { file, bytes }, call);
    try {
      return await this.#checksDigests;
    } catch (error) {
      this.#checksDigests = undefined;
      throw error;
    }
  }

  /** Sends right bytes with a wrong digest: refused or not, what is stored afterwards is right. */
  async #tryWrongDigest({ file, bytes }: { readonly file: StoredFile; readonly bytes: Uint8Array }, call: Call): Promise<boolean> {
    try {
      await this.#put(file, bytes, { call, onlyNew: false, digest: WRONG_MD5 });
      return false;
    } catch (error) {
      if (['BadDigest', 'InvalidDigest'].includes(failureOf(error).code)) return true;
      throw error;
    }
  }
}
