/** Which way a restore of databases goes, from what was asked for and from what the snapshot holds. */
import { HoldfastError } from '../../../base/errors.ts';
import type { RestoreReport, RestoreStep } from '../../source.ts';
import { planClean, restoreClean } from './clean.ts';
import { planRows, restoreRows } from './data-only.ts';
import { prepareDatabases, restoreDatabases } from './restore.ts';
import type { RestoreJob } from './restore-job.ts';
import { chosenTables, prepareTables, restoreTables } from './tables.ts';

/** Throws what each way throws; `usage` for what does not go together. */
export async function restoreStore(job: RestoreJob): Promise<RestoreReport> {
  refuseMixture(job);
  const { only, clean } = job.request;
  if (only === 'data') return await restoreRows(job);
  if (clean === true) return await restoreClean(job);
  return ofTables(job) ? await restoreTables(job) : await restoreDatabases(job);
}

/** What `restoreStore` would do on the target as it is now, besides writing. */
export async function planStore(job: RestoreJob): Promise<readonly RestoreStep[]> {
  refuseMixture(job);
  const { only, clean } = job.request;
  if (only === 'data') return await planRows(job);
  if (clean === true) return await planClean(job);
  await using prepared = ofTables(job) ? await prepareTables(job, await chosenTables(job)) : await prepareDatabases(job);
  return prepared.plan.steps;
}

function ofTables({ request: { part, tables } }: RestoreJob): boolean {
  return part !== undefined || tables !== undefined;
}

function refuseMixture(job: RestoreJob): void {
  const { only, clean, cascade, as, into, intoExisting, schemas } = job.request;
  const tables = ofTables(job);
  const wrong = (sentence: string, hint?: string): never => {
    throw new HoldfastError('usage', sentence, hint === undefined ? {} : { hint });
  };
  if (only === 'schema' && tables) wrong('--schema-only is about a whole database, and tables are named');
  if (clean === true && tables && only !== 'data') wrong('--clean with tables replaces their rows only', 'Add --data-only; or leave --clean out, and the old tables are kept under other names.');
  if (clean === true && only !== 'data' && into !== undefined) wrong('--clean works in the database that the backup comes from, and --into names another');
  if (cascade === true && clean !== true) wrong('--cascade belongs to --clean');
  if (as !== undefined && (!tables || only === 'data' || into !== undefined)) wrong('--as gives one table another name in its own database: it needs one --table, and no --into or --data-only');
  if (intoExisting === true && (tables || only === 'data')) wrong('--into-database is for whole databases');
  if (schemas !== undefined && (tables || only === 'data' || clean === true)) wrong('--schema renames schemas of whole databases that are made anew', 'Restore into another database with --into and --schema; or one table under another name with --as.');
  const held = job.manifest.part;
  if (held?.only === 'schema' && only !== 'schema') wrong('This snapshot holds only the schema, without rows.', 'Add --schema-only, or choose another snapshot.');
  if (held?.only === 'data' && only !== 'data') wrong('This snapshot holds only rows, without the schema.', 'Add --data-only, or choose another snapshot.');
  if (held?.tables !== undefined && !tables && only !== 'data' && only !== 'schema') wrong(`This snapshot holds only some tables: ${held.tables.join(', ')}.`, 'Name them with --table, or choose a snapshot of the whole store.');
}
