import { hash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { BlobIndexBuilder } from './blob-index.ts';
import { encodeIndex, encodeIndexedPack } from './format/index-file.ts';

const idOf = (name: string): string => hash('sha256', name);

describe('an index that grows while it is used', () => {
  it('finds all that it has and nothing else, at every size', { timeout: 20_000 }, () => {
    const index = new BlobIndexBuilder().build();
    for (let n = 0; n < 300; n++) {
      const blobs = [{ id: idOf(`blob ${n}`), type: 'data', offset: 0, length: 100, uncompressedLength: 0 } as const];
      index.extend(Buffer.from(encodeIndex([encodeIndexedPack({ id: idOf(`pack ${n}`), blobs })])));
      expect(index.has(idOf(`blob ${n}`), 'data')).toBe(true);
      expect(index.has(idOf(`absent ${n}`), 'data')).toBe(false);
    }
    for (let n = 0; n < 300; n++) expect(index.locate(idOf(`blob ${n}`), 'data')?.pack).toBe(idOf(`pack ${n}`));
  });
});
