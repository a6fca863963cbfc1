/** Writing to a bucket: small files in one request, large ones in parts that go up side by side. All or nothing either way. */
import { hash } from 'node:crypto';
import { Readable } from 'node:stream';
import {
  AbortMultipartUploadCommand, CompleteMultipartUploadCommand, CreateMultipartUploadCommand, PutObjectCommand, UploadPartCommand,
  type CompletedPart, type ObjectLockMode, type S3Client, type StorageClass,
} from '@aws-sdk/client-s3';
import { outgoing } from '../client/s3/body.ts';
import type { Call } from './storage.ts';

/** Above this a file goes up in parts. Packs stay below. */
const SINGLE_BYTES = 32 << 20;
/** S3 takes parts from 5 MiB and at most 10,000 of them, so files of up to 160 GB. */
const PART_BYTES = 16 << 20;
const PARTS_AT_ONCE = 4;
const ABORT_MS = 10_000;

export interface Target {
  readonly Bucket: string;
  readonly Key: string;
  readonly StorageClass?: StorageClass | undefined;
  readonly ObjectLockMode?: ObjectLockMode | undefined;
  readonly ObjectLockRetainUntilDate?: Date | undefined;
}

export interface PutOptions {
  readonly call: Call;
  /** Only when there is none of that name yet; 412 otherwise, from servers that can. */
  readonly onlyNew: boolean;
  /** In place of the true MD5: to find out whether the server looks. */
  readonly digest?: string;
}

/** What was stored. */
export interface Put {
  readonly etag: string | undefined;
  /** Of the bytes that were sent, in hex; undefined when they went up in parts. */
  readonly sha256: string | undefined;
}

/** Stores the bytes. What arrives differently from what was sent is refused by servers that check it: the signature holds the SHA-256, and the MD5 goes along. */
export async function put(client: S3Client, target: Target, bytes: Uint8Array, options: PutOptions): Promise<Put> {
  if (bytes.length > SINGLE_BYTES) return { etag: await putParts(client, target, bytes, options), sha256: undefined };
  const { call, onlyNew, digest } = options;
  const sha256 = hash('sha256', bytes, 'hex');
  const answer = await sendBytes(bytes, call, async (Body, send) => {
    const command = new PutObjectCommand({ ...target, Body, ContentLength: bytes.length, ContentMD5: digest ?? md5(bytes), ...(onlyNew && { IfNoneMatch: '*' }) });
    command.middlewareStack.add(signedHash(sha256), { step: 'build', name: 'signedHash' });
    return await client.send(command, send);
  });
  return { etag: answer.ETag, sha256 };
}

async function putParts(client: S3Client, target: Target, bytes: Uint8Array, { call, onlyNew }: PutOptions): Promise<string | undefined> {
  const { Bucket, Key } = target;
  const { UploadId } = await client.send(new CreateMultipartUploadCommand(target), sendOptions(call.signal));
  const parts: CompletedPart[] = [];
  const failing = new AbortController();
  const signal = call.signal === undefined ? failing.signal : AbortSignal.any([call.signal, failing.signal]);
  const upload = async (number: number): Promise<void> => {
    const part = bytes.subarray((number - 1) * PART_BYTES, number * PART_BYTES);
    const answer = await sendBytes(part, { ...call, signal }, async (Body, send) => {
      const command = new UploadPartCommand({ Bucket, Key, UploadId, PartNumber: number, Body, ContentLength: part.length, ContentMD5: md5(part) });
      command.middlewareStack.add(signedHash(hash('sha256', part, 'hex')), { step: 'build', name: 'signedHash' });
      return await client.send(command, send);
    });
    parts.push({ PartNumber: number, ETag: answer.ETag });
  };
  try {
    const numbers = Array.from({ length: Math.ceil(bytes.length / PART_BYTES) }, (_, i) => i + 1).values();
    const worker = async (): Promise<void> => {
      for (const number of numbers) await upload(number);
    };
    await Promise.all(Array.from({ length: PARTS_AT_ONCE }, worker)).catch((error: unknown) => {
      failing.abort(error);
      throw error;
    });
    const MultipartUpload = { Parts: parts.sort((a, b) => (a.PartNumber ?? 0) - (b.PartNumber ?? 0)) };
    const answer = await client.send(new CompleteMultipartUploadCommand({ Bucket, Key, UploadId, MultipartUpload, ...(onlyNew && { IfNoneMatch: '*' }) }), sendOptions(call.signal));
    return answer.ETag;
  } catch (error) {
    // Parts of an upload that nobody finishes cost money and are seen by nobody. If this fails too, `sweep` finds them.
    await client.send(new AbortMultipartUploadCommand({ Bucket, Key, UploadId }), sendOptions(AbortSignal.timeout(ABORT_MS))).catch(() => undefined);
    throw error;
  }
}

/** Sends a body, and lets go of it however it ends. */
async function sendBytes<T>(bytes: Uint8Array, call: Call, work: (body: Uint8Array | Readable, send: SendOptions) => Promise<T>): Promise<T> {
  const body = outgoing(bytes, call.moved?.bind(call));
  try {
    return await work(body, sendOptions(call.signal));
  } finally {
    if (body instanceof Readable) body.destroy();
  }
}

export interface SendOptions {
  readonly abortSignal?: AbortSignal;
}

export function sendOptions(signal: AbortSignal | undefined): SendOptions {
  return signal === undefined ? {} : { abortSignal: signal };
}

export function md5(bytes: Uint8Array): string {
  return hash('md5', bytes, 'base64');
}

/** The SHA-256 of the body for the signature: without it a streamed body would go up unsigned. */
function signedHash(sha256: string) {
  return <A extends { request: unknown }, R>(next: (args: A) => Promise<R>) => async (args: A): Promise<R> => {
    (args.request as { headers: Record<string, string> }).headers['x-amz-content-sha256'] = sha256;
    return await next(args);
  };
}
