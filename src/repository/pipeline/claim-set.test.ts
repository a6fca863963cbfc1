import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { ClaimSet, createClaims } from './claim-set.ts';

function idOf(text: string): Uint32Array {
  const bytes = createHash('sha256').update(text).digest();
  return new Uint32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + 32));
}

describe('the claim set', () => {
  it('gives every id to one caller only, over all views of the shared memory', () => {
    const shared = createClaims();
    const [one, two] = [new ClaimSet(shared), new ClaimSet(shared)];
    expect(one.claim(idOf('a'), 'data')).toBe(true);
    expect(two.claim(idOf('a'), 'data')).toBe(false);
    expect(two.claim(idOf('a'), 'tree')).toBe(true);
    expect(one.claim(idOf('b'), 'data')).toBe(true);
  });

  it('goes on in the next table when the first is full, and still knows what is in it', () => {
    const claims = new ClaimSet(createClaims());
    const count = 100_000;
    for (let i = 0; i < count; i++) expect(claims.claim(idOf(String(i)), 'data')).toBe(true);
    for (let i = 0; i < count; i += 997) expect(claims.claim(idOf(String(i)), 'data')).toBe(false);
  });
});
