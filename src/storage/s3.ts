/**
 * A repository in a bucket, in restic's layout. One object a file; a PUT is all or nothing, so nothing half written is ever seen.
 *
 * Read back: the engine asks `holds` after it has stored a pack. Loading it again would double the traffic, which providers charge
 * for. So the server is tested once whether it refuses bytes that differ from their Content-MD5 (a file is sent again with its right
 * bytes and a wrong digest: refused or not, what is stored is right). Of a server that does, it is enough that the object still is
 * the one which that PUT made: same ETag, same size. Of any other server, packs are loaded again and compared.
 */
import { GetObjectCommand, HeadObjectCommand, ListObjectsV2Command, type ListObjectsV2CommandOutput, type StorageClass } from '@aws-sdk/client-s3';
import type { Clock } from '../base/clock.ts';
import { HoldfastError, isHoldfastError } from '../base/errors.ts';
import type { Secret } from '../base/secret.ts';
import { incoming } from '../client/s3/body.ts';
import { failureOf } from '../client/s3/failure.ts';
import { folderOf, nameOf, pathOf } from './layout.ts';
import type { S3Place } from './place.ts';
import { S3Bucket } from './s3-bucket.ts';
import { md5, put, SINGLE_BYTES, type Target } from './s3-put.ts';
import { S3Session, type Try } from './s3-session.ts';
import { S3Versions } from './s3-versions.ts';
import type { Call, FileKind, ListedStoredFile, Range, Storage, StoredFile } from './storage.ts';

/** What lies in these must be thawed for hours before it can be read; a repository is read all the time. */
const FROZEN: readonly string[] = ['GLACIER', 'DEEP_ARCHIVE'];
const DAY_MS = 86_400_000;
/** Files that name what is unique: the second to write one must not replace the first. */
const ONLY_NEW: readonly FileKind[] = ['config', 'key'];
const WRONG_MD5 = md5(Buffer.from('not these bytes'));

export class S3Storage implements Storage {
  readonly location: string;
  /** Requests to a bucket mostly wait. */
  readonly parallel = 8;
  readonly keepDays?: number;
  readonly #place: S3Place<Secret>;
  readonly #clock: Clock;
  readonly #session: S3Session;
  readonly #versions: S3Versions;
  readonly #bucket: S3Bucket;
  /** ETags of what this process has stored and nobody has asked `holds` for yet. */
  readonly #stored = new Map<string, string>();
  /** A small file that this process has stored and not removed, to try out the server with. */
  #small: { readonly file: StoredFile; readonly bytes: Uint8Array } | undefined;
  #conditional = true;
  #checksDigests: Promise<boolean> | undefined;

  /** Throws `config` for a storage class from which nothing can be read at once. */
  constructor(place: S3Place<Secret>, clock: Clock) {
    if (place.storageClass !== undefined && FROZEN.includes(place.storageClass.toUpperCase())) {
      throw new HoldfastError('config', `what is stored in the class ${place.storageClass} must be thawed for hours before it can be read`, {
        hint: 'A repository needs a class that is read at once: STANDARD, STANDARD_IA, ONEZONE_IA, GLACIER_IR.',
      });
    }
    this.#place = place;
    this.#clock = clock;
    this.#session = new S3Session(place, clock);
    this.#versions = new S3Versions(this.#session, place, clock);
    this.#bucket = new S3Bucket(this.#session, place);
    this.location = this.#session.location;
    if (place.objectLock) this.keepDays = place.objectLock.days;
  }

  async prepare(): Promise<void> {
    await this.#bucket.prepare();
  }

  async save(file: StoredFile, bytes: Uint8Array, call: Call = {}): Promise<void> {
    const onlyNew = ONLY_NEW.includes(file.kind);
    const etag = onlyNew ? await this.#saveNew(file, bytes, call) : await this.#put(file, bytes, { call, onlyNew: false });
    if (etag !== undefined && file.kind === 'pack') this.#stored.set(file.id, etag);
    if (file.kind === 'lock') this.#small = { file, bytes };
  }

  /** Servers that know no condition answer 501, or do not look at it: what is there afterwards decides. */
  async #saveNew(file: StoredFile, bytes: Uint8Array, call: Call): Promise<undefined> {
    try {
      await this.#put(file, bytes, { call, onlyNew: this.#conditional });
    } catch (error) {
      const { status, code } = failureOf(isHoldfastError(error) ? error.cause : error);
      if (status === 501 && this.#conditional) {
        this.#conditional = false;
        return await this.#saveNew(file, bytes, call);
      }
      if (status !== 412 && code !== 'PreconditionFailed') throw error;
    }
    if (file.kind === 'config' && !(await this.load(file, undefined, call)).equals(bytes)) {
      throw new HoldfastError('repository-exists', `somebody else has made a repository at ${this.location} in this moment`, { hint: 'Use that one, or choose another place.' });
    }
    return undefined;
  }

  async #put(file: StoredFile, bytes: Uint8Array, options: { readonly call: Call; readonly onlyNew: boolean; readonly digest?: string }): Promise<string | undefined> {
    const target = this.#target(file);
    return await this.#session.send(this.#try(`write ${nameOf(file)}`, 's3:PutObject', options.call), async (client) => await put(client, target, bytes, options));
  }

  #target(file: StoredFile): Target {
    const { bucket, storageClass, objectLock } = this.#place;
    return {
      Bucket: bucket, Key: this.#key(file),
      // Other classes bill a minimum size and time, which suits packs only.
      ...(storageClass !== undefined && file.kind === 'pack' && { StorageClass: storageClass as StorageClass }),
      ...(objectLock && file.kind !== 'lock' && {
        ObjectLockMode: objectLock.mode === 'compliance' ? 'COMPLIANCE' as const : 'GOVERNANCE' as const,
        ObjectLockRetainUntilDate: new Date(this.#clock.now().getTime() + objectLock.days * DAY_MS),
      }),
    };
  }

  async load(file: StoredFile, range?: Range, call: Call = {}): Promise<Buffer> {
    if (range?.length === 0) return Buffer.alloc(0);
    const Key = this.#key(file);
    const Range = range === undefined ? undefined : `bytes=${range.offset}-${range.offset + range.length - 1}`;
    try {
      return await this.#session.send(this.#try(`read ${nameOf(file)}`, 's3:GetObject', call), async (client, options) => {
        const { Body, ContentLength, ContentRange } = await client.send(new GetObjectCommand({ Bucket: this.#place.bucket, Key, Range }), options);
        const body = Body as AsyncIterable<Uint8Array> & { destroy(): void };
        const length = this.#expect(file, range, { length: ContentLength, range: ContentRange }, body);
        const bytes = await incoming(body, length, call.moved?.bind(call));
        if (bytes.length < length) throw Object.assign(new Error('the answer ends early'), { code: 'ECONNRESET' });
        return bytes;
      });
    } catch (error) {
      throw this.#absence(file, error);
    }
  }

  /** The bytes that the answer will have. Throws when that is not what was asked for, and lets go of the body. */
  #expect(file: StoredFile, range: Range | undefined, answer: { readonly length: number | undefined; readonly range: string | undefined }, body: { destroy(): void }): number {
    const { length } = answer;
    if (length !== undefined && (range === undefined || (length === range.length && (answer.range !== undefined || range.offset === 0)))) return length;
    body.destroy();
    if (range !== undefined && answer.range !== undefined && length !== undefined && length < range.length) throw this.#endsEarly(file, range.offset + length);
    throw new HoldfastError('storage-failed', `cannot read ${nameOf(file)} in ${this.location}: the server does not answer with the part that was asked for`, { hint: 'Something between here and the server may be changing answers.' });
  }

  #endsEarly(file: StoredFile, bytes: number | undefined): HoldfastError {
    return new HoldfastError('repository-damaged', `${nameOf(file)} in ${this.location} ends ${bytes === undefined ? '' : `after ${bytes} bytes, `}earlier than it should`);
  }

  /** Some failures say that the file is not there, or not all of it. */
  #absence(file: StoredFile, error: unknown): unknown {
    if (!isHoldfastError(error)) return error;
    const { code, status } = failureOf(error.cause);
    if (code === 'NoSuchKey' || code === 'NotFound') return new HoldfastError('file-missing', `${nameOf(file)} is missing in ${this.location}`, { cause: error.cause });
    if (code === 'InvalidRange' || status === 416) return this.#endsEarly(file, undefined);
    return error;
  }

  async holds(file: StoredFile, bytes: Uint8Array): Promise<boolean> {
    const etag = this.#stored.get(file.id);
    this.#stored.delete(file.id);
    // What went up in parts is rare, and its parts were not tried out.
    if (etag === undefined || bytes.length > SINGLE_BYTES || !(await this.#serverChecks(file, bytes))) return (await this.load(file)).equals(bytes);
    const head = await this.#head(file, {});
    return head?.ETag === etag && head.ContentLength === bytes.length;
  }

  async #serverChecks(file: StoredFile, bytes: Uint8Array): Promise<boolean> {
    this.#checksDigests ??= this.#probeDigests(file, bytes);
    try {
      return await this.#checksDigests;
    } catch (error) {
      this.#checksDigests = undefined;
      throw error;
    }
  }

  async #probeDigests(file: StoredFile, bytes: Uint8Array): Promise<boolean> {
    const sample = this.#small ?? { file, bytes };
    try {
      await this.#put(sample.file, sample.bytes, { call: {}, onlyNew: false, digest: WRONG_MD5 });
      return false;
    } catch (error) {
      const { code } = failureOf(isHoldfastError(error) ? error.cause : error);
      if (code === 'BadDigest' || code === 'InvalidDigest') return true;
      throw error;
    }
  }

  async *list(kind: FileKind, call: Call = {}): AsyncIterable<ListedStoredFile> {
    const folder = folderOf(kind);
    if (folder === undefined) {
      const size = await this.size({ kind, id: '' }, call);
      if (size !== undefined) yield { id: '', size };
      return;
    }
    for await (const { Key = '', Size = 0 } of this.#objects(`${folder}/`, call)) {
      const id = Key.slice(Key.lastIndexOf('/') + 1);
      if (isStoredAt(kind, id, Key.slice(this.#prefix.length))) yield { id, size: Size };
    }
  }

  /** All objects below a folder, 1000 with each request; the next are fetched while these are looked at. */
  async *#objects(folder: string, call: Call): AsyncIterable<NonNullable<ListObjectsV2CommandOutput['Contents']>[number]> {
    const page = async (ContinuationToken: string | undefined): Promise<ListObjectsV2CommandOutput> =>
      await this.#session.send(this.#try(`list ${folder.slice(0, -1)}`, 's3:ListBucket', call), async (client, options) =>
        await client.send(new ListObjectsV2Command({ Bucket: this.#place.bucket, Prefix: this.#prefix + folder, ContinuationToken }), options));
    let token: string | undefined;
    let coming = page(undefined);
    do {
      const { Contents = [], IsTruncated, NextContinuationToken } = await coming;
      if (IsTruncated === true && (NextContinuationToken === undefined || NextContinuationToken === token)) {
        throw new HoldfastError('storage-failed', `cannot list ${folder.slice(0, -1)} in ${this.location}: the server does not say where its list goes on`);
      }
      token = IsTruncated === true ? NextContinuationToken : undefined;
      if (token !== undefined) {
        coming = page(token);
        // Whoever stops looking does not hear of it.
        coming.catch(() => undefined);
      }
      yield* Contents;
    } while (token !== undefined);
  }

  async size(file: StoredFile, call: Call = {}): Promise<number | undefined> {
    return (await this.#head(file, call))?.ContentLength;
  }

  async #head(file: StoredFile, call: Call): Promise<{ readonly ContentLength?: number | undefined; readonly ETag?: string | undefined } | undefined> {
    const Key = this.#key(file);
    try {
      return await this.#session.send(this.#try(`look at ${nameOf(file)}`, 's3:GetObject', call), async (client, options) =>
        await client.send(new HeadObjectCommand({ Bucket: this.#place.bucket, Key }), options));
    } catch (error) {
      const failure = failureOf(isHoldfastError(error) ? error.cause : error);
      if (failure.status === 404) return undefined;
      // An answer to HEAD says nothing but a number. The same question as GET tells why.
      if (failure.bare) await this.load(file, { offset: 0, length: 1 }, call);
      throw error;
    }
  }

  async remove(file: StoredFile, call: Call = {}): Promise<void> {
    if (this.#small?.file.id === file.id) this.#small = undefined;
    await this.#versions.remove(file, this.#key(file), call);
  }

  async keepUntil(file: StoredFile, until: Date, call: Call = {}): Promise<void> {
    await this.#versions.keepUntil(file, this.#key(file), until, call);
  }

  async keptUntil(file: StoredFile, call: Call = {}): Promise<Date | undefined> {
    return await this.#versions.keptUntil(file, this.#key(file), call);
  }

  async sweep(before: Date, call: Call = {}): Promise<number> {
    return await this.#bucket.sweep(this.#prefix, before, call);
  }

  async close(): Promise<void> {
    await this.#session.close();
  }

  get #prefix(): string {
    return this.#place.prefix === '' ? '' : `${this.#place.prefix}/`;
  }

  #key(file: StoredFile): string {
    return this.#prefix + pathOf(file);
  }

  #try(what: string, action: string, { signal }: Call): Try {
    return { what, action, signal };
  }
}

/** Other programs may keep other things there. */
function isStoredAt(kind: FileKind, id: string, path: string): boolean {
  try {
    return pathOf({ kind, id }) === path;
  } catch {
    return false;
  }
}
