/** `manifest.json`: beside the data in every snapshot, what was read, from what, at which moment, and what was left out. */
import { HoldfastError, isHoldfastError, messageOf } from '../base/errors.ts';
import { PROGRAM } from '../base/version.ts';
import type { SnapshotFiles } from '../repository/entry.ts';
import type { StoreManifest } from '../source/source.ts';

export const MANIFEST_FILE = 'manifest.json';
const FORMAT = 1;

export type SnapshotState = 'ok' | 'degraded';

export interface SnapshotManifest {
  readonly format: number;
  readonly program: string;
  readonly stack: string;
  readonly store: string;
  /** Names the restore point: all snapshots of one run carry the same. */
  readonly run: string;
  readonly state: SnapshotState;
  readonly tier: string;
  /** `holdfast.yaml` of the stack, and the folder from which its relative paths count. */
  readonly configuration?: { readonly folder: string; readonly text: string } | undefined;
  readonly content: StoreManifest;
}

export function createManifest(facts: Omit<SnapshotManifest, 'format' | 'program' | 'state'>): SnapshotManifest {
  const state = facts.content.problems.length > 0 ? 'degraded' : 'ok';
  return { format: FORMAT, program: PROGRAM, ...facts, state };
}

export function encodeManifest(manifest: SnapshotManifest): Buffer {
  return Buffer.from(`${JSON.stringify(manifest, undefined, 2)}\n`);
}

/** The manifest of a snapshot. Throws `path-missing` for one that Holdfast did not write, `repository-format` for one from the future. */
export async function readManifest(files: SnapshotFiles): Promise<SnapshotManifest> {
  const where = `snapshot ${files.snapshotId.slice(0, 10)}`;
  let bytes: Buffer;
  try {
    bytes = await files.bytes(`/${MANIFEST_FILE}`);
  } catch (error) {
    const hint = 'Restore its files with `holdfast restore --snapshot ID --path PATH --into FOLDER`.';
    if (isHoldfastError(error, 'repository-damaged')) throw new HoldfastError(error.code, `the manifest of ${where} cannot be read: ${error.message}`, { hint, cause: error });
    if (!isHoldfastError(error, 'path-missing')) throw error;
    throw new HoldfastError('path-missing', `${where} has no ${MANIFEST_FILE}: another program wrote it`, { hint, cause: error });
  }
  try {
    const manifest = JSON.parse(bytes.toString('utf8')) as SnapshotManifest;
    if (manifest.format !== FORMAT) throw new HoldfastError('repository-format', `the manifest of ${where} has format ${manifest.format}, this version knows ${FORMAT}`, { hint: 'Use a newer Holdfast.' });
    return manifest;
  } catch (error) {
    if (isHoldfastError(error)) throw error;
    throw new HoldfastError('repository-damaged', `the manifest of ${where} is not understood: ${messageOf(error)}`, { cause: error });
  }
}
