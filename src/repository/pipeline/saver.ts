/** A saver thread: hashes chunks, passes over those that are known, and compresses, encrypts and packs the others. */
import { hash } from 'node:crypto';
import { parentPort, workerData } from 'node:worker_threads';
import { collectWhenGrown, discarded } from '../../base/garbage.ts';
import { BlobLookup } from '../blob-index.ts';
import { Cipher } from '../format/cipher.ts';
import { encodeIndexedPack } from '../format/index-file.ts';
import { PACK_BUFFER_BYTES, Packer } from '../packer.ts';
import { ClaimSet } from './claim-set.ts';
import { RECORD_BYTES, type SaverData, type SaverMessage } from './messages.ts';
import { SharedPool } from './shared-pool.ts';
import { Slots } from './slots.ts';

const data = workerData as SaverData;
const slots = new Slots(data.slots);
const claims = new ClaimSet(data.claims);
const known = new BlobLookup(data.index);
const packBuffers = new SharedPool(new Int32Array(data.packBuffers.control));
const key = data.key;
const cipher = new Cipher({ encrypt: Buffer.from(key.encrypt), macK: Buffer.from(key.macK), macR: Buffer.from(key.macR) });

let current = packBuffers.take();
const packer = new Packer('data', cipher, data.compression, packBuffer(current));
const id = new Uint32Array(8);
const idBytes = Buffer.from(id.buffer);

function packBuffer(number: number): Buffer {
  const shared = data.packBuffers.buffers[number];
  if (!shared) throw new Error(`no pack buffer ${number}`);
  return Buffer.from(shared, 0, PACK_BUFFER_BYTES);
}

function post(message: SaverMessage, transfer: ArrayBuffer[] = []): void {
  parentPort?.postMessage(message, transfer);
}

function finishPack(another: boolean): void {
  const filled = current;
  if (another) current = packBuffers.take();
  const pack = packer.finish(packBuffer(current));
  collectWhenGrown(4 << 20);
  post({
    kind: 'pack', id: pack.id, buffer: filled, length: pack.bytes.length,
    indexEntry: encodeIndexedPack(pack), blobs: pack.blobs.length, plainBytes: pack.plainBytes,
  });
}

function saveSlot(slot: number): void {
  const pieces = slots.pieces(slot);
  const content = slots.buffer(slot);
  const records = Buffer.from(new ArrayBuffer(pieces.length * RECORD_BYTES));
  pieces.forEach((piece, i) => {
    const at = i * RECORD_BYTES;
    records.writeInt32LE(piece.file, at);
    records.writeInt32LE(piece.chunk, at + 4);
    records.writeInt32LE(piece.length, at + 8);
    if (piece.length <= 0) return;
    const plain = content.subarray(piece.offset, piece.offset + piece.length);
    const name = hash('sha256', plain, 'hex');
    idBytes.write(name, 'hex');
    idBytes.copy(records, at + 12);
    if (known.find(id, 'data') >= 0 || !claims.claim(id, 'data')) return;
    discarded(piece.length);
    if (packer.add(name, plain)) finishPack(true);
  });
  slots.free(slot);
  post({ kind: 'pieces', records }, [records.buffer]);
}

for (let slot = slots.next(); slot >= 0; slot = slots.next()) saveSlot(slot);
if (!packer.isEmpty) finishPack(false);
else packBuffers.give(current);
post({ kind: 'ended' });
