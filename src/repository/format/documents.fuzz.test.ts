import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fuzzing, mutateBytes, mutateJson, parsedOrRefused, randomOf } from '../fixture/mutation.ts';
import { encodeDocument, parseConfigDocument, parseLock, parseSnapshot, type LockDocument, type SnapshotDocument } from './documents.ts';
import { parseTime } from './go-time.ts';

const ID = 'cd'.repeat(32);
const TIME = '2026-11-20T12:00:00.123456789+01:00';

const SNAPSHOT: SnapshotDocument = {
  time: TIME, parent: ID, tree: ID, paths: ['/srv'], hostname: 'h', username: 'u', uid: 1000, gid: 1000, excludes: ['*.tmp'], tags: ['stack:a', 'store:b'], original: ID, program_version: 'holdfast 0.1.0',
  summary: {
    backup_start: TIME, backup_end: TIME, files_new: 1, files_changed: 2, files_unmodified: 3, dirs_new: 4, dirs_changed: 5, dirs_unmodified: 6,
    data_blobs: 7, tree_blobs: 8, data_added: 9, data_added_packed: 10, total_files_processed: 11, total_bytes_processed: 12,
  },
};
const LOCK: LockDocument = { time: TIME, exclusive: true, hostname: 'h', username: 'u', pid: 4711, uid: 1000, gid: 1000 };
const CONFIG = { version: 2, id: ID, chunker_polynomial: '3da3358b4dc173', chunker: 'rabin' };

function damaged(document: unknown, seed: number): string {
  const random = randomOf(seed);
  return seed % 3 === 0 ? mutateBytes(Buffer.from(encodeDocument(document)), random).toString('utf8') : JSON.stringify(mutateJson(document, random));
}

const isTexts = (list: readonly unknown[] | undefined): boolean => list === undefined || list.every((item) => typeof item === 'string');
const isCount = (value: unknown): boolean => typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;

describe('whatever stands where a document should', () => {
  it('a snapshot is refused, or has the fields of one', () => {
    fc.assert(
      fc.property(fc.integer(), (seed) => {
        const snapshot = parsedOrRefused(() => parseSnapshot(damaged(SNAPSHOT, seed)));
        if (!snapshot) return;
        expect(typeof parseTime(snapshot.time)).toBe('bigint');
        for (const id of [snapshot.tree, snapshot.parent ?? ID, snapshot.original ?? ID]) expect(id).toMatch(/^[0-9a-f]{64}$/);
        expect([snapshot.paths, snapshot.tags, snapshot.excludes].every(isTexts)).toBe(true);
        expect(isTexts([snapshot.hostname ?? '', snapshot.username ?? '', snapshot.program_version ?? ''])).toBe(true);
        expect([snapshot.uid ?? 0, snapshot.gid ?? 0].every(isCount)).toBe(true);
        if (!snapshot.summary) return;
        const { backup_start: start, backup_end: end, files_new: files, total_bytes_processed: bytes } = snapshot.summary;
        expect([typeof parseTime(start), typeof parseTime(end), isCount(files), isCount(bytes)]).toEqual(['bigint', 'bigint', true, true]);
      }),
      fuzzing(800),
    );
  });

  it('a lock is refused, or has the fields of one', () => {
    fc.assert(
      fc.property(fc.integer(), (seed) => {
        const lock = parsedOrRefused(() => parseLock(damaged(LOCK, seed)));
        if (!lock) return;
        expect([typeof parseTime(lock.time), typeof lock.exclusive, isCount(lock.pid)]).toEqual(['bigint', 'boolean', true]);
        expect(isTexts([lock.hostname, lock.username])).toBe(true);
      }),
      fuzzing(),
    );
  });

  it('a config is refused, or has the fields of one', () => {
    fc.assert(
      fc.property(fc.integer(), (seed) => {
        const config = parsedOrRefused(() => parseConfigDocument(damaged(CONFIG, seed)));
        if (config) expect([isCount(config.version), /^[0-9a-f]{64}$/.test(config.id), typeof config.chunker_polynomial]).toEqual([true, true, 'string']);
      }),
      fuzzing(),
    );
  });
});

describe('a snapshot that is written again', () => {
  it('keeps what this version does not know, in its place', () => {
    const { time, ...rest } = SNAPSHOT;
    const foreign = encodeDocument({ time, label: 'of another program', ...rest, delete: { after: TIME } });
    expect(encodeDocument(parseSnapshot(foreign))).toBe(foreign);
  });

  it('may lack what only newer programs write', () => {
    expect(parseSnapshot(`{"time":"${TIME}","tree":"${ID}","paths":null,"tags":null}`)).toEqual({ time: TIME, tree: ID, paths: [] });
  });
});
