/** `attach`: on a host that has nothing but the address and the password of a repository, writes the holdfast.yaml that its snapshots carry. */
import * as fs from 'node:fs/promises';
import * as path from 'node:path';
import { HoldfastError, isHoldfastError, systemCode } from '../base/errors.ts';
import { writeDurably } from '../base/file.ts';
import { tagValue, type Repository, type Snapshot } from '../repository/repository.ts';
import { attachConfig } from '../stack/attach-config.ts';
import { CONFIG_FILE, type RepositoryPlace } from '../stack/stack.ts';
import type { Context } from './context.ts';
import { readManifest } from './manifest.ts';
import { snapshotsOf } from './select.ts';

/** What the repository holds of one store. */
export interface FoundStore {
  readonly store: string;
  readonly kind: string;
  readonly snapshots: number;
  /** RFC 3339. */
  readonly newest: string;
  readonly state: string;
  readonly bytes: number;
}

export interface AttachReport {
  readonly config: string;
  readonly stack: string;
  /** The name of the repository in the configuration. */
  readonly repository: string;
  readonly stores: readonly FoundStore[];
  readonly notes: readonly string[];
}

export interface AttachOptions {
  readonly repository: Repository;
  /** Where it is, as it will stand in the configuration. */
  readonly place: RepositoryPlace;
  /** Where holdfast.yaml is written. */
  readonly folder: string;
  /** Which stack, when the repository holds several. */
  readonly stack?: string | undefined;
}

/** Throws `target-exists` when there is a holdfast.yaml, `snapshot-missing` when there is nothing to attach, `usage` when a stack must be named. */
export async function attach({ repository, place, folder, stack: wanted }: AttachOptions, context: Context): Promise<AttachReport> {
  const config = path.join(folder, CONFIG_FILE);
  if (await exists(config)) throw new HoldfastError('target-exists', `${config} exists already; it is left as it is`, { hint: 'Attach in another folder with -C DIR.' });
  const snapshots = await repository.snapshots();
  const stack = chooseStack(snapshots, wanted, repository.location);
  const own = snapshots.filter((snapshot) => tagValue(snapshot, 'stack') === stack);
  context.emit({ type: 'step', store: undefined, sentence: 'reading what the snapshots say of themselves' });
  const { stores, configuration, notes } = await lookInto(repository, own, stack);
  const attached = attachConfig(configuration, stack, place, folder);
  await fs.mkdir(folder, { recursive: true });
  await writeDurably(config, Buffer.from(attached.text), { mode: 0o644 });
  return { config, stack, repository: attached.repository, stores, notes: [...notes, ...attached.notes] };
}

async function exists(file: string): Promise<boolean> {
  try {
    await fs.access(file);
    return true;
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return false;
    throw error;
  }
}

function chooseStack(snapshots: readonly Snapshot[], wanted: string | undefined, location: string): string {
  const stacks = [...new Set(snapshots.map((snapshot) => tagValue(snapshot, 'stack')).filter((stack) => stack !== undefined))];
  const [only, ...others] = wanted === undefined ? stacks : stacks.filter((stack) => stack === wanted);
  if (only !== undefined && others.length === 0) return only;
  if (only !== undefined) throw new HoldfastError('usage', `${location} holds ${stacks.length} stacks: ${stacks.join(', ')}`, { hint: 'Name one with --stack.' });
  const what = wanted === undefined ? 'no snapshot of Holdfast' : `no snapshot of the stack ${wanted}`;
  const hint = stacks.length > 0 ? `Its stacks are: ${stacks.join(', ')}.` : snapshots.length > 0 ? 'Another program wrote its snapshots; restore them with `holdfast restore --repository ADDRESS --snapshot ID --path / --into FOLDER`.' : 'It is empty.';
  throw new HoldfastError('snapshot-missing', `${location} holds ${what}`, { hint });
}

interface Findings {
  readonly stores: readonly FoundStore[];
  /** The newest that a manifest carries. */
  readonly configuration: { readonly folder: string; readonly text: string } | undefined;
  readonly notes: readonly string[];
}

async function lookInto(repository: Repository, snapshots: readonly Snapshot[], stack: string): Promise<Findings> {
  const names = [...new Set(snapshots.map((snapshot) => tagValue(snapshot, 'store')).filter((store) => store !== undefined))];
  const stores: FoundStore[] = [];
  const notes: string[] = [];
  let newest: { readonly time: number; readonly configuration: NonNullable<Findings['configuration']> } | undefined;
  for (const store of names) {
    const own = snapshotsOf(snapshots, { stack, store });
    const last = own.at(-1);
    if (!last) continue;
    let kind = 'unknown';
    try {
      await using opened = await repository.files(last);
      const manifest = await readManifest(opened.files);
      kind = manifest.content.kind;
      const time = Date.parse(last.time);
      if (manifest.configuration && time > (newest?.time ?? 0)) newest = { time, configuration: manifest.configuration };
    } catch (error) {
      // One store whose newest snapshot is damaged must not keep the others from coming back.
      if (!isHoldfastError(error, 'repository-damaged', 'path-missing', 'repository-format')) throw error;
      notes.push(`${store}: ${error.message}`);
    }
    stores.push({ store, kind, snapshots: own.length, newest: last.time, state: tagValue(last, 'state') ?? 'unknown', bytes: last.summary?.total_bytes_processed ?? 0 });
  }
  return { stores, configuration: newest?.configuration, notes };
}
