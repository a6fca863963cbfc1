/** Key files: the repository's master key, sealed with a key that scrypt makes from a password (restic design.rst, "Keys"). */
import { randomBytes, scrypt } from 'node:crypto';
import { promisify } from 'node:util';
import type { Secret } from '../../base/secret.ts';
import { Cipher, SealBroken, type SealKey } from './cipher.ts';

/** The JSON of a key file, field by field. */
export interface KeyFile {
  readonly created: string;
  readonly username: string;
  readonly hostname: string;
  readonly kdf: 'scrypt';
  readonly N: number;
  readonly r: number;
  readonly p: number;
  /** base64 of 64 bytes */
  readonly salt: string;
  /** base64 of the sealed master key */
  readonly data: string;
}

/** Cost of scrypt: N=32768, r=8, p=1 needs 32 MiB and about 0.1 s. */
export interface KeyCost {
  readonly N: number;
  readonly r: number;
  readonly p: number;
}

export const DEFAULT_COST: KeyCost = { N: 32768, r: 8, p: 1 };
const SALT_BYTES = 64;

const deriveBytes = promisify<Buffer, Buffer, number, { N: number; r: number; p: number; maxmem: number }, Buffer>(scrypt);

async function passwordCipher(password: Secret, salt: Buffer, { N, r, p }: KeyCost): Promise<Cipher> {
  const maxmem = 128 * N * r * 2 + 128 * r * p + (1 << 20);
  const bytes = await deriveBytes(Buffer.from(password.reveal(), 'utf8'), salt, 64, { N, r, p, maxmem });
  return new Cipher({ encrypt: bytes.subarray(0, 32), macK: bytes.subarray(32, 48), macR: bytes.subarray(48, 64) });
}

/** A new master key. The bits of r that Poly1305 ignores are cleared, as restic does. */
export function newMasterKey(): SealKey {
  const macR = randomBytes(16);
  const clamp = [0xff, 0xff, 0xff, 0x0f, 0xfc, 0xff, 0xff, 0x0f, 0xfc, 0xff, 0xff, 0x0f, 0xfc, 0xff, 0xff, 0x0f];
  clamp.forEach((mask, i) => (macR[i] = (macR[i] ?? 0) & mask));
  return { encrypt: randomBytes(32), macK: randomBytes(16), macR };
}

export async function createKeyFile(
  master: SealKey,
  password: Secret,
  who: { readonly created: string; readonly username: string; readonly hostname: string },
  cost: KeyCost = DEFAULT_COST,
): Promise<KeyFile> {
  const salt = randomBytes(SALT_BYTES);
  const cipher = await passwordCipher(password, salt, cost);
  const { encrypt, macK, macR } = master;
  const plain = { mac: { k: macK.toString('base64'), r: macR.toString('base64') }, encrypt: encrypt.toString('base64') };
  const data = cipher.seal(Buffer.from(JSON.stringify(plain))).toString('base64');
  return { ...who, kdf: 'scrypt', ...cost, salt: salt.toString('base64'), data };
}

/** Throws when the JSON is no key file that this version can use. */
export function parseKeyFile(json: string): KeyFile {
  const key = JSON.parse(json) as Partial<KeyFile>;
  if (key.kdf !== 'scrypt') throw new Error(`unknown key derivation '${String(key.kdf)}'`);
  const complete = typeof key.N === 'number' && typeof key.r === 'number' && typeof key.p === 'number';
  if (!complete || typeof key.salt !== 'string' || typeof key.data !== 'string') throw new Error('fields are missing');
  return key as KeyFile;
}

/** The master key, or undefined when the password is not this key's. */
export async function openKeyFile(key: KeyFile, password: Secret): Promise<SealKey | undefined> {
  const cipher = await passwordCipher(password, Buffer.from(key.salt, 'base64'), key);
  try {
    const plain = JSON.parse(cipher.open(Buffer.from(key.data, 'base64')).toString()) as { mac: { k: string; r: string }; encrypt: string };
    const bytes = (text: string): Buffer => Buffer.from(text, 'base64');
    return { encrypt: bytes(plain.encrypt), macK: bytes(plain.mac.k), macR: bytes(plain.mac.r) };
  } catch (error) {
    if (error instanceof SealBroken) return undefined;
    throw error;
  }
}
