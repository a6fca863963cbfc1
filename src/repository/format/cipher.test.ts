import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { Cipher, SEAL_OVERHEAD, SealBroken } from './cipher.ts';
import { newMasterKey } from './key-file.ts';

describe('the cipher', () => {
  it('opens what it has sealed, at every length around its own steps', () => {
    const cipher = new Cipher(newMasterKey());
    for (const length of [0, 1, 15, 16, 17, 131071, 131072, 131073, 400_000]) {
      const plain = randomBytes(length);
      const sealed = cipher.seal(plain);
      expect(sealed.length).toBe(length + SEAL_OVERHEAD);
      expect(cipher.open(sealed).equals(plain)).toBe(true);
    }
  });

  it('computes Poly1305-AES as its author published it', () => {
    // D. J. Bernstein, "The Poly1305-AES message-authentication code", appendix B, first vector.
    const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');
    const cipher = new Cipher({ encrypt: Buffer.alloc(32), macK: hex('ec074c835580741701425b623235add6'), macR: hex('851fc40c3467ac0be05cc20404f3f700') });
    const sealed = Buffer.concat([hex('fb447350c4e868c52ac3275cf9d4327e'), hex('f3f6'), hex('f4c633c3044fc145f84f335cb81953de')]);
    expect(() => cipher.open(sealed)).not.toThrow();
  });

  it('refuses bytes that were changed anywhere, and too few of them', () => {
    const cipher = new Cipher(newMasterKey());
    const sealed = cipher.seal(Buffer.from('holdfast'));
    for (let at = 0; at < sealed.length; at++) {
      const changed = Buffer.from(sealed);
      changed[at] = (changed[at] ?? 0) ^ 1;
      expect(() => cipher.open(changed)).toThrow(SealBroken);
    }
    expect(() => cipher.open(sealed.subarray(0, 31))).toThrow(SealBroken);
  });

  it('refuses what another key has sealed', () => {
    const sealed = new Cipher(newMasterKey()).seal(Buffer.from('holdfast'));
    expect(() => new Cipher(newMasterKey()).open(sealed)).toThrow(SealBroken);
  });
});
