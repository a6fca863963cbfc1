/** Restores a whole server: its data directory is built beside, and put in place by rename. */
import * as path from 'node:path';
import type { Clock } from '../../base/clock.ts';
import { HoldfastError } from '../../base/errors.ts';
import type { SnapshotFiles } from '../../repository/entry.ts';
import type { ProofLine, RestoreReport, RestoreRequest, StoreManifest } from '../source.ts';
import { extractBase, type ExtractedBase } from './extract-base.ts';
import { refuseRunning } from './in-place.ts';
import { readClusterDetail } from './manifest.ts';
import { ownerFor } from './ownership.ts';

export interface RestoreJob {
  readonly files: SnapshotFiles;
  readonly manifest: StoreManifest;
  readonly request: RestoreRequest;
  readonly directory: string | undefined;
  readonly clock: Clock;
}

/** Throws `usage`, and what `extractBase` throws; nothing is put in place then. */
export async function restoreCluster({ files, manifest, request, directory, clock }: RestoreJob): Promise<RestoreReport> {
  const detail = readClusterDetail(manifest);
  if (request.part !== undefined || request.tables !== undefined || request.only !== undefined) {
    throw new HoldfastError('usage', 'a base backup is restored as a whole', { hint: 'Restore it beside with --into FOLDER, start a server on that, and take from it what you need.' });
  }
  const { into, signal, tablespaces } = request;
  const data = into === undefined ? directory : path.resolve(into);
  if (data === undefined) throw new HoldfastError('usage', 'the store does not say where its data directory is', { hint: 'Give --into FOLDER, or write `directory:` below `physical:` in holdfast.yaml.' });
  const inPlace = into === undefined;
  if (inPlace) await refuseRunning(data);
  const base = await extractBase({
    files, detail, data, owner: await ownerFor(directory), signal, tablespaces, kept: inPlace ? `${data}.before-${stamp(clock.now())}` : undefined,
    step: (sentence) => request.step(sentence), progress: (bytes) => request.progress(bytes),
    ...(inPlace && { finish: async () => await refuseRunning(data) }),
  });
  const moved = base.tablespaces.map(({ oid, path: at }) => ({ subject: `tablespace ${detail.tablespaces.find((one) => one.oid === oid)?.name ?? oid}`, equal: true, detail: `stands at ${at}` }));
  return { target: base.data, ...(base.kept === undefined ? {} : { kept: base.kept }), counts: base.counts, proof: [...proofOf(base), ...moved] };
}

/** `20261120-235959`, for names that sort by time. */
function stamp(now: Date): string {
  return now.toISOString().replace(/[-:]/g, '').replace('T', '-').slice(0, 15);
}

function proofOf({ counts, problems }: ExtractedBase): readonly ProofLine[] {
  const lost = problems.map(({ subject, message }) => ({ subject, equal: false, detail: message }));
  return [{ subject: 'files', equal: true, detail: `${counts['files'] ?? 0} files with ${counts['bytes'] ?? 0} bytes read back and equal` }, ...lost];
}
