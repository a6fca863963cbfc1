/**
 * `verify`: does a snapshot restore to the same content? It is restored into nothing: every byte is read from the storage,
 * decrypted, unpacked and hashed, and what comes out is compared with the manifest. The answer is recorded as a proof.
 */
import * as os from 'node:os';
import { HoldfastError, isHoldfastError, messageOf } from '../base/errors.ts';
import { fromText } from '../base/raw-name.ts';
import { PROGRAM } from '../base/version.ts';
import { findById, tagValue, type OpenedFiles, type Proof, type ProofDocument, type Repository, type Snapshot } from '../repository/repository.ts';
import { filesRead, proveContent, type SeenContent } from '../source/prove.ts';
import type { Context } from './context.ts';
import { MANIFEST_FILE, readManifest, type SnapshotManifest } from './manifest.ts';
import { byStore, standingOf } from './standing.ts';

/** Differences that a proof names; with more, how many there are is what matters. */
const RECORDED = 100;

export interface VerifyChoice {
  /** Stores, and beginnings of ids; none: the newest snapshot of every store. */
  readonly names: readonly string[];
  /** Only stores of this stack. */
  readonly stack: string | undefined;
  /** All that were never verified, or did not pass. */
  readonly allUnverified: boolean;
}

export interface Difference {
  /** A file, a table, or `counts`. */
  readonly subject: string;
  readonly message: string;
}

export interface Verification {
  readonly snapshot: Snapshot;
  readonly store: string | undefined;
  readonly state: 'proven' | 'failed';
  readonly files: number;
  /** Bytes of the files, and as they are stored. */
  readonly bytes: number;
  readonly storedBytes: number;
  readonly blobs: number;
  /** What the manifest counts: tables, rows … */
  readonly counts: Readonly<Record<string, number>>;
  /** Tables and others that were compared on their own. */
  readonly compared: number;
  readonly problems: readonly Difference[];
  /** What a person should know: that another program wrote it, that it is degraded. */
  readonly notes: readonly string[];
  /** Why the proof could not be recorded; undefined when it was. */
  readonly unrecorded: string | undefined;
  readonly seconds: number;
}

export type Verified = Verification | { readonly snapshot: Snapshot; readonly store: string | undefined; readonly state: 'unreadable'; readonly error: HoldfastError; readonly seconds: number };

/** Which snapshots are meant. Throws `snapshot-missing`. */
export function chooseToVerify(snapshots: readonly Snapshot[], proofs: readonly Proof[], { names, stack, allUnverified }: VerifyChoice): readonly Snapshot[] {
  const unproven = (snapshot: Snapshot): boolean => standingOf(snapshot, proofs).verified === undefined;
  if (names.length === 0 && allUnverified) return snapshots.filter((snapshot) => unproven(snapshot) && (stack === undefined || tagValue(snapshot, 'stack') === stack));
  const groups = byStore(snapshots, { stack });
  if (names.length === 0 && groups.length > 0) return groups.flatMap((group) => group.snapshots.slice(-1));
  if (names.length === 0) {
    const [first] = snapshots;
    throw new HoldfastError('snapshot-missing', first ? 'no snapshot here belongs to a store' : 'the repository holds no snapshots yet', { hint: first ? 'Name one by the beginning of its id, or give --all-unverified.' : 'Make one with `holdfast backup`.' });
  }
  const chosen = names.flatMap((name) => {
    if (name === 'latest' && snapshots.length > 0) return snapshots.slice(-1);
    const own = groups.filter(({ store }) => store === name).flatMap((group) => (allUnverified ? group.snapshots.filter(unproven) : group.snapshots.slice(-1)));
    return own.length > 0 || groups.some(({ store }) => store === name) ? own : [findById(snapshots, name)];
  });
  return chosen.filter((snapshot, i) => chosen.indexOf(snapshot) === i);
}

/** Verifies one after the other; one that fails does not keep the others from being verified. */
export async function verify(choice: VerifyChoice, repository: Repository, context: Context): Promise<readonly Verified[]> {
  const snapshots = await repository.snapshots();
  const { proofs } = await repository.proofs();
  const chosen = chooseToVerify(snapshots, proofs, choice);
  if (chosen.length === 0) return [];
  await using _lock = await repository.lockForReading('files');
  const verified: Verified[] = [];
  for (const snapshot of chosen) verified.push(await verifySnapshot(snapshot, repository, context));
  return verified;
}

async function verifySnapshot(snapshot: Snapshot, repository: Repository, context: Context): Promise<Verified> {
  const { clock, emit, signal } = context;
  const store = tagValue(snapshot, 'store');
  const shown = store ?? snapshot.id.slice(0, 8);
  const started = clock.elapsedMs();
  const seconds = (): number => (clock.elapsedMs() - started) / 1000;
  emit({ type: 'store-started', store: shown, kind: 'snapshot' });
  try {
    await using opened = await repository.files(snapshot);
    const found = await compareAll(opened, snapshot, shown, context);
    const verification = { snapshot, store, ...found, state: found.problems.length === 0 ? ('proven' as const) : ('failed' as const), seconds: seconds() };
    return { ...verification, unrecorded: await record(verification, repository, context) };
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    if (!isHoldfastError(error)) throw error;
    return { snapshot, store, state: 'unreadable', error, seconds: seconds() };
  } finally {
    emit({ type: 'store-finished', store: shown, seconds: seconds() });
  }
}

type Found = Pick<Verification, 'files' | 'bytes' | 'storedBytes' | 'blobs' | 'counts' | 'compared' | 'problems' | 'notes'>;

async function compareAll({ files }: OpenedFiles, snapshot: Snapshot, store: string, { emit, signal }: Context): Promise<Found> {
  const step = (sentence: string): void => emit({ type: 'step', store, sentence });
  const problems: Difference[] = [];
  const manifest = await manifestOf(files, snapshot, problems);
  const elsewhere = manifest === undefined ? [] : understood(() => filesRead(manifest.content), problems);
  const more = elsewhere.length === 0 ? 0 : (manifest?.content.counts['bytes'] ?? 0);
  const content = await files.prove({ elsewhere: new Set(elsewhere), signal, step, progress: (bytes, total) => emit({ type: 'progress', store, bytes, files: 0, totalBytes: total + more }) });
  problems.push(...content.problems.map(({ subject, message }) => ({ subject, message })));
  const { blobs, storedBytes, bytes } = content;
  if (manifest === undefined) return { files: content.files, bytes, blobs, storedBytes, counts: {}, compared: 0, problems, notes: ['it has no manifest: what was read could only be compared with its hashes and sizes'] };
  const seen = await withoutManifest(files, content);
  const lines = problems.some(({ subject }) => subject === `/${MANIFEST_FILE}`) ? [] : await proveContent(manifest.content, seen, files, { signal, step, progress: (read) => emit({ type: 'progress', store, bytes: read, files: 0 }) });
  problems.push(...lines.filter(({ equal }) => !equal).map(({ subject, detail }) => ({ subject, message: detail })));
  const left = manifest.content.problems.length;
  const notes = left === 0 ? [] : [`it is degraded: ${left === 1 ? 'one thing' : `${left} things`} could not be read when it was made`];
  return { files: seen.files, bytes: seen.bytes, blobs, storedBytes, counts: manifest.content.counts, compared: lines.length, problems, notes };
}

/** The manifest; undefined for a snapshot of another program. One of ours that lacks it, or whose manifest is damaged, has not kept its content. */
async function manifestOf(files: OpenedFiles['files'], snapshot: Snapshot, problems: Difference[]): Promise<SnapshotManifest | undefined> {
  try {
    return await readManifest(files);
  } catch (error) {
    if (isHoldfastError(error, 'path-missing') && tagValue(snapshot, 'store') === undefined) return undefined;
    if (!isHoldfastError(error, 'repository-damaged', 'path-missing')) throw error;
    problems.push({ subject: `/${MANIFEST_FILE}`, message: messageOf(error) });
    return undefined;
  }
}

/** The files that a manifest names; one that makes no sense is a difference. */
function understood<T>(read: () => readonly T[], problems: Difference[]): readonly T[] {
  try {
    return read();
  } catch (error) {
    if (!isHoldfastError(error, 'restore-unproven')) throw error;
    problems.push({ subject: `/${MANIFEST_FILE}`, message: error.message });
    return [];
  }
}

/** The manifest does not count itself. */
async function withoutManifest(files: OpenedFiles['files'], seen: SeenContent): Promise<SeenContent> {
  const own = (await files.list('/')).find(({ name }) => name === fromText(MANIFEST_FILE));
  return { ...seen, files: seen.files - 1, bytes: seen.bytes - (own?.size ?? 0) };
}

/** Keeps the answer in the repository. Where that cannot be written the answer stands all the same; says why it is not recorded. */
async function record(found: Omit<Verification, 'unrecorded'>, repository: Repository, { clock }: Context): Promise<string | undefined> {
  const { snapshot, state, files, bytes, counts, problems, seconds } = found;
  const named = problems.slice(0, RECORDED);
  const more = problems.length - named.length;
  const proof: ProofDocument = {
    snapshot: snapshot.id, tree: snapshot.tree, time: clock.now().toISOString(), program: PROGRAM, hostname: os.hostname(), seconds, state, files, bytes, counts,
    problems: more === 0 ? named : [...named, { subject: 'and more', message: `${more} others differ` }],
  };
  try {
    await repository.saveProof(proof);
    return undefined;
  } catch (error) {
    if (!isHoldfastError(error, 'storage-denied', 'storage-failed', 'storage-full')) throw error;
    return error.message;
  }
}
