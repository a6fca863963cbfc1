/** Key files: the repository's master key, sealed with a key that scrypt makes from a password (restic design.rst, "Keys"). */
import { randomBytes, scrypt } from 'node:crypto';
import { promisify } from 'node:util';
import type { Secret } from '../../base/secret.ts';
import { Cipher, SEAL_OVERHEAD, SealBroken, type SealKey } from './cipher.ts';
import { isObject, isUint, optional, parseObject, textOf, type JsonObject } from './json-shape.ts';
import { MAX_SCRYPT_MEMORY, MAX_SCRYPT_WORK } from './limits.ts';

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

/** Throws when the JSON is no key file that this version can use, or one that asks scrypt for more than any machine should give. */
export function parseKeyFile(json: string): KeyFile {
  const key = parseObject(json, 'the key file');
  const kdf = textOf(key, 'kdf');
  if (kdf !== 'scrypt') throw new Error(`unknown key derivation '${kdf.slice(0, 40)}'`);
  const salt = textOf(key, 'salt');
  const data = textOf(key, 'data');
  if (Buffer.from(salt, 'base64').length !== SALT_BYTES) throw new Error(`its salt has not ${SALT_BYTES} bytes`);
  if (Buffer.from(data, 'base64').length <= SEAL_OVERHEAD) throw new Error('its sealed master key is cut short');
  const { created = '', username = '', hostname = '' } = { ...optional(key, 'created', textOf), ...optional(key, 'username', textOf), ...optional(key, 'hostname', textOf) };
  return { created, username, hostname, kdf, ...costOf(key), salt, data };
}

function costOf(key: JsonObject): KeyCost {
  const { N, r, p } = key;
  if (!isUint(N) || !isUint(r) || !isUint(p) || N < 2 || r < 1 || p < 1 || !Number.isInteger(Math.log2(N))) throw new Error('its N, r and p are none that scrypt takes');
  if (128 * N * r > MAX_SCRYPT_MEMORY || N * r * p > MAX_SCRYPT_WORK) throw new Error(`its N, r and p (${N}, ${r}, ${p}) ask for more memory or time than any program that makes keys`);
  return { N, r, p };
}

/** The master key, or undefined when the password is not this key's. Throws Error when what it opens is none. */
export async function openKeyFile(key: KeyFile, password: Secret): Promise<SealKey | undefined> {
  const cipher = await passwordCipher(password, Buffer.from(key.salt, 'base64'), key);
  try {
    return parseMasterKey(cipher.open(Buffer.from(key.data, 'base64')).toString('utf8'));
  } catch (error) {
    if (error instanceof SealBroken) return undefined;
    throw error;
  }
}

function parseMasterKey(json: string): SealKey {
  const plain = parseObject(json, 'the master key');
  const { mac } = plain;
  if (!isObject(mac)) throw new Error('the master key has no MAC key');
  const bytes = (object: JsonObject, field: string, length: number): Buffer => {
    const found = Buffer.from(textOf(object, field), 'base64');
    // restic refuses keys of zeros, too: they are what a broken random generator gives.
    if (found.length !== length || found.every((byte) => byte === 0)) throw new Error(`the part '${field}' of the master key is not usable`);
    return found;
  };
  return { encrypt: bytes(plain, 'encrypt', 32), macK: bytes(mac, 'k', 16), macR: bytes(mac, 'r', 16) };
}
