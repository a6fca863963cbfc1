/** Damages every file of a small repository in every way, one after the other, and looks at what check, restore and cat make of it. */
import { firstError, isHoldfastError } from '../../src/base/errors.ts';
import { systemClock } from '../../src/base/clock.ts';
import { Secret } from '../../src/base/secret.ts';
import { BlobReader } from '../../src/repository/blob-reader.ts';
import { openCore, sha256 } from '../../src/repository/core.ts';
import { nodeName } from '../../src/repository/format/tree.ts';
import { loadIndex, loadReaderIndex } from '../../src/repository/index-loader.ts';
import { filledRepository, PASSWORD as FILLED_PASSWORD } from '../../src/repository/fixture/filled.ts';
import { openRepository, type CatKind, type Repository } from '../../src/repository/repository.ts';
import { verifyPack } from '../../src/repository/unpack/verify-pack.ts';
import { Decompressor } from '../../src/repository/format/zstd.ts';
import { MemoryStorage } from '../../src/storage/memory.ts';
import type { Storage, StoredFile } from '../../src/storage/storage.ts';
import { createKeyFile } from '../../src/repository/format/key-file.ts';
import { KINDS, noise } from './world.ts';

const PASSWORD = FILLED_PASSWORD;

/** What may happen to a file: `bytes` is what stands there then, undefined when it is gone. */
export interface Damage {
  readonly file: StoredFile;
  readonly what: string;
  readonly bytes: Buffer | undefined;
}

export interface SmallRepository {
  readonly storage: MemoryStorage;
  readonly files: readonly (StoredFile & { readonly bytes: Buffer })[];
  /** What reading everything gives when all is whole: paths with hashes, and what `cat` shows. */
  readonly content: ReadonlyMap<string, string>;
}

/** Two snapshots that share some of their files, two keys, every kind of file. */
export async function smallRepository(): Promise<SmallRepository> {
  const storage = new MemoryStorage();
  await filledRepository(storage, { 'a.txt': Buffer.from('alpha '.repeat(20)), 'empty': Buffer.alloc(0), 'b.bin': noise('b', 200) }, { 'a.txt': Buffer.from('alpha '.repeat(20)), 'c.bin': noise('c', 150) });
  const { key, keyId } = await openCore(storage, PASSWORD);
  for (const [password, user] of [[PASSWORD, 'first'], [new Secret('another'), 'second']] as const) {
    const bytes = Buffer.from(JSON.stringify(await createKeyFile(key, password, { created: '2026-11-20T12:00:00Z', username: user, hostname: 'h' }, { N: 2, r: 1, p: 1 })));
    await storage.save({ kind: 'key', id: sha256(bytes) }, bytes);
  }
  await storage.remove({ kind: 'key', id: keyId });
  const files: (StoredFile & { bytes: Buffer })[] = [];
  for (const kind of KINDS) for await (const { id } of storage.list(kind)) files.push({ kind, id, bytes: await storage.load({ kind, id }) });
  return { storage, files, content: await readEverything(storage, files) };
}

/** Every file of every snapshot and every document; what cannot be read has the value of no hash, its error. */
async function readEverything(storage: Storage, files: readonly StoredFile[]): Promise<ReadonlyMap<string, string>> {
  const found = new Map<string, string>();
  const read = async (name: string, work: () => Promise<Uint8Array>): Promise<void> => {
    try {
      found.set(name, sha256(await work()));
    } catch (error) {
      found.set(name, `error ${errorOf(error)}`);
    }
  };
  let repository: Repository;
  try {
    repository = await openRepository(storage, PASSWORD, systemClock);
  } catch (error) {
    return found.set('open', `error ${errorOf(error)}`);
  }
  for (const { kind, id } of files) if (kind !== 'proof') await read(`cat ${kind} ${id}`, () => repository.cat(kind as CatKind, id));
  try {
    const snapshots = await repository.snapshots();
    const core = await openCore(storage, PASSWORD);
    const blobs = new BlobReader(core, await loadReaderIndex(core));
    for (const { id, tree } of snapshots) await walk(blobs, tree, `snapshot ${id}`, read, found);
  } catch (error) {
    found.set('snapshots', `error ${errorOf(error)}`);
  }
  return found;
}

type Read = (name: string, work: () => Promise<Uint8Array>) => Promise<void>;

async function walk(blobs: BlobReader, tree: string, above: string, read: Read, found: Map<string, string>): Promise<void> {
  try {
    for (const node of await blobs.tree(tree)) {
      const path = `${above}/${nodeName(node)}`;
      found.set(`node ${path}`, sha256(Buffer.from(JSON.stringify(node))));
      if (node.type === 'dir') await walk(blobs, node.subtree ?? '', path, read, found);
      else await read(path, async () => Buffer.concat(await Promise.all((node.content ?? []).map((id) => blobs.read(id, 'data')))));
    }
  } catch (error) {
    found.set(above, `error ${errorOf(error)}`);
  }
}

/** The code and the sentence; anything that is no error of ours is told as a bug. */
function errorOf(thrown: unknown): string {
  const error = firstError(thrown);
  return isHoldfastError(error) && error.code !== 'internal' ? `${error.code}: ${error.message}` : `BUG ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`;
}

export interface Verdict {
  /** What `check --read-data` says is wrong; sentences. */
  readonly found: readonly string[];
  /** What was given out and is not what was stored; sentences. There must be none. */
  readonly wrong: readonly string[];
}

/** Applies the damage, looks, and makes all as it was. */
export async function judgeDamage({ storage, files, content }: SmallRepository, damages: readonly Damage[], thorough = false): Promise<Verdict> {
  for (const { file, bytes } of damages) await (bytes ? storage.save(file, bytes) : storage.remove(file));
  try {
    const found = await checked(storage, thorough);
    const now = await readEverything(storage, files);
    const wrong: string[] = [];
    for (const [name, value] of now) {
      const before = content.get(name);
      if (value.startsWith('error BUG')) wrong.push(`${name}: ${value}`);
      else if (!value.startsWith('error ') && value !== before) wrong.push(`${name} ${before === undefined ? 'was not there before' : 'is given out, and is not what was stored'}`);
    }
    return { found, wrong };
  } finally {
    for (const file of files) await storage.save(file, file.bytes);
  }
}

/** What `check --read-data` finds. The threads only run `verifyPack`, which is called here itself unless `thorough`: threads take long to start. */
async function checked(storage: Storage, thorough: boolean): Promise<readonly string[]> {
  try {
    const repository = await openRepository(storage, PASSWORD, systemClock);
    const options = { signal: new AbortController().signal, step: () => undefined, progress: () => undefined, random: () => 0.5 };
    const report = await repository.check({ ...options, readData: { kind: thorough ? 'all' : 'none' } });
    const found = report.errors.map(({ subject, message }) => `${subject} ${message}`);
    return thorough ? found : [...found, ...(await verifiedPacks(storage))];
  } catch (error) {
    return [errorOf(error)];
  }
}

async function verifiedPacks(storage: Storage): Promise<readonly string[]> {
  const core = await openCore(storage, PASSWORD);
  // Damaged index files have been named already.
  const index = await loadIndex(core, () => undefined);
  const tools = { cipher: core.cipher, decompressor: new Decompressor(), sha256 };
  const found: string[] = [];
  for (const [number, pack] of index.packs.entries()) {
    if ((await storage.size({ kind: 'pack', id: pack })) === undefined) continue;
    const indexed = [...index.entriesByPack().of(number)].map((n) => index.blob(n)).sort((a, b) => a.offset - b.offset);
    found.push(...verifyPack(tools, pack, await storage.load({ kind: 'pack', id: pack }), indexed).map(({ message }) => `pack ${pack} ${message}`));
  }
  return found;
}

function changed(bytes: Buffer, at: number, mask: number): Buffer {
  const copy = Buffer.from(bytes);
  copy[at] = (copy[at] ?? 0) ^ mask;
  return copy;
}

/** One bit of every `stride`-th byte, and every `stride`·7-th byte as a whole. */
export function* flips({ files }: SmallRepository, stride: number): Generator<Damage> {
  for (const file of files) {
    for (let at = 0; at < file.bytes.length; at += stride) {
      yield { file, what: `bit ${at % 8} of byte ${at} turned`, bytes: changed(file.bytes, at, 1 << (at % 8)) };
      if (at % 7 === 0) yield { file, what: `byte ${at} inverted`, bytes: changed(file.bytes, at, 0xff) };
    }
  }
}

/** Cut to every `stride`-th length, and bytes behind the end. */
export function* lengths({ files }: SmallRepository, stride: number): Generator<Damage> {
  for (const file of files) {
    for (let length = 0; length < file.bytes.length; length += stride) yield { file, what: `cut to ${length} bytes`, bytes: file.bytes.subarray(0, length) };
    yield { file, what: 'cut by one byte', bytes: file.bytes.subarray(0, -1) };
    for (const more of [Buffer.alloc(1), Buffer.from('}'), noise('more', 40), file.bytes]) yield { file, what: `${more.length} bytes appended`, bytes: Buffer.concat([file.bytes, more]) };
  }
}

/** Every two files of a kind exchanged, and one put in place of the other. */
export function* exchanges({ files }: SmallRepository): Generator<readonly Damage[]> {
  for (const one of files) {
    for (const other of files) {
      if (one.kind !== other.kind || one.id === other.id) continue;
      const put = { file: one, what: `replaced by ${other.kind} ${other.id}`, bytes: other.bytes };
      yield [put];
      if (one.id < other.id) yield [put, { file: other, what: `replaced by ${one.kind} ${one.id}`, bytes: one.bytes }];
    }
  }
}

export function nameOf(damages: readonly Damage[]): string {
  return damages.map(({ file, what }) => `${file.kind} ${file.id.slice(0, 10)} ${what}`).join(' and ');
}
