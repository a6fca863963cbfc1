/** A folder of this host as a store. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { localAccounts } from '../base/accounts.ts';
import type { Clock } from '../base/clock.ts';
import { HoldfastError, messageOf, systemCode } from '../base/errors.ts';
import { putInPlace } from '../base/file.ts';
import { syncFileSystem } from '../base/posix.ts';
import { fromText, joinRaw, toFsPath, toText, type RawName } from '../base/raw-name.ts';
import type { DirectoryEntry, Entry, ExtractReport, SnapshotFiles } from '../repository/entry.ts';
import { rootedAt, type Walk } from './directory-entries.ts';
import { excludes } from './exclude.ts';
import type { Capture, CaptureContext, ProofLine, RestoreReport, RestoreRequest, Source, StoreManifest } from './source.ts';

export interface DirectoryOptions {
  /** Absolute. */
  readonly path: string;
  /** Patterns of what is left out, see exclude.ts. */
  readonly exclude: readonly string[];
  readonly ownershipByName?: boolean;
  readonly clock: Clock;
}

interface Counts {
  files: number;
  folders: number;
  others: number;
  bytes: number;
}

class DirectorySource implements Source {
  readonly kind = 'directory';
  readonly #options: DirectoryOptions;

  constructor(options: DirectoryOptions) {
    this.#options = options;
  }

  check(): Promise<void> {
    const stats = fs.statSync(this.#options.path, { throwIfNoEntry: false });
    if (!stats) throw new HoldfastError('source-missing', `the folder ${this.#options.path} does not exist`, { hint: 'Correct `directory:` in holdfast.yaml, or bring the folder back with `holdfast restore`.' });
    if (!stats.isDirectory()) throw new HoldfastError('source-missing', `${this.#options.path} is no folder`);
    return Promise.resolve();
  }

  async capture(context: CaptureContext): Promise<Capture> {
    await this.check();
    const counts: Counts = { files: 0, folders: 0, others: 0, bytes: 0 };
    const problems: StoreManifest['problems'][number][] = [];
    const leftOut: string[] = [];
    const isExcluded = excludes(this.#options.exclude, fromText(this.#options.path));
    const walk: Walk = {
      accounts: localAccounts(),
      problem: (problem) => {
        problems.push(problem);
        context.problem(problem);
      },
      isExcluded: (candidate) => {
        const excluded = isExcluded(candidate);
        if (excluded) leftOut.push(toText(candidate));
        return excluded;
      },
    };
    return {
      paths: [fromText(this.#options.path)],
      root: counting(rootedAt(walk, this.#options.path), counts),
      parallel: 1,
      manifest: () => Promise.resolve({
        kind: this.kind, moment: context.startedAt.toISOString(), consistency: 'live', counts: { ...counts }, problems,
        leftOut: leftOut.map((subject) => ({ subject, because: 'excluded in holdfast.yaml' })), detail: { path: this.#options.path },
      }),
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
  }

  async restore(files: SnapshotFiles, manifest: StoreManifest, request: RestoreRequest): Promise<RestoreReport> {
    const stored = this.#storedPath(manifest);
    const from = this.#partOf(stored, request.part);
    const original = fromText(this.#options.path) + from.slice(stored.length);
    if (request.into !== undefined) {
      const target = fromText(path.resolve(request.into));
      return await this.#rebuild(files, from, target, target, request);
    }
    // Built beside under a name of its own, proven, then put in place by rename: dying on the way leaves the old as it was.
    const now = stamp(this.#options.clock.now());
    const beside = `${original}.holdfast-new-${now}`;
    const kept = `${original}.before-${now}`;
    const report = await this.#rebuild(files, from, beside, original, request);
    request.step(`putting ${toText(original)} in place`);
    flush(beside);
    const stood = await putInPlace(toFsPath(beside), toFsPath(original), toFsPath(kept)).catch((error: unknown) => {
      throw cannotReplace(original, beside, error);
    });
    return { ...report, target: toText(original), ...(stood ? { kept: toText(kept) } : {}) };
  }

  async #rebuild(files: SnapshotFiles, from: RawName, target: RawName, named: RawName, request: RestoreRequest): Promise<RestoreReport> {
    const options = { ownershipByName: this.#options.ownershipByName, signal: request.signal, progress: (bytes: number) => request.progress(bytes) };
    request.step(`restoring ${toText(named)}`);
    const report = await files.extract(from, target, options);
    return { target: toText(target), counts: countsOf(report), proof: proofOf(report) };
  }

  async compare(manifest: StoreManifest, files: SnapshotFiles): Promise<readonly ProofLine[]> {
    const signal = new AbortController().signal;
    const { differences, files: count, bytes } = await files.compare(this.#storedPath(manifest), fromText(this.#options.path), { signal, progress: () => undefined });
    const lines = differences.map(({ subject, message }) => ({ subject, equal: false, detail: message }));
    return lines.length > 0 ? lines : [{ subject: this.#options.path, equal: true, detail: `${count} files, ${bytes} bytes equal` }];
  }

  /** Where the folder was when it was backed up. */
  #storedPath(manifest: StoreManifest): RawName {
    const { detail } = manifest;
    const known = typeof detail === 'object' && detail !== null && 'path' in detail && typeof detail.path === 'string' ? detail.path : this.#options.path;
    return fromText(known);
  }

  #partOf(stored: RawName, part: string | undefined): RawName {
    if (part === undefined) return stored;
    const raw = fromText(path.posix.normalize(part));
    if (raw === stored || raw.startsWith(`${stored}/`)) return raw;
    if (raw.startsWith('/')) throw new HoldfastError('path-missing', `${part} does not lie in ${toText(stored)}`, { hint: 'Give a path of this store, absolute or relative to its folder.' });
    return joinRaw(stored, raw.replace(/^\.\//, ''));
  }
}

/** `20261120-235959`, for names that sort by time. */
function stamp(now: Date): string {
  return now.toISOString().replace(/[-:]/g, '').replace('T', '-').slice(0, 15);
}

/** What takes the place of the old must be on the disk before it does. */
function flush(target: RawName): void {
  const fd = fs.openSync(toFsPath(target), 'r');
  try {
    syncFileSystem(fd);
  } finally {
    fs.closeSync(fd);
  }
}

/** A mount point cannot be renamed; what was restored is whole and stays beside it. */
function cannotReplace(original: RawName, beside: RawName, error: unknown): unknown {
  const code = systemCode(error);
  if (code === undefined) return error;
  const why = code === 'EBUSY' || code === 'EXDEV' ? 'it is a mount point, or in use' : messageOf(error);
  return new HoldfastError('target-failed', `${toText(original)} cannot be replaced: ${why}`, {
    hint: `What was restored stands whole and compared at ${toText(beside)}; put its content in place by hand. ${toText(original)} is as it was.`, cause: error,
  });
}

/** The same tree, counting what it yields. */
function counting(entry: DirectoryEntry, counts: Counts): DirectoryEntry {
  return { ...entry, children: async () => (await entry.children()).map((child) => counted(child, counts)) };
}

function counted(entry: Entry, counts: Counts): Entry {
  if (entry.type === 'dir') {
    counts.folders++;
    return counting(entry, counts);
  }
  if (entry.type === 'file') {
    counts.files++;
    counts.bytes += entry.metadata.size;
  } else counts.others++;
  return entry;
}

function countsOf({ files, folders, others, bytes }: ExtractReport): Record<string, number> {
  return { files, folders, others, bytes };
}

/** What a rebuilt folder proves: that it was read back, and what could not be given back as it was. */
function proofOf(report: ExtractReport): readonly ProofLine[] {
  const lost = report.problems.map(({ subject, message }) => ({ subject, equal: false, detail: message }));
  return [{ subject: 'files', equal: true, detail: `${report.files} files with ${report.bytes} bytes read back: contents, owners, modes and times equal` }, ...lost];
}

export function openDirectory(options: DirectoryOptions): Source {
  return new DirectorySource(options);
}
