/** An opened repository: reads and writes its small files, sealed and checked. Everything else in this folder builds on it. */
import { hash } from 'node:crypto';
import { HoldfastError, isHoldfastError, messageOf } from '../base/errors.ts';
import type { Secret } from '../base/secret.ts';
import type { Call, FileKind, ListedStoredFile, Storage } from '../storage/storage.ts';
import { Cipher, SealBroken, type SealKey } from './format/cipher.ts';
import { parseConfigDocument, type ConfigDocument } from './format/documents.ts';
import { openKeyFile, parseKeyFile, type KeyFile } from './format/key-file.ts';
import { MAX_DOCUMENT, MAX_INDEX, MAX_KEY_FILE } from './format/limits.ts';
import { degree, isIrreducible, POLYNOMIAL_DEGREE } from './format/polynomial.ts';
import { encodeUnpacked, unpackedBytes } from './format/unpacked.ts';
import { HeldLocks, withHeldLocks } from './held-locks.ts';
import { saveProven } from './save-proven.ts';

/** restic looks at no more keys than this. */
const MAX_KEYS = 20;

/** The kinds of files whose content is sealed JSON. */
export type DocumentKind = 'snapshot' | 'index' | 'lock' | 'proof';

export interface Core {
  /** Writes and removes only while the locks that were taken are held. */
  readonly storage: Storage;
  readonly locks: HeldLocks;
  readonly key: SealKey;
  readonly cipher: Cipher;
  readonly config: ConfigDocument;
  readonly polynomial: bigint;
  /** The id of the key file that the password opened. */
  readonly keyId: string;
}

export function sha256(bytes: Uint8Array): string {
  return hash('sha256', bytes, 'hex');
}

/**
 * Loads a file whose name is the hash of its bytes, and checks that. What differs is loaded once more, past any cache: it may have
 * been changed on its way only, and nobody may call a file damaged, or mend what is whole, for that.
 */
export async function loadChecked(storage: Storage, kind: FileKind, id: string, call?: Call): Promise<Buffer> {
  const bytes = await storage.load({ kind, id }, undefined, call);
  if (sha256(bytes) === id) return bytes;
  const again = await storage.load({ kind, id }, undefined, { ...call, keep: false });
  if (sha256(again) === id) return again;
  throw new HoldfastError('repository-damaged', `${kind} ${id.slice(0, 10)} in ${storage.location} is not what was written: its hash differs`, {
    hint: 'Run `holdfast check --read-data` to see how far the damage goes.',
  });
}

/** The JSON text of a sealed document. */
export async function loadDocument(core: Core, kind: DocumentKind, id: string, call?: Call): Promise<string> {
  return openDocument(core, kind, id, await loadChecked(core.storage, kind, id, call)).toString('utf8');
}

/** The JSON of a sealed document whose hash was compared, as bytes. Throws `repository-damaged`. */
export function openDocument({ storage, cipher }: Core, kind: DocumentKind, id: string, sealed: Buffer): Buffer {
  try {
    return unpackedBytes(cipher.open(sealed), kind === 'index' ? MAX_INDEX : MAX_DOCUMENT);
  } catch (error) {
    throw new HoldfastError('repository-damaged', `${kind} ${id.slice(0, 10)} in ${storage.location} cannot be decoded: ${messageOf(error)}`, { cause: error });
  }
}

/** Seals and stores JSON text, and reads it back; answers its id. */
export async function saveDocument(core: Core, kind: DocumentKind, json: string): Promise<string> {
  const sealed = core.cipher.seal(encodeUnpacked(json));
  const id = sha256(sealed);
  if (!openDocument(core, kind, id, sealed).equals(Buffer.from(json))) throw new Error(`a ${kind} does not read back as it was written: faulty memory or a bug`);
  // A lock lives for minutes, and its holder does not need to read it.
  if (kind === 'lock') await core.storage.save({ kind, id }, sealed);
  else await saveProven(core.storage, { kind, id }, sealed);
  return id;
}

export async function listIds(storage: Storage, kind: FileKind): Promise<readonly string[]> {
  return (await listFiles(storage, kind)).map(({ id }) => id);
}

/** In the order of their ids. */
export async function listFiles(storage: Storage, kind: FileKind): Promise<readonly ListedStoredFile[]> {
  const files: ListedStoredFile[] = [];
  for await (const file of storage.list(kind)) files.push(file);
  return files.sort((a, b) => (a.id < b.id ? -1 : 1));
}

/** Finds the key that the password opens, and opens the repository. */
export async function openCore(unguarded: Storage, password: Secret): Promise<Core> {
  const locks = new HeldLocks();
  const storage = withHeldLocks(unguarded, locks);
  const keys = listIds(storage, 'key');
  // That there is no repository is told before that its keys cannot be listed.
  keys.catch(() => undefined);
  const sealedConfig = await loadConfig(storage);
  const ids = (await keys).slice(0, MAX_KEYS);
  const unusable: HoldfastError[] = [];
  for (const keyId of ids) {
    // A key file that is damaged keeps nobody out whose password opens another one.
    const key = await openKey(storage, keyId, password).catch((error: unknown) => {
      if (!isHoldfastError(error, 'repository-damaged', 'repository-format', 'file-missing')) throw error;
      unusable.push(error);
    });
    if (!key) continue;
    const cipher = new Cipher(key);
    const config = parseConfig(storage, openConfig(storage, cipher, sealedConfig));
    return { storage, locks, key, cipher, config, polynomial: BigInt(`0x${config.chunker_polynomial}`), keyId };
  }
  const [first] = unusable;
  if (first && unusable.length === ids.length) throw first;
  if (ids.length === 0) {
    throw new HoldfastError('repository-damaged', `${storage.location} has a config but no key`, { hint: 'Bring a file back into its folder `keys` from a copy of the repository.' });
  }
  const but = first ? `; ${unusable.length} of them cannot be used (${first.message})` : '';
  throw new HoldfastError('wrong-password', `the password opens none of the ${ids.length === 1 ? 'one key' : `${ids.length} keys`} of ${storage.location}${but}`, {
    hint: 'Is it the password of this repository? Holdfast has no way around it.',
  });
}

/** The master key of a key file; undefined when the password is not its own. */
async function openKey(storage: Storage, id: string, password: Secret): Promise<SealKey | undefined> {
  const file = await loadKeyFile(storage, id);
  try {
    return await openKeyFile(file, password);
  } catch (error) {
    throw new HoldfastError('repository-damaged', `key ${id.slice(0, 10)} in ${storage.location} cannot be used: ${messageOf(error)}`, { cause: error });
  }
}

async function loadConfig(storage: Storage): Promise<Buffer> {
  try {
    return await storage.load({ kind: 'config', id: '' });
  } catch (error) {
    if (!isHoldfastError(error, 'file-missing')) throw error;
    throw new HoldfastError('repository-missing', `there is no repository at ${storage.location}`, {
      hint: error.hint ?? 'Check the path, or make a repository there with `holdfast init`.', cause: error,
    });
  }
}

export async function loadKeyFile(storage: Storage, id: string): Promise<KeyFile> {
  const bytes = await loadChecked(storage, 'key', id);
  try {
    if (bytes.length > MAX_KEY_FILE) throw new Error(`${bytes.length} bytes are too many for a key file`);
    return parseKeyFile(bytes.toString('utf8'));
  } catch (error) {
    throw new HoldfastError('repository-format', `key ${id.slice(0, 10)} in ${storage.location} is not understood: ${messageOf(error)}`, { cause: error });
  }
}

function openConfig(storage: Storage, cipher: Cipher, sealed: Buffer): string {
  try {
    return cipher.open(sealed).toString('utf8');
  } catch (error) {
    if (!(error instanceof SealBroken)) throw error;
    throw new HoldfastError('repository-damaged', `the config file in ${storage.location} is not what was written: ${error.message}`, { hint: 'Bring the file `config` back from a copy of the repository; the rest may be whole.', cause: error });
  }
}

/** 54 bits as restic writes them: without leading zeros. */
const POLYNOMIAL = /^[23][0-9a-f]{13}$/;

function parseConfig(storage: Storage, json: string): ConfigDocument {
  const refuse = (why: string, cause?: unknown): HoldfastError =>
    new HoldfastError('repository-format', `${storage.location}: ${why}`, { hint: 'It may have been made by a newer program.', cause });
  const { chunker = 'rabin', ...config } = readConfig(json, refuse);
  if (config.version !== 2) throw refuse(`repository format version ${config.version} is not supported, only version 2`);
  // rustic can choose another chunker, whose boundaries we would not draw.
  if (chunker !== 'rabin') throw refuse(`the chunker '${String(chunker)}' is not supported`);
  const polynomial = POLYNOMIAL.test(config.chunker_polynomial) ? BigInt(`0x${config.chunker_polynomial}`) : 0n;
  if (degree(polynomial) !== POLYNOMIAL_DEGREE || !isIrreducible(polynomial)) throw refuse('the chunker polynomial is not usable');
  return config;
}

function readConfig(json: string, refuse: (why: string, cause?: unknown) => HoldfastError): ReturnType<typeof parseConfigDocument> {
  try {
    return parseConfigDocument(json);
  } catch (error) {
    throw refuse(`the config file is not understood: ${messageOf(error)}`, error);
  }
}
