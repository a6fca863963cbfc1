import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { Secret } from '../../base/secret.ts';
import { fuzzing, mutateBytes, mutateJson, parsedOrRefused, randomOf } from '../fixture/mutation.ts';
import { createKeyFile, newMasterKey, openKeyFile, parseKeyFile, type KeyFile } from './key-file.ts';
import { MAX_SCRYPT_MEMORY, MAX_SCRYPT_WORK } from './limits.ts';

const password = new Secret('correct horse');
const master = newMasterKey();
/** Cheap to open: the least that scrypt takes. */
const COST = { N: 2, r: 1, p: 1 };
let file: KeyFile;
beforeAll(async () => {
  file = await createKeyFile(master, password, { created: '2026-11-20T12:00:00Z', username: 'u', hostname: 'h' }, COST);
});

describe('whatever stands where a key file should', () => {
  it('it is refused, or can be opened at a price that a machine can pay', () => {
    fc.assert(
      fc.property(fc.integer(), (seed) => {
        const random = randomOf(seed);
        const text = seed % 3 === 0 ? mutateBytes(Buffer.from(JSON.stringify(file)), random).toString('utf8') : JSON.stringify(mutateJson(file, random));
        const key = parsedOrRefused(() => parseKeyFile(text));
        if (!key) return;
        expect(128 * key.N * key.r).toBeLessThanOrEqual(MAX_SCRYPT_MEMORY);
        expect(key.N * key.r * key.p).toBeLessThanOrEqual(MAX_SCRYPT_WORK);
        expect([key.created, key.username, key.hostname, key.salt, key.data].every((field) => typeof field === 'string')).toBe(true);
      }),
      fuzzing(),
    );
  });

  it('gives its master key, or nothing, or an error: never another key', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer(), async (seed) => {
        const key = parsedOrRefused(() => parseKeyFile(JSON.stringify(mutateJson(file, randomOf(seed)))));
        if (!key || key.N * key.r * key.p > 1 << 14) return;
        const opened = await openKeyFile(key, password);
        if (opened) expect(opened).toEqual(master);
      }),
      fuzzing(150),
    );
  });

  it.each([
    ['memory for scrypt', { N: 2 ** 30, r: 8, p: 1 }],
    ['hours of scrypt', { N: 32768, r: 8, p: 2 ** 20 }],
    ['blocks of gigabytes', { N: 2, r: 2 ** 30, p: 1 }],
    ['an N that is no power of two', { N: 1000, r: 8, p: 1 }],
    ['an N of 1', { N: 1, r: 8, p: 1 }],
    ['no passes', { N: 32768, r: 8, p: 0 }],
    ['half a block', { N: 32768, r: 0.5, p: 1 }],
    ['a cost that is text', { N: '32768', r: 8, p: 1 }],
    ['another derivation', { kdf: 'argon2' }],
    ['a salt that is too short', { salt: 'YWJj' }],
    ['a salt that is no base64', { salt: '*'.repeat(88) }],
    ['a master key that is cut short', { data: 'YWJj' }],
  ])('one that asks for %s is refused at once', (_, change) => {
    const started = performance.now();
    expect(() => parseKeyFile(JSON.stringify({ ...file, ...change }))).toThrow(Error);
    expect(performance.now() - started).toBeLessThan(200);
  });

  it('a sealed master key that is none is an error and no key', async () => {
    const sealed = async (plain: object): Promise<KeyFile> => {
      const { Cipher } = await import('./cipher.ts');
      const { scryptSync } = await import('node:crypto');
      const bytes = scryptSync('correct horse', Buffer.from(file.salt, 'base64'), 64, COST);
      const cipher = new Cipher({ encrypt: bytes.subarray(0, 32), macK: bytes.subarray(32, 48), macR: bytes.subarray(48, 64) });
      return { ...file, data: cipher.seal(Buffer.from(JSON.stringify(plain))).toString('base64') };
    };
    const zeros = Buffer.alloc(32).toString('base64');
    for (const plain of [{}, { mac: null }, { mac: { k: 1, r: 2 }, encrypt: 3 }, { mac: { k: 'YQ==', r: 'YQ==' }, encrypt: 'YQ==' }, { mac: { k: zeros.slice(0, 22), r: zeros.slice(0, 22) }, encrypt: zeros }]) {
      await expect(openKeyFile(await sealed(plain), password)).rejects.toThrow(/master key|no text/);
    }
  });
});
