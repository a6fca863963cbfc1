/**
 * `wal push`, an archive_command: stores one file that the server hands over, and returns when it is durable and was read back. The same
 * file again is no error; another content under the same name is one, for then two servers write into one archive.
 */
import { hash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { HoldfastError, messageOf, systemCode } from '../../base/errors.ts';
import { formatLsn, parseHistoryName, parseSegmentName, type Lsn } from '../../client/postgres/replication/lsn.ts';
import { readSegmentHead } from '../../client/postgres/replication/segment-head.ts';
import { WalScanner } from '../../client/postgres/replication/wal-record.ts';
import type { StoredSegment } from '../../policy/wal-map.ts';
import type { Repository } from '../../repository/repository.ts';
import type { Context } from '../context.ts';
import { readWal, type StoredWal } from './read.ts';
import { WalStore, type FlushRequest } from './store.ts';
import { TransactionTimes } from './times.ts';

export interface PushOptions {
  readonly repository: Repository;
  readonly stack: string;
  readonly store: string;
  readonly tier: string;
  /** What the server gives as `%p`. */
  readonly path: string;
}

export interface PushReport {
  readonly file: string;
  /** `known`: the same was stored before. */
  readonly state: 'stored' | 'known';
  readonly snapshot: string | undefined;
  readonly bytes: number;
}

interface Pushed {
  readonly name: string;
  readonly bytes: Buffer;
}

const BACKUP_FILE = /^[0-9A-F]{24}\.[0-9A-F]{8}\.backup$/;

/** Throws `foreign-server` for another content or cluster, `source-failed` for a file that is not what its name says. */
export async function pushWal(options: PushOptions, context: Context): Promise<PushReport> {
  const file = { name: basename(options.path), bytes: await readPushed(options.path) };
  const { repository, stack, store, tier } = options;
  const wal = await readWal(repository, stack, store);
  const segment = describeSegment(file);
  const request = segment === undefined ? await otherRequest(file, wal) : await segmentRequest(file, segment, wal, store);
  if (request === undefined) return { file: file.name, state: 'known', snapshot: undefined, bytes: file.bytes.length };
  const systemId = segment?.systemId ?? wal.newest?.systemId;
  if (systemId === undefined) throw new HoldfastError('source-failed', `${file.name} comes before any segment of write-ahead log: which cluster it is of cannot be told`, { hint: 'The server hands over a segment first; if this goes on, look at archive_command.' });
  const known = wal.clusters.get(systemId);
  const server = { systemId, version: known?.server ?? '', segmentBytes: segment?.segmentBytes ?? known?.segmentBytes ?? 0 };
  const archive = new WalStore({ repository, stack, store, tier, server, window: 'push' }, context);
  const last = wal.sources.findLast(({ stored, manifest }) => manifest.systemId === systemId && stored.tags?.some((tag) => /^window:.*-push$/.test(tag)));
  if (last !== undefined) archive.resume(last.stored, last.manifest);
  const { snapshot } = await archive.flush(request);
  return { file: file.name, state: 'stored', snapshot, bytes: file.bytes.length };
}

async function readPushed(path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (error) {
    throw new HoldfastError('source-missing', `${path} cannot be read: ${messageOf(error)}`, { ...(systemCode(error) === 'ENOENT' ? { hint: 'archive_command runs in the data directory and gives the path as %p.' } : {}), cause: error });
  }
}

/** Undefined for files that are no segments. Throws `source-failed`. */
function describeSegment({ name, bytes }: Pushed): { readonly systemId: string; readonly timeline: number; readonly start: Lsn; readonly segmentBytes: number } | undefined {
  if (parseHistoryName(name) !== undefined || BACKUP_FILE.test(name)) return undefined;
  const head = readSegmentHead(bytes);
  const named = parseSegmentName(name, head?.segmentBytes ?? 1 << 24);
  if (named === undefined) throw new HoldfastError('source-failed', `${name} is no file of a write-ahead log`, { hint: 'Use it as archive_command: `holdfast wal push STORE %p -C DIR`.' });
  const wrong = (why: string): HoldfastError => new HoldfastError('source-failed', `${name} is not what its name says: ${why}. It was not stored.`);
  if (head === undefined) throw wrong('it does not begin like a segment');
  // A segment may begin with the end of what the timeline before has left: the page then names that one.
  if (head.start !== named.start || head.timeline > named.timeline) throw wrong(`it holds the log of timeline ${head.timeline} from ${formatLsn(head.start)}`);
  if (bytes.length !== head.segmentBytes) throw wrong(`it has ${bytes.length} bytes instead of ${head.segmentBytes}`);
  return { systemId: head.systemId, timeline: named.timeline, start: named.start, segmentBytes: head.segmentBytes };
}

/** Undefined when the same is stored already. */
async function segmentRequest({ name, bytes: pushed }: Pushed, segment: NonNullable<ReturnType<typeof describeSegment>>, wal: StoredWal, store: string): Promise<FlushRequest | undefined> {
  const { systemId, timeline, start, segmentBytes } = segment;
  const others = [...wal.clusters.keys()].filter((id) => id !== systemId);
  if (others.length > 0 && !wal.clusters.has(systemId)) throw foreign(`${name} is of another cluster (system id ${systemId}) than the log of ${store} that is stored (${others.join(', ')})`);
  const partial = name.endsWith('.partial');
  const bytes = partial ? pushed.subarray(0, writtenBytes(pushed, start, segmentBytes)) : pushed;
  const known = wal.clusters.get(systemId)?.segments.find((one) => one.timeline === timeline && one.startLsn === start);
  if (known !== undefined && !(await sameBeginning(known, bytes, wal))) throw foreign(`${name} is stored already with another content`);
  if (known !== undefined && known.endLsn - known.startLsn >= BigInt(bytes.length)) return undefined;
  const ended = new TransactionTimes(segmentBytes).read(start, bytes);
  return { segments: [{ received: { timeline, start, bytes, whole: !partial }, ended }], histories: new Map(), covered: undefined };
}

/** The last segment of a timeline that was left is handed over as `.partial`: behind the end of its log lies what was in the file before. */
function writtenBytes(bytes: Buffer, start: Lsn, segmentBytes: number): number {
  const scanner = new WalScanner(segmentBytes, {});
  scanner.scan(start, bytes);
  return Number((scanner.stopped?.at ?? scanner.position) - start);
}

/** As far as both go. */
async function sameBeginning(known: StoredSegment, bytes: Buffer, wal: StoredWal): Promise<boolean> {
  const length = Number(known.endLsn - known.startLsn);
  if (length <= bytes.length) return hash('sha256', bytes.subarray(0, length), 'hex') === known.sha256;
  return (await wal.segment(known)).subarray(0, bytes.length).equals(bytes);
}

async function otherRequest({ name, bytes }: Pushed, wal: StoredWal): Promise<FlushRequest | undefined> {
  const timeline = parseHistoryName(name);
  const stored = await wal.file(name);
  if (stored?.equals(bytes)) return undefined;
  if (stored !== undefined) throw foreign(`${name} is stored already with another content`);
  return timeline === undefined
    ? { segments: [], histories: new Map(), others: new Map([[name, bytes]]), covered: undefined }
    : { segments: [], histories: new Map([[timeline, bytes]]), covered: undefined };
}

function foreign(message: string): HoldfastError {
  return new HoldfastError('foreign-server', `${message}. It was not stored.`, {
    hint: 'Two servers hand their log to one store, or the server was put back to an earlier state. Give each its own store in holdfast.yaml.',
  });
}
