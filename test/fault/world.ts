/** The worlds in which the campaign lets things fail: a repository in memory with old snapshots, and folders on disk that are backed up. */
import { createHash } from 'node:crypto';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import type { Clock } from '../../src/base/clock.ts';
import { Secret } from '../../src/base/secret.ts';
import { backup, type BackupReport } from '../../src/operation/backup.ts';
import type { Context } from '../../src/operation/context.ts';
import { openCore, saveDocument, sha256 } from '../../src/repository/core.ts';
import { createKeyFile } from '../../src/repository/format/key-file.ts';
import { encodeDocument } from '../../src/repository/format/documents.ts';
import { createRepository, openRepository, type Repository } from '../../src/repository/repository.ts';
import type { Stack, Store } from '../../src/stack/stack.ts';
import { MemoryStorage } from '../../src/storage/memory.ts';
import type { FileKind, Storage } from '../../src/storage/storage.ts';
import type { Scratch } from '../fixture/scratch.ts';

export const PASSWORD = new Secret('correct horse');
export const KINDS: readonly FileKind[] = ['config', 'key', 'snapshot', 'index', 'lock', 'pack', 'proof'];

/** A clock that tests move; `elapsedMs` is real, so that what waits for real things waits. */
export interface MovedClock extends Clock {
  move(ms: number): void;
}

export function movedClock(start = Date.UTC(2026, 10, 1, 12)): MovedClock {
  let offset = start - performance.now();
  return { now: () => new Date(offset + performance.now()), elapsedMs: () => performance.now(), move: (ms) => void (offset += ms) };
}

export function contextOf(clock: Clock, signal: AbortSignal = new AbortController().signal): Context {
  return { clock, signal, emit: () => undefined };
}

/** What a snapshot must give back: the hash of each file by its path. */
export type Content = ReadonlyMap<string, string>;

export interface World {
  readonly storage: MemoryStorage;
  /** Where copies go; empty repositories with other keys. */
  readonly second: MemoryStorage;
  /** What was there before anything failed, by the id of the snapshot. */
  readonly old: ReadonlyMap<string, Content>;
  readonly stack: Stack;
  /** What the folders hold now: what a backup that says it is done must have stored. */
  readonly now: Content;
  readonly clock: MovedClock;
}

/** Every file of a storage in a new one. */
export async function copyOf(storage: Storage): Promise<MemoryStorage> {
  const copy = new MemoryStorage();
  for (const kind of KINDS) for await (const { id } of storage.list(kind)) await copy.save({ kind, id }, await storage.load({ kind, id }));
  return copy;
}

/** A world of its own, in which faults may leave what they like. */
export async function copyWorld(world: World): Promise<World> {
  const clock = movedClock(world.clock.now().getTime());
  return { ...world, storage: await copyOf(world.storage), second: await copyOf(world.second), clock };
}

/** A repository whose key costs nothing to open: it is opened thousands of times. */
export async function cheapRepository(storage: Storage, clock: Clock): Promise<Repository> {
  await createRepository(storage, PASSWORD, clock);
  const { key, keyId } = await openCore(storage, PASSWORD);
  const bytes = Buffer.from(JSON.stringify(await createKeyFile(key, PASSWORD, { created: clock.now().toISOString(), username: 'u', hostname: 'h' }, { N: 2, r: 1, p: 1 })));
  await storage.save({ kind: 'key', id: sha256(bytes) }, bytes);
  await storage.remove({ kind: 'key', id: keyId });
  return await openRepository(storage, PASSWORD, clock);
}

export function directoryStore(name: string, path: string): Store {
  return { name, kind: 'directory', path, exclude: [], tier: 'important', backup: true };
}

/** Bytes that do not compress, the same each time. */
export function noise(seed: string, length: number): Buffer {
  const parts = Array.from({ length: Math.ceil(length / 32) }, (_, i) => createHash('sha256').update(`${seed} ${i}`).digest());
  return Buffer.concat(parts).subarray(0, length);
}

export async function fill(folder: string, files: Readonly<Record<string, Uint8Array>>): Promise<Content> {
  await rm(folder, { recursive: true, force: true });
  await mkdir(`${folder}/deep/er`, { recursive: true });
  for (const [name, bytes] of Object.entries(files)) await writeFile(`${folder}/${name}`, bytes);
  return new Map(Object.entries(files).map(([name, bytes]) => [`${folder}/${name}`, sha256(bytes)]));
}

function generation(n: number): Readonly<Record<string, Uint8Array>> {
  return {
    'same.txt': Buffer.from('the same in every snapshot\n'.repeat(50)),
    'empty': Buffer.alloc(0),
    'changing.txt': Buffer.from(`generation ${n}\n`.repeat(100)),
    'deep/large.bin': noise(`large ${Math.floor(n / 2)}`, 700_000),
    'deep/er/own.bin': noise(`own ${n}`, 3000),
  };
}

export async function backupOnce(storage: Storage, stack: Stack, clock: Clock, signal?: AbortSignal): Promise<BackupReport> {
  const repository = await openRepository(storage, PASSWORD, clock);
  return await backup({ stack, stores: stack.stores, repository, compression: 'auto', tags: [] }, contextOf(clock, signal));
}

/** The state of a run that must be right; throws what failed. */
export function snapshotsOf(report: BackupReport): readonly string[] {
  return report.stores.map((store) => {
    if (store.state === 'failed') throw store.error;
    return store.snapshot;
  });
}

/** A lock that a process on another host has left: fresh, or of an hour ago. */
export async function foreignLock(storage: Storage, clock: Clock, { exclusive, ageMs }: { readonly exclusive: boolean; readonly ageMs: number }): Promise<void> {
  const core = await openCore(storage, PASSWORD);
  const time = new Date(clock.now().getTime() - ageMs).toISOString();
  await saveDocument(core, 'lock', encodeDocument({ time, exclusive, hostname: `not-${hostname()}`, username: 'somebody', pid: 1 }));
}

/** A world with so many old snapshots, a day apart, and folders that have changed since the last. */
export async function makeWorld(place: Scratch, snapshots: number): Promise<World> {
  const clock = movedClock();
  const [storage, second] = [new MemoryStorage(), new MemoryStorage()];
  await cheapRepository(storage, clock);
  await cheapRepository(second, clock);
  const folder = place.path('files');
  const stack: Stack = { name: 'test', folder: place.folder, stores: [directoryStore('files', folder)], repositories: [], text: 'stack: test\n' };
  const old = new Map<string, Content>();
  for (let n = 0; n < snapshots; n++) {
    const content = await fill(folder, generation(n));
    for (const id of snapshotsOf(await backupOnce(storage, stack, clock))) old.set(id, content);
    clock.move(24 * 3600_000);
  }
  return { storage, second, old, stack, now: await fill(folder, generation(snapshots)), clock };
}

