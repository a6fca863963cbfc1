import { expect, test } from 'vitest';
import { Crc32c } from './crc32c.ts';

/** Bit by bit, from the definition. */
function slow(bytes: Uint8Array): string {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
  }
  const out = Buffer.alloc(4);
  out.writeInt32LE(~crc);
  return out.toString('hex');
}

test('it is the checksum of the standard, in the order of bytes of a server', () => {
  const sum = new Crc32c();
  sum.update(Buffer.from('123456789'));
  expect(sum.digest()).toBe('839206e3');
  expect(new Crc32c().digest()).toBe('00000000');
});

test('pieces of any length give the same as the whole', () => {
  const bytes = Buffer.from(Array.from({ length: 5000 }, (_, i) => (i * 7919) >> 3));
  for (const length of [1, 3, 15, 16, 17, 511, 4999, 5000]) {
    const sum = new Crc32c();
    for (let at = 0; at < bytes.length; at += length) sum.update(bytes.subarray(at, at + length));
    expect(sum.digest()).toBe(slow(bytes));
  }
  const large = Buffer.alloc(600_000, 'holdfast');
  const sum = new Crc32c();
  sum.update(large);
  expect(sum.digest()).toBe(slow(large));
});
