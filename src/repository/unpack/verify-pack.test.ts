import { describe, expect, it } from 'vitest';
import { sha256 } from '../core.ts';
import { Cipher } from '../format/cipher.ts';
import { newMasterKey } from '../format/key-file.ts';
import { Decompressor } from '../format/zstd.ts';
import { PACK_BUFFER_BYTES, Packer } from '../packer.ts';
import { verifyPack } from './verify-pack.ts';

const cipher = new Cipher(newMasterKey());
const tools = { cipher, decompressor: new Decompressor(), sha256 };

function pack(): ReturnType<Packer['finish']> {
  const packer = new Packer('data', cipher, 'auto', Buffer.alloc(PACK_BUFFER_BYTES));
  for (const text of ['holdfast '.repeat(50), 'a few bytes', 'x']) packer.add(sha256(Buffer.from(text)), Buffer.from(text));
  return packer.finish(Buffer.alloc(0));
}

describe('a pack', () => {
  it('that is whole has no problems', () => {
    const { id, bytes, blobs } = pack();
    expect(verifyPack(tools, id, bytes, blobs)).toEqual([]);
  });

  it('is found damaged whichever byte was changed', () => {
    const { id, bytes, blobs } = pack();
    for (let at = 0; at < bytes.length; at++) {
      const changed = Buffer.from(bytes);
      changed[at] = (changed[at] ?? 0) ^ 0x80;
      expect(verifyPack(tools, id, changed, blobs).length, `byte ${at}`).toBeGreaterThan(0);
    }
  });

  it('is found damaged wherever it was cut short', () => {
    const { id, bytes, blobs } = pack();
    for (let length = 0; length < bytes.length; length += 5) expect(verifyPack(tools, id, bytes.subarray(0, length), blobs).length, `${length} bytes`).toBeGreaterThan(0);
  });

  it('that lacks a blob of the index, or has one more, is named', () => {
    const { id, bytes, blobs } = pack();
    expect(verifyPack(tools, id, bytes, blobs.slice(1)).map(({ message }) => message)).toEqual(['its header lists 3 blobs and the index 2, 0 of them not where the header has them']);
  });
});
