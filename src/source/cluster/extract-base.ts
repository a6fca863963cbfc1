/**
 * A base backup out of a snapshot into a folder that a server can be started on. Links to tablespaces lead to where these were put, never to
 * where the server that was backed up has them: it may be alive on this very host.
 */
import { lstat, readlink, rm, symlink } from 'node:fs/promises';
import * as path from 'node:path';
import { HoldfastError } from '../../base/errors.ts';
import { putInPlace, syncFolder } from '../../base/file.ts';
import { fromText } from '../../base/raw-name.ts';
import type { Identity } from '../../client/postgres/programs.ts';
import type { ExtractReport, Problem, SnapshotFiles } from '../../repository/entry.ts';
import { DATA_FOLDER, TABLESPACES_FOLDER, type ClusterDetail, type TablespaceManifest } from './manifest.ts';
import { addOwnConfig } from './own-config.ts';
import { giveTree } from './ownership.ts';

export interface ExtractBaseOptions {
  readonly files: SnapshotFiles;
  readonly detail: ClusterDetail;
  /** The new data directory: absolute, and not there yet unless `kept` is given. */
  readonly data: string;
  /** What stands at `data` gets this name. */
  readonly kept?: string | undefined;
  /** A folder for each tablespace, by its OID or name; the others go to `DATA-tablespaces/NAME`. */
  readonly tablespaces?: Readonly<Record<string, string>> | undefined;
  /** The user that the server will run as; undefined: owners stay as they were. */
  readonly owner?: Identity | undefined;
  readonly signal: AbortSignal;
  step(sentence: string): void;
  progress(bytes: number): void;
  /** Changes what was built before it gets its name: `building` is the data directory until then. */
  finish?(building: string): Promise<void>;
}

export interface ExtractedBase {
  readonly data: string;
  /** Where the data directory that stood there is now. */
  readonly kept: string | undefined;
  readonly tablespaces: readonly { readonly oid: string; readonly path: string }[];
  readonly counts: Readonly<Record<string, number>>;
  /** What could not be given back as it was, such as owners without privilege. */
  readonly problems: readonly Problem[];
}

/** Whom a file belonged to on the other host is of no use: all of a data directory must belong to the user that the server will run as. */
const OF_OWNERS = /^owner \d+:\d+ could not be restored/;

/** Throws `target-exists`, `target-failed`, `target-full`, `restore-unproven`, `repository-damaged`; nothing is left of it then. */
export async function extractBase(options: ExtractBaseOptions): Promise<ExtractedBase> {
  const { files, detail, data, signal, progress } = options;
  const places = apart(detail).map((space) => ({ oid: space.oid, path: placeOf(space, options) }));
  refuseUnknown(detail, options.tablespaces);
  for (const place of [...(options.kept === undefined ? [data] : []), ...places.map((space) => space.path)]) await refuseExisting(place);
  const building = await freePlace(data, options);
  const made: string[] = [];
  try {
    const reports: ExtractReport[] = [];
    const extract = async (from: string, to: string): Promise<void> => {
      reports.push(await files.extract(fromText(`/${detail.store}/${from}`), fromText(to), { signal, progress }));
      // Only now is it ours to remove: what fails before leaves nothing, and what it found there belongs to somebody else.
      made.push(to);
    };
    options.step(`restoring the data directory to ${data}`);
    await extract(DATA_FOLDER, building);
    for (const { oid, path: to } of places) {
      options.step(`restoring the tablespace ${oid} to ${to}`);
      await extract(`${TABLESPACES_FOLDER}/${oid}`, to);
      await relink(path.join(building, 'pg_tblspc', oid), to);
    }
    await addOwnConfig(files, detail, building);
    // A server may be started on it already, and needs its tablespaces too; what is changed then is given afterwards.
    if (options.owner !== undefined) for (const place of made) await giveTree(place, options.owner);
    await options.finish?.(building);
    if (options.owner !== undefined && options.finish !== undefined) await giveTree(building, options.owner);
    await syncFolder(building);
    const stood = await putInPlace(building, data, options.kept);
    const told = reports.flatMap(({ problems }) => problems).filter(({ message }) => !OF_OWNERS.test(message));
    return { data, kept: stood ? options.kept : undefined, tablespaces: places, counts: sum(reports), problems: told.map((problem) => ({ ...problem, subject: problem.subject.replace(building, data) })) };
  } catch (error) {
    for (const place of made) await rm(place, { recursive: true, force: true });
    throw error;
  }
}

/** Tablespaces within the data directory come with it. */
function apart(detail: ClusterDetail): readonly TablespaceManifest[] {
  return detail.tablespaces.filter(({ location }) => location.startsWith('/'));
}

function placeOf(space: TablespaceManifest, { data, kept, tablespaces }: ExtractBaseOptions): string {
  const wanted = tablespaces?.[space.oid] ?? (space.name === undefined ? undefined : tablespaces?.[space.name]);
  if (wanted !== undefined) return path.resolve(wanted);
  // Those of a directory that is replaced stay where they are, so the new ones need names of their own.
  const stamp = kept === undefined ? '' : kept.slice(data.length).replace(/^\.before/, '');
  return path.join(`${data}-tablespaces${stamp}`, fileNameOf(space));
}

function refuseUnknown(detail: ClusterDetail, wanted: ExtractBaseOptions['tablespaces']): void {
  const known = apart(detail).flatMap(({ oid, name }) => (name === undefined ? [oid] : [oid, name]));
  const unknown = Object.keys(wanted ?? {}).find((one) => !known.includes(one));
  if (unknown === undefined) return;
  throw new HoldfastError('usage', `the backup has no tablespace ${unknown}`, { hint: known.length === 0 ? 'It has no tablespaces outside the data directory.' : `Its tablespaces are: ${apart(detail).map(({ oid, name }) => name ?? oid).join(', ')}.` });
}

/** A name that is safe as that of a folder, else the OID. */
function fileNameOf({ oid, name }: TablespaceManifest): string {
  return name !== undefined && /^[A-Za-z0-9_][A-Za-z0-9_-]{0,62}$/.test(name) ? name : oid;
}

async function refuseExisting(place: string): Promise<void> {
  if (await isThere(place)) throw new HoldfastError('target-exists', `${place} exists already; nothing was overwritten`, { hint: 'Restore to a folder that does not exist yet, or remove it first.' });
}

/** A restore that was killed has left its folder, and another may be at work in its own: neither is touched, nor in the way. */
async function freePlace(data: string, options: Pick<ExtractBaseOptions, 'step'>): Promise<string> {
  for (let number = 1; ; number++) {
    const place = `${data}.holdfast-new${number === 1 ? '' : `-${number}`}`;
    if (!(await isThere(place))) return place;
    options.step(`${place} is left of a restore that was interrupted, or of one that runs; remove it when none runs`);
  }
}

async function isThere(place: string): Promise<boolean> {
  return await lstat(place).then(() => true, () => false);
}

async function relink(link: string, target: string): Promise<void> {
  // Only what the backup has as a link is replaced.
  await readlink(link);
  await rm(link);
  await symlink(target, link);
}

function sum(reports: readonly ExtractReport[]): Record<string, number> {
  const total = { files: 0, folders: 0, others: 0, bytes: 0 };
  for (const { files, folders, others, bytes } of reports) {
    total.files += files;
    total.folders += folders;
    total.others += others;
    total.bytes += bytes;
  }
  return total;
}
