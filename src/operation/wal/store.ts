/**
 * Puts write-ahead log into a repository: a snapshot for each window, replaced by one that holds more. Order: what a snapshot needs is
 * stored and read back, then the snapshot, then the server hears of it, then the older one goes. Dying between any two of these leaves
 * a snapshot with all that was ever acknowledged.
 */
import { createHash, randomBytes } from 'node:crypto';
import * as os from 'node:os';
import { collectWhenGrown } from '../../base/garbage.ts';
import { HoldfastError, isHoldfastError } from '../../base/errors.ts';
import { fromText } from '../../base/raw-name.ts';
import { PROGRAM } from '../../base/version.ts';
import { formatLsn, historyName, readLsn, segmentName, type Lsn } from '../../client/postgres/replication/lsn.ts';
import type { ReceivedSegment } from '../../client/postgres/replication/segment.ts';
import { superseded, windowIsFull } from '../../policy/wal-window.ts';
import type { Content, DirectoryEntry, FileEntry } from '../../repository/entry.ts';
import { describeKeeping, tagValue, type ArchiveResult, type Repository, type Snapshot } from '../../repository/repository.ts';
import { encodeCovered, WAL_FILE, WAL_FOLDER, WAL_PART, type WalCoverage, type WalManifest, type WalSegment } from '../../source/cluster/wal-archive.ts';
import type { Context } from '../context.ts';
import { createManifest, encodeManifest, MANIFEST_FILE } from '../manifest.ts';
import { snapshotsOf } from '../select.ts';

/** Older snapshots of a window go at most so often: who lists the snapshots just then must look twice. */
const TIDY_MS = 60_000;

export interface WalStoreOptions {
  readonly repository: Repository;
  readonly stack: string;
  readonly store: string;
  readonly tier: string;
  readonly server: { readonly systemId: string; readonly version: string; readonly segmentBytes: number };
  /** Who writes: windows of the two are kept apart, since both may be at work at once. */
  readonly window?: 'follow' | 'push';
}

/** A segment with what wal.json says of it. */
export interface DescribedSegment {
  readonly received: ReceivedSegment;
  readonly ended: WalSegment['ended'];
}

export interface FlushRequest {
  readonly segments: readonly DescribedSegment[];
  /** By timeline. */
  readonly histories: ReadonlyMap<number, Buffer>;
  /** Other files to keep, by name. */
  readonly others?: ReadonlyMap<string, Buffer>;
  readonly covered: WalCoverage | undefined;
}

export interface Flushed {
  readonly snapshot: string;
  /** Bytes that the repository has grown by. */
  readonly added: number;
  readonly ms: number;
  /** What a person should know of the repository. */
  readonly warning: string | undefined;
}

interface Window {
  readonly id: string;
  readonly beganAtMs: number;
  snapshot: string | undefined;
  tree: string | undefined;
  archived: ArchiveResult | undefined;
  manifest: WalManifest;
}

export class WalStore {
  readonly #options: WalStoreOptions;
  readonly #context: Context;
  #window: Window;
  /** Snapshots of ours that a newer one has replaced, to be removed. */
  #replaced: string[] = [];
  #tidiedMs = 0;
  #cannotRemove = false;
  /** Of all timelines that were met: each window has them, so that older ones can be forgotten. */
  readonly #histories = new Map<number, Buffer>();

  constructor(options: WalStoreOptions, context: Context) {
    this.#options = options;
    this.#context = context;
    this.#window = this.#newWindow();
  }

  /** Goes on in the window of this snapshot. */
  resume(snapshot: Snapshot, manifest: WalManifest): void {
    const id = tagValue(snapshot, 'window');
    if (id === undefined || id.endsWith('-push') !== (this.#options.window === 'push') || manifest.systemId !== this.#options.server.systemId) return;
    this.#window = { id, beganAtMs: beganAt(id) ?? Date.parse(snapshot.time), snapshot: snapshot.id, tree: snapshot.tree, archived: undefined, manifest };
  }

  /** Finds snapshots that an earlier run has replaced and not removed. */
  tidyLater(snapshots: readonly Snapshot[]): void {
    const { stack, store } = this.#options;
    const own = snapshotsOf(snapshots, { stack, store, part: WAL_PART }).map((snapshot) => ({ id: snapshot.id, parent: snapshot.parent, window: tagValue(snapshot, 'window') }));
    this.#replaced.push(...superseded(own).map(({ id }) => id));
  }

  /** Stores what has come. When it resolves, all of it is durable, read back, and found by whoever restores. Throws what the storage throws, and `repository-locked`. */
  async flush(request: FlushRequest): Promise<Flushed> {
    try {
      const flushed = await this.#flush(request);
      // The buffers of a pipeline are shared memory, which no heap counts: without this those of several flushes live at once.
      collectWhenGrown(0);
      return flushed;
    } catch (error) {
      if (!isHoldfastError(error, 'repository-damaged') || this.#window.snapshot === undefined) throw error;
      // What the window held was forgotten, or is lost: what comes now is stored all the same, in a window of its own.
      this.#window = this.#newWindow();
      return { ...(await this.#flush(request)), warning: error.message };
    }
  }

  async #flush(request: FlushRequest): Promise<Flushed> {
    const { clock } = this.#context;
    const { repository, server } = this.#options;
    const started = clock.elapsedMs();
    const at = clock.now();
    await using _lock = await repository.lockForAppending();
    const { manifest: before } = this.#window;
    let warning: string | undefined;
    if (before.segments.length > 0 && windowIsFull({ segments: before.segments.length, beganAtMs: this.#window.beganAtMs }, server.segmentBytes, at.getTime())) {
      warning = await this.#closeWindow();
    }
    const window = this.#window;
    for (const [timeline, bytes] of request.histories) this.#histories.set(timeline, bytes);
    const histories = window.snapshot === undefined ? this.#histories : request.histories;
    const manifest = this.#merge({ ...request, histories });
    const unchanged = window.archived !== undefined && window.tree !== undefined && request.segments.length === 0 && request.histories.size === 0 && request.others === undefined;
    const archived = unchanged ? window.archived : await this.#archive({ ...request, histories }, manifest);
    if (archived === undefined) throw new Error('a flush without an archive');
    const snapshot = await this.#saveSnapshot(archived, manifest, request.covered, at);
    if (window.snapshot !== undefined) this.#replaced.push(window.snapshot);
    Object.assign(window, { snapshot, tree: archived.tree, archived, manifest });
    await this.#tidy();
    return { snapshot, added: unchanged ? 0 : archived.dataAddedPacked, ms: clock.elapsedMs() - started, warning };
  }

  #newWindow(): Window {
    const { store, server } = this.#options;
    const now = this.#context.clock.now();
    const id = `${now.toISOString().replace(/[-:]/g, '').slice(0, 15)}Z-${randomBytes(3).toString('hex')}${this.#options.window === 'push' ? '-push' : ''}`;
    const manifest: WalManifest = { format: 1, store, systemId: server.systemId, server: server.version, segmentBytes: server.segmentBytes, segments: [], histories: [], coverage: [] };
    return { id, beganAtMs: now.getTime(), snapshot: undefined, tree: undefined, archived: undefined, manifest };
  }

  /** The last snapshot of a full window stays. With object locks, all that it took over is locked from now on for as long. */
  async #closeWindow(): Promise<string | undefined> {
    const { snapshot, tree } = this.#window;
    const { repository } = this.#options;
    const report = snapshot === undefined || tree === undefined ? undefined : await repository.keepSnapshots([{ id: snapshot, tree }], this.#context.clock.now(), this.#context.signal);
    this.#window = this.#newWindow();
    return describeKeeping(report);
  }

  #merge({ segments, histories, others, covered }: FlushRequest): WalManifest {
    const { manifest } = this.#window;
    const bySegment = new Map(manifest.segments.map((segment) => [keyOf(segment.timeline, segment.start), segment]));
    for (const { received, ended } of segments) {
      const segment = describe(received, ended, this.#options.server.segmentBytes);
      bySegment.set(keyOf(segment.timeline, segment.start), segment);
    }
    return {
      ...manifest,
      segments: [...bySegment.values()],
      histories: [...new Set([...manifest.histories, ...[...histories.keys()].map(historyName)])],
      ...(others !== undefined || manifest.others !== undefined ? { others: [...new Set([...(manifest.others ?? []), ...(others?.keys() ?? [])])] } : {}),
      coverage: thinned(manifest.coverage, covered),
    };
  }

  async #archive(request: FlushRequest, manifest: WalManifest): Promise<ArchiveResult> {
    const { repository, stack, store, tier } = this.#options;
    const at = new Date(this.#window.beganAtMs);
    const fresh = new Map<string, Buffer>();
    for (const { received } of request.segments) fresh.set(fileOf(received, manifest.segmentBytes), received.bytes);
    for (const [timeline, bytes] of request.histories) fresh.set(historyName(timeline), bytes);
    for (const [name, bytes] of request.others ?? []) fresh.set(name, bytes);
    const sizes = new Map(manifest.segments.map((segment) => [segment.file, sizeOf(segment)]));
    const names = [...manifest.segments.map(({ file }) => file), ...manifest.histories, ...(manifest.others ?? [])];
    const files = names.map((name) => fileEntry(name, contentOf(name, fresh.get(name), store), sizes.get(name) ?? fresh.get(name)?.length ?? 0, at));
    const walJson = Buffer.from(`${JSON.stringify(manifest)}\n`);
    const root = folderEntry('', [folderEntry(WAL_FOLDER, files, at), fileEntry(WAL_FILE, { from: 'bytes', bytes: walJson }, walJson.length, at)], at);
    return await repository.archive({
      // The last flush of a run that is being ended is not cut short; `signal` of the operation only ends the waiting for more.
      root, parallel: 1, previousTree: this.#window.tree, compression: 'auto', sparing: true, signal: new AbortController().signal,
      problem: ({ subject, message }) => {
        throw new HoldfastError('internal', `${subject} ${message}`);
      },
      progress: () => undefined,
      closing: () => {
        const counts = { segments: manifest.segments.length, transactions: manifest.segments.reduce((sum, { ended }) => sum + (ended?.count ?? 0), 0), files: names.length + 1, folders: 1, others: 0 };
        const run = this.#window.id;
        const content = { kind: 'wal', moment: at.toISOString(), consistency: 'transactional' as const, counts, problems: [], leftOut: [], detail: {} };
        const bytes = encodeManifest(createManifest({ stack, store, run, tier, content }));
        return Promise.resolve([fileEntry(MANIFEST_FILE, { from: 'bytes', bytes }, bytes.length, at)]);
      },
    });
  }

  async #saveSnapshot(archived: ArchiveResult, manifest: WalManifest, covered: WalCoverage | undefined, at: Date): Promise<string> {
    const { repository, stack, store } = this.#options;
    const { uid, gid, username } = os.userInfo();
    const { id, snapshot: parent } = this.#window;
    const newest = covered ?? manifest.coverage.at(-1);
    const tags = [`stack:${stack}`, `store:${store}`, `part:${WAL_PART}`, `run:${id}`, 'state:ok', `window:${id}`, ...(newest === undefined ? [] : [`covered:${encodeCovered(newest)}`])];
    return await repository.saveSnapshot({ at, parent, tree: archived.tree, paths: [`/${store}/${WAL_FOLDER}`], hostname: os.hostname(), username, uid, gid, tags, program: PROGRAM, archived });
  }

  /** Removes what was replaced. Where nothing may be removed it stays: it takes little, and retention knows what it is. */
  async #tidy(): Promise<void> {
    const nowMs = this.#context.clock.elapsedMs();
    if (this.#cannotRemove || this.#replaced.length === 0 || (this.#tidiedMs > 0 && nowMs - this.#tidiedMs < TIDY_MS)) return;
    this.#tidiedMs = nowMs;
    for (const id of this.#replaced.splice(0)) {
      try {
        await this.#options.repository.remove('snapshot', id);
      } catch (error) {
        if (!isHoldfastError(error, 'storage-denied', 'storage-kept')) {
          this.#replaced.push(id);
          return;
        }
        this.#cannotRemove = true;
        this.#context.emit({ type: 'step', store: this.#options.store, sentence: `older snapshots of write-ahead log stay, since they cannot be removed: ${error.message}` });
        return;
      }
    }
  }
}

function keyOf(timeline: number, start: string): string {
  return `${timeline} ${start}`;
}

function beganAt(window: string): number | undefined {
  const [, date, hours, minutes, seconds] = /^(\d{8})T(\d\d)(\d\d)(\d\d)Z/.exec(window) ?? [];
  return date === undefined ? undefined : Date.parse(`${date.slice(0, 4)}-${date.slice(4, 6)}-${date.slice(6)}T${hours}:${minutes}:${seconds}Z`);
}

function fileOf({ timeline, start, whole }: ReceivedSegment, segmentBytes: number): string {
  return `${segmentName(timeline, start, segmentBytes)}${whole ? '' : '.partial'}`;
}

function describe(received: ReceivedSegment, ended: WalSegment['ended'], segmentBytes: number): WalSegment {
  const { timeline, start, bytes } = received;
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  const end: Lsn = start + BigInt(bytes.length);
  return { file: fileOf(received, segmentBytes), timeline, start: formatLsn(start), end: formatLsn(end), sha256, ...(ended === undefined ? {} : { ended }) };
}

/** The points of a window: at most one for each position and minute, and the newest. */
function thinned(points: readonly WalCoverage[], next: WalCoverage | undefined): WalCoverage[] {
  if (next === undefined) return [...points];
  const before = points.at(-2);
  const last = points.at(-1);
  const close = before !== undefined && last !== undefined && before.timeline === last.timeline && BigInt(last.atUs) - BigInt(before.atUs) < 60_000_000n;
  return [...(close ? points.slice(0, -1) : points), next];
}

function sizeOf({ start, end }: WalSegment): number {
  return Number(readLsn(end) - readLsn(start));
}

function contentOf(name: string, bytes: Buffer | undefined, store: string): Content {
  if (bytes !== undefined) return { from: 'bytes', bytes };
  const gone = (): Promise<void> => Promise.reject(new HoldfastError('repository-damaged', `the write-ahead log ${name} of ${store}, which was stored before, is gone from the repository`, { hint: 'Run `holdfast check`.' }));
  return { from: 'previous', path: fromText(`/${WAL_FOLDER}/${name}`), kept: () => undefined, otherwise: { from: 'stream', write: gone } };
}

function metadataAt(at: Date, mode: number, size: number): FileEntry['metadata'] {
  const ns = BigInt(at.getTime()) * 1_000_000n;
  const { uid, gid } = os.userInfo();
  return { mode, uid, gid, mtimeNs: ns, atimeNs: ns, ctimeNs: ns, inode: 0n, deviceId: 0n, links: 1, size };
}

function fileEntry(name: string, content: Content, size: number, at: Date): FileEntry {
  return { type: 'file', name: fromText(name), content, metadata: metadataAt(at, 0o100600, size) };
}

function folderEntry(name: string, children: readonly (FileEntry | DirectoryEntry)[], at: Date): DirectoryEntry {
  return { type: 'dir', name: fromText(name), metadata: metadataAt(at, 0o040700, 0), children: () => Promise.resolve(children) };
}
