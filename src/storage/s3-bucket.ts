/** What concerns the bucket as a whole: making it, and clearing away uploads that nobody finished. */
import {
  AbortMultipartUploadCommand, CreateBucketCommand, GetObjectLockConfigurationCommand, ListMultipartUploadsCommand, ListObjectsV2Command,
  type BucketLocationConstraint, type ListMultipartUploadsCommandOutput, type MultipartUpload,
} from '@aws-sdk/client-s3';
import { HoldfastError, isHoldfastError } from '../base/errors.ts';
import { failureOf } from '../client/s3/failure.ts';
import type { S3Place } from './place.ts';
import { FIRST_REGION, type S3Session } from './s3-session.ts';
import type { Call } from './storage.ts';

export class S3Bucket {
  readonly #session: S3Session;
  readonly #place: S3Place<unknown>;

  constructor(session: S3Session, place: S3Place<unknown>) {
    this.#session = session;
    this.#place = place;
  }

  /** Makes the bucket where there is none, as restic does. With an object lock it must have been made for it: that cannot be added to every server's buckets. */
  async prepare(): Promise<void> {
    if (!(await this.#exists())) await this.#create();
    if (this.#place.objectLock) await this.#requireObjectLock();
  }

  async #exists(): Promise<boolean> {
    try {
      // Not HeadBucket: an answer to HEAD has no words, and the server may have something to say, as of the right region.
      await this.#session.send({ what: 'look at the bucket', action: 's3:ListBucket' }, async (client, options) => await client.send(this.#listing(), options));
      return true;
    } catch (error) {
      if (isHoldfastError(error, 'repository-missing')) return false;
      // Credentials that may not look at the bucket may still write to it; if not, the next request says so.
      if (failureOf(error).code === 'AccessDenied') return true;
      throw error;
    }
  }

  #listing(): ListObjectsV2Command {
    return new ListObjectsV2Command({ Bucket: this.#session.bucket, MaxKeys: 1, Prefix: this.#session.prefix });
  }

  async #create(): Promise<void> {
    const { bucket: Bucket, endpoint, region, objectLock } = this.#place;
    const place = this.#session.region;
    // Servers other than AWS have one place, and names for it that we do not know unless we are told.
    const LocationConstraint = place !== FIRST_REGION && (endpoint === undefined || region !== undefined) ? (place as BucketLocationConstraint) : undefined;
    const command = (): CreateBucketCommand =>
      new CreateBucketCommand({ Bucket, ...(objectLock && { ObjectLockEnabledForBucket: true }), ...(LocationConstraint !== undefined && { CreateBucketConfiguration: { LocationConstraint } }) });
    try {
      await this.#session.send({ what: `make the bucket '${Bucket}'`, action: 's3:CreateBucket' }, async (client, options) => await client.send(command(), options));
    } catch (error) {
      const { code } = failureOf(error);
      if (code !== 'BucketAlreadyOwnedByYou') throw error;
    }
  }

  async #requireObjectLock(): Promise<void> {
    const Bucket = this.#session.bucket;
    try {
      await this.#session.send({ what: 'look at the object lock', action: 's3:GetBucketObjectLockConfiguration' }, async (client, options) =>
        await client.send(new GetObjectLockConfigurationCommand({ Bucket }), options));
    } catch (error) {
      // Who may not look finds out with the first file.
      if (isHoldfastError(error, 'storage-denied')) return;
      const { code, status } = failureOf(error);
      if (status !== 404 && code !== 'NotImplemented') throw error;
      throw withoutObjectLock(Bucket, error);
    }
  }

  /** From the header of an answer, so to the second. */
  async serverTime({ signal }: Call): Promise<Date> {
    let date: string | undefined;
    const command = this.#listing();
    command.middlewareStack.add((next) => async (args) => {
      const result = await next(args);
      date = (result.response as { headers?: Readonly<Record<string, string>> }).headers?.['date'];
      return result;
    }, { step: 'deserialize', priority: 'low', name: 'readDate' });
    await this.#session.send({ what: 'ask for the time', action: 's3:ListBucket', signal }, async (client, options) => await client.send(command, options));
    if (date !== undefined) return new Date(date);
    throw new HoldfastError('storage-failed', `${this.#session.location} does not tell its time`, { hint: 'Something between here and the server may be changing answers.' });
  }

  /** Aborts uploads below the prefix that were begun before this moment; answers how many. */
  async sweep(before: Date, { signal }: Call): Promise<number> {
    let aborted = 0;
    for await (const { Key, UploadId, Initiated } of this.#unfinished(signal)) {
      if (Initiated === undefined || Initiated >= before) continue;
      await this.#session.send({ what: 'clear away an unfinished upload', action: 's3:AbortMultipartUpload', signal }, async (client, options) =>
        await client.send(new AbortMultipartUploadCommand({ Bucket: this.#session.bucket, Key, UploadId }), options)).catch(unlessGone);
      aborted++;
    }
    return aborted;
  }

  async *#unfinished(signal: AbortSignal | undefined): AsyncIterable<MultipartUpload> {
    const found: MultipartUpload[] = [];
    let from: { readonly KeyMarker?: string | undefined; readonly UploadIdMarker?: string | undefined } | undefined = {};
    while (from !== undefined) {
      const marker: object = from;
      const page: ListMultipartUploadsCommandOutput = await this.#session.send({ what: 'list unfinished uploads', action: 's3:ListBucketMultipartUploads', signal }, async (client, options) =>
        await client.send(new ListMultipartUploadsCommand({ Bucket: this.#session.bucket, Prefix: this.#session.prefix, ...marker }), options));
      found.push(...(page.Uploads ?? []));
      from = page.IsTruncated === true && page.NextKeyMarker !== undefined ? { KeyMarker: page.NextKeyMarker, UploadIdMarker: page.NextUploadIdMarker } : undefined;
    }
    // Listed to the end before any is aborted: markers of uploads that are gone mean different things to different servers.
    yield* found;
  }
}

/** The configuration asks for locks, and the bucket was not made for them. */
export function withoutObjectLock(bucket: string, cause: unknown): HoldfastError {
  return new HoldfastError('config', `the bucket '${bucket}' has no object lock, so nothing in it can be kept from being removed`, {
    hint: 'Object lock is chosen when a bucket is made: use a new bucket, which `holdfast init` makes so, or leave `object-lock:` out.', cause,
  });
}

/** Somebody finished or aborted it meanwhile. */
function unlessGone(error: unknown): void {
  if (failureOf(error).code !== 'NoSuchUpload') throw error;
}
