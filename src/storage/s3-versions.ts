/**
 * Removing and keeping, in buckets that keep versions. What `remove` does:
 * - a bucket without versions: the object is gone.
 * - a bucket with versions, and no `object-lock:` in the configuration: the file is gone for every reader, and its old version stays
 *   for as long as the owner's life cycle rules say. Lock files are removed with all their versions, or they would pile up.
 * - with `object-lock:`: a kept file throws `storage-kept` and nothing changes; of any other all versions go, so that space is freed.
 */
import {
  DeleteObjectCommand, GetObjectRetentionCommand, ListObjectVersionsCommand, PutObjectRetentionCommand, type ObjectLockRetention, type ObjectLockRetentionMode,
} from '@aws-sdk/client-s3';
import type { Clock } from '../base/clock.ts';
import { HoldfastError, isHoldfastError } from '../base/errors.ts';
import { failureOf } from '../client/s3/failure.ts';
import { nameOf } from './layout.ts';
import type { S3Place } from './place.ts';
import type { S3Session } from './s3-session.ts';
import type { Call, StoredFile } from './storage.ts';

/** How servers say that there is no lock on an object, or none in the whole bucket. */
const UNLOCKED: readonly string[] = ['NoSuchObjectLockConfiguration', 'ObjectLockConfigurationNotFoundError', 'InvalidRequest', 'NotImplemented'];

interface Version {
  readonly id: string;
  readonly isMarker: boolean;
}

export class S3Versions {
  readonly #session: S3Session;
  readonly #place: S3Place<unknown>;
  readonly #clock: Clock;

  constructor(session: S3Session, place: S3Place<unknown>, clock: Clock) {
    this.#session = session;
    this.#place = place;
    this.#clock = clock;
  }

  async remove(file: StoredFile, call: Call): Promise<void> {
    if (this.#place.objectLock) return await this.#removeVersions(file, call);
    const { marked } = await this.#delete(file, undefined, call);
    if (!marked || file.kind !== 'lock') return;
    try {
      await this.#removeVersions(file, call);
    } catch (error) {
      // The lock is released for all who look. Who may not remove versions leaves them to the owner's life cycle rules.
      if (!isHoldfastError(error, 'storage-denied', 'storage-kept')) throw error;
    }
  }

  /** Oldest first: what is seen without naming a version stays as it is until the last one goes. */
  async #removeVersions(file: StoredFile, call: Call): Promise<void> {
    const versions = await this.#list(file, call);
    if (file.kind !== 'lock') {
      for (const { id, isMarker } of versions) if (!isMarker) this.#refuseKept(file, await this.#retention(file, id, call));
    }
    for (const { id } of versions.toReversed()) await this.#delete(file, id, call);
  }

  #refuseKept(file: StoredFile, retention: ObjectLockRetention | undefined): void {
    const until = retention?.RetainUntilDate;
    if (until !== undefined && until > this.#clock.now()) throw this.#kept(file, until);
  }

  #kept(file: StoredFile, until: Date | undefined, cause?: unknown): HoldfastError {
    const when = until === undefined ? '' : ` until ${until.toISOString()}`;
    return new HoldfastError('storage-kept', `cannot remove ${nameOf(file)} in ${this.#session.location}: an object lock keeps it${when}`, {
      hint: 'Nobody can remove it before; run the same again afterwards.', ...(cause !== undefined && { cause }),
    });
  }

  async #delete(file: StoredFile, version: string | undefined, { signal }: Call): Promise<{ readonly marked: boolean }> {
    const action = version === undefined ? 's3:DeleteObject' : 's3:DeleteObjectVersion';
    try {
      const { DeleteMarker } = await this.#session.send({ what: `remove ${nameOf(file)}`, action, signal }, async (client, options) =>
        await client.send(new DeleteObjectCommand({ Bucket: this.#session.bucket, Key: this.#session.key(file), VersionId: version }), options));
      return { marked: DeleteMarker === true };
    } catch (error) {
      const { code, message } = failureOf(error);
      if (code === 'NoSuchKey' || code === 'NoSuchVersion') return { marked: false };
      // AWS says AccessDenied for both a missing permission and a lock; its words tell them apart.
      if (code === 'ObjectLocked' || (code === 'AccessDenied' && /object lock|worm|retention|legal hold/i.test(message))) throw this.#kept(file, undefined, error);
      throw error;
    }
  }

  /** The versions of one object, newest first. */
  async #list(file: StoredFile, { signal }: Call): Promise<readonly Version[]> {
    const { Versions = [], DeleteMarkers = [] } = await this.#session.send({ what: `list the versions of ${nameOf(file)}`, action: 's3:ListBucketVersions', signal }, async (client, options) =>
      await client.send(new ListObjectVersionsCommand({ Bucket: this.#session.bucket, Prefix: this.#session.key(file) }), options));
    const all = [...Versions.map((version) => ({ ...version, isMarker: false })), ...DeleteMarkers.map((version) => ({ ...version, isMarker: true }))];
    return all
      .filter(({ Key }) => Key === this.#session.key(file))
      .sort((a, b) => (b.LastModified?.getTime() ?? 0) - (a.LastModified?.getTime() ?? 0))
      .flatMap(({ VersionId: id, isMarker }) => (id === undefined ? [] : [{ id, isMarker }]));
  }

  /** Locks the file for longer; a lock that lasts longer already stays. It keeps the mode that it has. */
  async keepUntil(file: StoredFile, until: Date, call: Call): Promise<void> {
    const now = await this.#retention(file, undefined, call);
    if (now?.RetainUntilDate !== undefined && now.RetainUntilDate >= until) return;
    const isKept = now?.RetainUntilDate !== undefined && now.RetainUntilDate > this.#clock.now();
    const Mode: ObjectLockRetentionMode = (isKept ? now.Mode : undefined) ?? (this.#place.objectLock?.mode === 'governance' ? 'GOVERNANCE' : 'COMPLIANCE');
    await this.#session.send({ what: `keep ${nameOf(file)} for longer`, action: 's3:PutObjectRetention', signal: call.signal }, async (client, options) =>
      await client.send(new PutObjectRetentionCommand({ Bucket: this.#session.bucket, Key: this.#session.key(file), Retention: { Mode, RetainUntilDate: until } }), options));
  }

  /** Until when the file is locked; undefined when it is not, or no more. */
  async keptUntil(file: StoredFile, call: Call): Promise<Date | undefined> {
    const until = (await this.#retention(file, undefined, call))?.RetainUntilDate;
    return until !== undefined && until > this.#clock.now() ? until : undefined;
  }

  async #retention(file: StoredFile, version: string | undefined, { signal }: Call): Promise<ObjectLockRetention | undefined> {
    try {
      const answer = await this.#session.send({ what: `look at the lock of ${nameOf(file)}`, action: 's3:GetObjectRetention', signal }, async (client, options) =>
        await client.send(new GetObjectRetentionCommand({ Bucket: this.#session.bucket, Key: this.#session.key(file), VersionId: version }), options));
      return answer.Retention;
    } catch (error) {
      const { code } = failureOf(error);
      if (UNLOCKED.includes(code)) return undefined;
      if (code === 'NoSuchKey') throw new HoldfastError('file-missing', `${nameOf(file)} is missing in ${this.#session.location}`, { cause: error });
      throw error;
    }
  }
}
