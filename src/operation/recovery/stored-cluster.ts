/** What a repository holds of a physical store, as far as a recovery is concerned: base backups, write-ahead log, and what stands in it. */
import { HoldfastError } from '../../base/errors.ts';
import { fromText } from '../../base/raw-name.ts';
import { Semaphore } from '../../base/semaphore.ts';
import { parseSegmentName, readLsn } from '../../client/postgres/replication/lsn.ts';
import { WalScanner } from '../../client/postgres/replication/wal-record.ts';
import type { RestorePoint, TransactionEnd } from '../../client/postgres/replication/wal-transaction.ts';
import type { BaseBackup, SegmentRecords, StoredLog } from '../../policy/stored-log.ts';
import { parseHistory, type StoredSegment, type WalMap } from '../../policy/wal-map.ts';
import { lineageOf, runFrom, type LogSegment, type TimelineHistory } from '../../policy/wal-lineage.ts';
import type { Repository, Snapshot } from '../../repository/repository.ts';
import { readClusterDetail, type ClusterDetail } from '../../source/cluster/manifest.ts';
import { readManifest } from '../manifest.ts';
import { snapshotsOf } from '../select.ts';
import { readWal, type StoredWal } from '../wal/read.ts';

export interface StoredBase {
  readonly snapshot: Snapshot;
  readonly detail: ClusterDetail;
  /** Of the data directory and its tablespaces. */
  readonly bytes: number;
}

/** One cluster: a store may have got a new server, which is another. */
export interface StoredCluster {
  readonly systemId: string;
  readonly log: StoredLog;
  /** By the id of the snapshot. */
  readonly bases: ReadonlyMap<string, StoredBase>;
  /** The bytes of a file of log, as many as are stored. */
  segment(segment: LogSegment): Promise<Buffer>;
  /** What stands in a file of log. `before`: the file that it follows on, in which its first record may begin. */
  records(segment: LogSegment): Promise<SegmentRecords>;
  /** All history files, by name. */
  histories(): Promise<ReadonlyMap<string, Buffer>>;
}

export interface StoredClusters {
  /** The one with the newest base backup first. */
  readonly clusters: readonly StoredCluster[];
  /** The newest log, when it is that of a cluster of which there is no base backup. */
  readonly foreign: WalMap | undefined;
}

/** All clusters of a store. Throws `snapshot-missing` when there is no base backup. Listed once: a follower may be storing more just now. */
export async function readStoredClusters(repository: Repository, stack: string, store: string): Promise<StoredClusters> {
  const snapshots = await repository.snapshots();
  const wal = await readWal(repository, stack, store, snapshots);
  const parallel = new Semaphore(4);
  const bases = await Promise.all(snapshotsOf(snapshots, { stack, store }).map((snapshot) => parallel.run(() => readBase(repository, snapshot))));
  if (bases.length === 0) throw new HoldfastError('snapshot-missing', `there is no base backup of ${store} in this repository`, { hint: `Make one with \`holdfast backup ${store}\`.` });
  const ids = [...new Set(bases.toReversed().map(({ detail }) => detail.systemId))];
  const clusters = await Promise.all(ids.map((id) => readCluster(repository, store, wal, wal.clusters.get(id), bases.filter(({ detail }) => detail.systemId === id))));
  return { clusters, foreign: wal.newest === undefined || ids.includes(wal.newest.systemId) ? undefined : wal.newest };
}

async function readBase(repository: Repository, snapshot: Snapshot): Promise<StoredBase> {
  await using opened = await repository.files(snapshot);
  const { content } = await readManifest(opened.files);
  return { snapshot, detail: readClusterDetail(content), bytes: content.counts['bytes'] ?? 0 };
}

type Stored = { readonly segment: LogSegment; read(): Promise<Buffer> };

async function readCluster(repository: Repository, store: string, wal: StoredWal, map: WalMap | undefined, bases: readonly StoredBase[]): Promise<StoredCluster> {
  const [first] = bases;
  const segmentBytes = map?.segmentBytes ?? first?.detail.segmentBytes ?? 0;
  const systemId = first?.detail.systemId ?? '';
  const histories = await readHistories(wal, map);
  const stored = new Map((map?.segments ?? []).map((segment): [string, Stored] => [plainName(segment.file), { segment: logSegment(segment), read: () => wal.segment(segment) }]));
  const backups = bases.map(baseBackup);
  for (const [i, base] of bases.entries()) {
    const backup = backups[i];
    if (backup !== undefined && !covers(backup, histories, stored, segmentBytes)) for (const own of await ownLog(repository, base, segmentBytes)) addUnlessKnown(stored, own);
  }
  const log: StoredLog = {
    store, bases: backups, segments: [...stored.values()].map(({ segment }) => segment), histories: histories.map(({ history }) => history), segmentBytes: BigInt(segmentBytes),
    // What ended just then may not be there.
    coverage: (map?.coverage ?? []).map(({ timeline, lsn, atUs }) => ({ timeline, lsn: readLsn(lsn), atUs: BigInt(atUs) - 1n })),
  };
  const read = async ({ file }: LogSegment): Promise<Buffer> => {
    const found = stored.get(file);
    if (found === undefined) throw new Error(`no log ${file}`);
    return await found.read();
  };
  return {
    systemId, log, bases: new Map(bases.map((base) => [base.snapshot.id, base])), segment: read,
    records: async (segment) => await readRecords(segment, previousOf(segment, log), read, segmentBytes),
    histories: async () => new Map(await Promise.all(histories.map(async ({ file, bytes }) => [file, await bytes()] as const))),
  };
}

function baseBackup({ snapshot, detail }: StoredBase): BaseBackup {
  return { snapshot: snapshot.id, timeline: detail.endTimeline, start: readLsn(detail.startLsn), end: readLsn(detail.endLsn), endedUs: BigInt(Date.parse(detail.stoppedAt)) * 1000n + 999n };
}

function logSegment({ file, timeline, startLsn, endLsn, ended }: StoredSegment): LogSegment {
  return { file: plainName(file), timeline, start: startLsn, end: endLsn, ended: ended && { count: ended.count, minUs: BigInt(ended.minUs), maxUs: BigInt(ended.maxUs) } };
}

function plainName(file: string): string {
  return file.replace(/\.partial$/, '');
}

async function readHistories(wal: StoredWal, map: WalMap | undefined): Promise<readonly { readonly file: string; readonly history: TimelineHistory; bytes(): Promise<Buffer> }[]> {
  return await Promise.all((map?.histories ?? []).map(async ({ timeline, file }) => {
    const bytes = async (): Promise<Buffer> => (await wal.history(map?.systemId ?? '', timeline)) ?? Buffer.alloc(0);
    const parents = parseHistory((await bytes()).toString('utf8')).map((entry) => ({ timeline: entry.timeline, until: entry.switchAt }));
    return { file, history: { timeline, parents }, bytes };
  }));
}

function covers(base: BaseBackup, histories: readonly { readonly history: TimelineHistory }[], stored: ReadonlyMap<string, Stored>, segmentBytes: number): boolean {
  const lineage = lineageOf(base.timeline, histories.map(({ history }) => history));
  return runFrom(lineage, base.start, [...stored.values()].map(({ segment }) => segment), BigInt(segmentBytes)).until >= base.end;
}

/** A base backup carries the log that makes it consistent: for those that nobody has followed. */
async function ownLog(repository: Repository, { snapshot, detail }: StoredBase, segmentBytes: number): Promise<readonly Stored[]> {
  const folder = fromText(`/${detail.store}/data/pg_wal`);
  await using opened = await repository.files(snapshot);
  const names = (await opened.files.list(folder)).map(({ name }) => name);
  const end = readLsn(detail.endLsn);
  const found: Stored[] = [];
  for (const name of names.toSorted()) {
    const place = parseSegmentName(name, segmentBytes);
    if (place === undefined || place.start >= end) continue;
    const read = async (): Promise<Buffer> => {
      await using again = await repository.files(snapshot);
      return await again.files.bytes(fromText(`${folder}/${name}`));
    };
    const whole = place.start + BigInt(segmentBytes);
    const { ends } = await readRecords({ file: name, ...place, end: whole }, undefined, read, segmentBytes);
    const times = ends.map(({ timeUs }) => timeUs).toSorted((a, b) => (a < b ? -1 : 1));
    const [minUs, maxUs] = [times[0], times.at(-1)];
    const ended = minUs === undefined || maxUs === undefined ? undefined : { count: times.length, minUs, maxUs };
    // Only a primary switches to a new file at the end of a backup; what a standby has behind it may be anything.
    found.push({ segment: { file: name, timeline: place.timeline, start: place.start, end: detail.standby && whole > end ? end : whole, ended }, read });
  }
  return found;
}

function addUnlessKnown(stored: Map<string, Stored>, own: Stored): void {
  const known = stored.get(own.segment.file);
  if (known === undefined || known.segment.end < own.segment.end) stored.set(own.segment.file, own);
}

/** The file before: of the same timeline, or of the nearest that came before it. */
function previousOf({ timeline, start }: LogSegment, { segments, segmentBytes }: StoredLog): LogSegment | undefined {
  const before = segments.filter((one) => one.start === start - segmentBytes && one.end === start && one.timeline <= timeline);
  return before.toSorted((a, b) => b.timeline - a.timeline)[0];
}

async function readRecords(segment: LogSegment, before: LogSegment | undefined, read: (segment: LogSegment) => Promise<Buffer>, segmentBytes: number): Promise<SegmentRecords> {
  let [ends, points]: [TransactionEnd[], RestorePoint[]] = [[], []];
  let last: bigint | undefined;
  const scanner = new WalScanner(segmentBytes, { transaction: (end) => void ends.push(end), restorePoint: (point) => void points.push(point), record: ({ lsn }) => (last = lsn) });
  if (before !== undefined) {
    scanner.scan(before.start, await read(before));
    [ends, points, last] = [[], [], undefined];
  }
  scanner.scan(segment.start, await read(segment));
  return { ends, points, last };
}
