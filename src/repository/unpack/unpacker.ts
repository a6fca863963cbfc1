/** A thread that opens packs: decrypts, unpacks and compares the hash of every blob, then writes it, hands it over, or just knows that it is whole. */
import { parentPort, workerData } from 'node:worker_threads';
import { discarded } from '../../base/garbage.ts';
import { HoldfastError, isHoldfastError, messageOf, systemCode } from '../../base/errors.ts';
import { openBlob } from '../blob-reader.ts';
import { sha256 } from '../core.ts';
import { Cipher, type SealKey } from '../format/cipher.ts';
import type { PackedBlob } from '../format/pack-header.ts';
import { Decompressor } from '../format/zstd.ts';
import type { Problem } from '../entry.ts';
import { compareFiles } from './compare-files.ts';
import { FileWriter } from './file-writer.ts';
import type { PackRange, UnpackAnswer, UnpackerData, UnpackRequest } from './messages.ts';
import { moveBlobs } from './move-blobs.ts';
import { PackFiles } from './pack-range.ts';
import { restoreMetadata } from './restore-metadata.ts';
import { verifyPack } from './verify-pack.ts';

const { key, sealKey } = workerData as UnpackerData;
const cipher = cipherOf(key);
const target = sealKey && cipherOf(sealKey);
const decompressor = new Decompressor();
const packs = new PackFiles();
const files = new FileWriter();

/** Buffers arrive from the other thread as plain arrays. */
function cipherOf({ encrypt, macK, macR }: SealKey): Cipher {
  return new Cipher({ encrypt: Buffer.from(encrypt), macK: Buffer.from(macK), macR: Buffer.from(macR) });
}

function open(range: PackRange, bytes: Buffer, blob: PackedBlob): Buffer {
  const start = blob.offset - range.offset;
  discarded(blob.length);
  return openBlob(cipher, decompressor, blob.id, { ...blob, pack: range.pack }, bytes.subarray(start, start + blob.length));
}

function write(request: Extract<UnpackRequest, { kind: 'write' }>): { bytes: number; problems: readonly Problem[] } {
  const problems: Problem[] = [];
  let written = 0;
  for (const { range, blobs, targets } of request.ranges) {
    const bytes = packs.read(range);
    blobs.forEach((blob, i) => {
      const plain = open(range, bytes, blob);
      for (const { file: number, position } of targets[i] ?? []) {
        const file = request.files[number];
        if (!file) continue;
        if (file.chunks === 1) problems.push(...files.writeWhole(file, plain));
        else files.writePart(file, plain, position);
        written += plain.length;
      }
    });
  }
  return { bytes: written, problems };
}

/** Answers how many bytes there are. */
function openAll({ range, blobs, into }: Extract<UnpackRequest, { kind: 'open' }>): number {
  const bytes = packs.read(range);
  const content = new Uint8Array(into);
  let at = 0;
  for (const blob of blobs) {
    const plain = open(range, bytes, blob);
    content.set(plain, at);
    at += plain.length;
  }
  return at;
}

/** A stretch that the disk cannot read is tried blob by blob: one bad sector is not the end of its neighbours. */
function prove({ range, blobs }: Extract<UnpackRequest, { kind: 'prove' }>): Pick<Done, 'bytes' | 'problems'> {
  const problems: Problem[] = [];
  const damaged = (blob: PackedBlob, error: unknown): void => void problems.push({ subject: blob.id, kind: 'changed', message: messageOf(error) });
  let whole: Buffer | undefined;
  try {
    whole = packs.read(range);
  } catch (error) {
    if (!isHoldfastError(error, 'repository-damaged')) throw error;
    packs.close();
  }
  for (const blob of blobs) {
    try {
      if (whole) open(range, whole, blob);
      else open({ ...range, offset: blob.offset }, packs.read(part(range, blob)), blob);
    } catch (error) {
      if (!isHoldfastError(error, 'repository-damaged')) throw error;
      damaged(blob, error);
    }
  }
  return { bytes: range.length, problems };
}

/** The stretch of one blob only. */
function part(range: PackRange, { offset, length }: PackedBlob): PackRange {
  const { pack, path, bytes } = range;
  return { pack, offset, length, ...(path === undefined ? {} : { path }), ...(bytes ? { bytes: bytes.subarray(offset - range.offset, offset - range.offset + length) } : {}) };
}

function move({ range, blobs, into, at, compression }: Extract<UnpackRequest, { kind: 'move' }>): Pick<Done, 'bytes' | 'moved'> {
  const moved = moveBlobs({ cipher, target, decompressor }, range, packs.read(range), blobs, Buffer.from(into, at), compression);
  return { bytes: moved.reduce((sum, { length }) => sum + length, 0), moved };
}

/** A pack that the disk cannot read is a problem of that pack, not the end of the check. */
function verify({ range, indexed }: Extract<UnpackRequest, { kind: 'verify' }>): Omit<Done, 'kind'> {
  const lost: number[] = [];
  try {
    const bytes = packs.read(range);
    return { bytes: bytes.length, problems: verifyPack({ cipher, decompressor, sha256 }, range.pack, bytes, indexed, (at) => lost.push(at)), lost };
  } catch (error) {
    return { bytes: 0, problems: [{ subject: `pack ${range.pack}`, kind: 'unreadable', message: `cannot be read: ${messageOf(error)}` }], lost: [...indexed.keys()] };
  } finally {
    packs.close();
  }
}

type Done = Extract<UnpackAnswer, { kind: 'done' }>;

function answer(request: UnpackRequest): Done {
  switch (request.kind) {
    case 'write':
      return { kind: 'done', ...write(request) };
    case 'finish':
      return { kind: 'done', bytes: 0, problems: request.files.flatMap((file) => (file.chunks === 1 ? restoreMetadata(file) : files.finish(file))) };
    case 'open':
      return { kind: 'done', bytes: openAll(request), problems: [] };
    case 'compare':
      return { kind: 'done', ...compareFiles(request.files, sha256) };
    case 'verify':
      return { kind: 'done', ...verify(request) };
    case 'prove':
      return { kind: 'done', ...prove(request) };
    case 'move':
      return { kind: 'done', problems: [], ...move(request) };
  }
}

function failure(error: unknown): UnpackAnswer {
  const code = error instanceof HoldfastError ? error.code : (systemCode(error) ?? 'internal');
  return { kind: 'error', code, message: messageOf(error), hint: error instanceof HoldfastError ? error.hint : undefined };
}

parentPort?.on('message', (request: UnpackRequest) => {
  try {
    parentPort?.postMessage(answer(request));
  } catch (error) {
    parentPort?.postMessage(failure(error));
  }
});
