/** Restores a whole server: its data directory is built beside, and put in place by rename. */
import { HoldfastError } from '../../base/errors.ts';
import * as path from 'node:path';
import type { Clock } from '../../base/clock.ts';
import type { SnapshotFiles } from '../../repository/entry.ts';
import type { ProofLine, RestoreReport, RestoreRequest, StoreManifest } from '../source.ts';
import { extractBase, type ExtractedBase } from './extract-base.ts';
import { readClusterDetail } from './manifest.ts';
import { ownerFor } from './ownership.ts';

export interface RestoreJob {
  readonly files: SnapshotFiles;
  readonly manifest: StoreManifest;
  readonly request: RestoreRequest;
  readonly directory: string | undefined;
  readonly clock: Clock;
}

export async function restoreCluster({ files, manifest, request, directory }: RestoreJob): Promise<RestoreReport> {
  const detail = readClusterDetail(manifest);
  const into = request.into;
  if (into === undefined) throw new HoldfastError('usage', 'where should the data directory go?', { hint: 'Give --into FOLDER.' });
  const base = await extractBase({
    files, detail, data: path.resolve(into), owner: await ownerFor(directory), signal: request.signal, step: (sentence) => request.step(sentence), progress: (bytes) => request.progress(bytes),
  });
  return { target: base.data, counts: base.counts, proof: proofOf(base) };
}

function proofOf({ counts, problems }: ExtractedBase): readonly ProofLine[] {
  const lost = problems.map(({ subject, message }) => ({ subject, equal: false, detail: message }));
  return [{ subject: 'files', equal: true, detail: `${counts['files'] ?? 0} files with ${counts['bytes'] ?? 0} bytes read back and equal` }, ...lost];
}
