/** Reading from a bucket: files and ranges of them, sizes, and listings page by page. */
import { GetObjectCommand, HeadObjectCommand, ListObjectsV2Command, type ListObjectsV2CommandOutput } from '@aws-sdk/client-s3';
import { HoldfastError, isHoldfastError } from '../base/errors.ts';
import { incoming } from '../client/s3/body.ts';
import { failureOf } from '../client/s3/failure.ts';
import { folderOf, nameOf, pathOf } from './layout.ts';
import type { S3Session } from './s3-session.ts';
import type { Call, FileKind, ListedStoredFile, Range, StoredFile } from './storage.ts';

/** What a HEAD request tells of an object. */
export interface Head {
  readonly size: number;
  readonly etag: string | undefined;
}

export class S3Reader {
  readonly #session: S3Session;

  constructor(session: S3Session) {
    this.#session = session;
  }

  async load(file: StoredFile, range: Range | undefined, call: Call): Promise<Buffer> {
    if (range?.length === 0) return Buffer.alloc(0);
    const asked = { Bucket: this.#session.bucket, Key: this.#session.key(file), Range: range && `bytes=${range.offset}-${range.offset + range.length - 1}` };
    try {
      return await this.#session.send({ what: `read ${nameOf(file)}`, action: 's3:GetObject', signal: call.signal }, async (client, options) => {
        const { Body, ContentLength, ContentRange } = await client.send(new GetObjectCommand(asked), options);
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
    // A server that knows no ranges answers with the whole file, which may be what was asked for.
    if (length !== undefined && (range === undefined || (length === range.length && (answer.range !== undefined || range.offset === 0)))) return length;
    body.destroy();
    if (range !== undefined && answer.range !== undefined && length !== undefined && length < range.length) throw this.#endsEarly(file, range.offset + length);
    throw new HoldfastError('storage-failed', `cannot read ${nameOf(file)} in ${this.#session.location}: the server does not answer with the part that was asked for`, {
      hint: 'A proxy or a cache between here and the server may be changing answers; speak to the server directly.',
    });
  }

  #endsEarly(file: StoredFile, bytes: number | undefined): HoldfastError {
    return new HoldfastError('repository-damaged', `${nameOf(file)} in ${this.#session.location} ends ${bytes === undefined ? '' : `after ${bytes} bytes, `}earlier than it should`, {
      hint: 'Run `holdfast check --read-data` to see how far the damage goes.',
    });
  }

  /** Some failures say that the file is not there, or not all of it. */
  #absence(file: StoredFile, error: unknown): unknown {
    if (!isHoldfastError(error)) return error;
    const { code, status } = failureOf(error);
    if (code === 'NoSuchKey' || code === 'NotFound') return new HoldfastError('file-missing', `${nameOf(file)} is missing in ${this.#session.location}`, { cause: error.cause });
    if (code === 'InvalidRange' || status === 416) return this.#endsEarly(file, undefined);
    return error;
  }

  /** Undefined when there is no such object. */
  async head(file: StoredFile, call: Call): Promise<Head | undefined> {
    const asked = { Bucket: this.#session.bucket, Key: this.#session.key(file) };
    try {
      return await this.#session.send({ what: `look at ${nameOf(file)}`, action: 's3:GetObject', signal: call.signal }, async (client, options) => {
        const { ContentLength = 0, ETag } = await client.send(new HeadObjectCommand(asked), options);
        return { size: ContentLength, etag: ETag };
      });
    } catch (error) {
      const { status, bare } = failureOf(error);
      if (status === 404) return undefined;
      // An answer to HEAD is a number without words. The same question as GET tells why.
      if (bare) await this.load(file, { offset: 0, length: 1 }, { signal: call.signal });
      throw error;
    }
  }

  async *list(kind: FileKind, call: Call): AsyncIterable<ListedStoredFile> {
    const folder = folderOf(kind);
    if (folder === undefined) {
      const head = await this.head({ kind, id: '' }, call);
      if (head !== undefined) yield { id: '', size: head.size };
      return;
    }
    const skipped = this.#session.prefix.length;
    for await (const { Key = '', Size = 0 } of this.#objects(`${folder}/`, call)) {
      const id = Key.slice(Key.lastIndexOf('/') + 1);
      if (isPathOf({ kind, id }, Key.slice(skipped))) yield { id, size: Size };
    }
  }

  /** All objects below a folder, 1000 with each request; the next are fetched while these are looked at. */
  async *#objects(folder: string, { signal }: Call): AsyncIterable<NonNullable<ListObjectsV2CommandOutput['Contents']>[number]> {
    const name = folder.slice(0, -1);
    const page = async (ContinuationToken: string | undefined): Promise<ListObjectsV2CommandOutput> =>
      await this.#session.send({ what: `list ${name}`, action: 's3:ListBucket', signal }, async (client, options) =>
        await client.send(new ListObjectsV2Command({ Bucket: this.#session.bucket, Prefix: this.#session.prefix + folder, ContinuationToken }), options));
    let token: string | undefined;
    let coming = page(undefined);
    do {
      const { Contents = [], IsTruncated, NextContinuationToken: next } = await coming;
      if (IsTruncated === true && (next === undefined || next === token)) {
        throw new HoldfastError('storage-failed', `cannot list ${name} in ${this.#session.location}: the server does not say where its list goes on`, { hint: 'The server speaks only a part of S3; another one is needed.' });
      }
      token = IsTruncated === true ? next : undefined;
      if (token !== undefined) {
        coming = page(token);
        // Whoever has seen enough does not hear of it.
        coming.catch(() => undefined);
      }
      yield* Contents;
    } while (token !== undefined);
  }
}

/** Other programs may keep other things there. */
function isPathOf(file: StoredFile, path: string): boolean {
  try {
    return pathOf(file) === path;
  } catch {
    return false;
  }
}
