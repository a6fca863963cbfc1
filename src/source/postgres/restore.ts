/** Restores databases: built beside, proven, then swapped in by rename, the old kept. */
import type { Clock } from '../../base/clock.ts';
import { HoldfastError, isHoldfastError, messageOf } from '../../base/errors.ts';
import { fromText } from '../../base/raw-name.ts';
import type { Connection } from '../../client/postgres/connection.ts';
import { identifier } from '../../client/postgres/sql-quote.ts';
import type { PostgresTarget } from '../../client/postgres/target.ts';
import type { SnapshotFiles } from '../../repository/entry.ts';
import type { ProofLine, RestoreReport, RestoreRequest, StoreManifest } from '../source.ts';
import { createDatabaseSql, databaseProperties, databasePropertiesSql, type DatabaseProperties } from './database.ts';
import { encodeName } from './file-name.ts';
import { readDetail, type DatabaseManifest, type PostgresDetail } from './manifest.ts';
import { rebuildDatabase, type Rebuild } from './rebuild.ts';
import { runStatements, statementsOf } from './script.ts';
import { databaseExists, maintenance, nameBeside, stamp, swapDatabases, type Swap } from './swap.ts';

export interface RestoreJob {
  readonly server: PostgresTarget;
  readonly clock: Clock;
  readonly files: SnapshotFiles;
  readonly manifest: StoreManifest;
  readonly request: RestoreRequest;
}

export async function restoreDatabases(job: RestoreJob): Promise<RestoreReport> {
  const { server, clock, files, request } = job;
  const detail = readDetail(job.manifest);
  const { into } = request;
  if (into !== undefined && detail.databases.length !== 1) {
    throw new HoldfastError('usage', `The snapshot holds ${detail.databases.length} databases, which cannot all go into ${into}.`);
  }
  const at = stamp(clock.now());
  const names = detail.databases.map(({ name }) => into ?? name);
  const beside = names.map((name) => nameBeside(name, `_holdfast_new_${at}`));
  await using admin = await maintenance(server, [...names, ...beside]);
  if (into !== undefined && (await databaseExists(admin, into))) {
    throw new HoldfastError('target-exists', `The database ${into} exists already.`, { hint: 'Name one that does not exist, or drop it first.' });
  }
  await makeRoles(admin, files, detail);
  const proof: ProofLine[] = [];
  const swaps: Swap[] = [];
  for (const [index, manifest] of detail.databases.entries()) {
    const [name = manifest.name, fresh = ''] = [names[index], beside[index]];
    swaps.push({ beside: fresh, name, keep: (await databaseExists(admin, name)) ? nameBeside(name, `_before_${at}`) : undefined });
    try {
      proof.push(...(await buildBeside(admin, job, detail, manifest, fresh)));
    } catch (error) {
      for (const done of beside.slice(0, index)) await dropDatabase(admin, done);
      throw error;
    }
  }
  refuseUnproven(proof, beside);
  request.step(`Putting ${names.join(', ')} in place`);
  await swapDatabases(server, swaps).catch((error: unknown) => {
    throw new HoldfastError('target-failed', `The restored databases could not be put in place: ${messageOf(error)}`, {
      cause: error, hint: `All is as it was. They are proven and stand beside as ${beside.join(', ')}; rename them, or drop them and restore again.`,
    });
  });
  const kept = swaps.flatMap(({ keep }) => keep ?? []);
  return { target: names.join(', '), ...(kept.length === 0 ? {} : { kept: kept.join(', ') }), counts: job.manifest.counts, proof };
}

/** Throws `restore-unproven` when a line is not equal. */
export function refuseUnproven(proof: readonly ProofLine[], beside: readonly string[]): void {
  const wrong = proof.filter(({ equal }) => !equal);
  if (wrong.length === 0) return;
  const named = wrong.slice(0, 5).map(({ subject, detail }) => `${subject}: ${detail}`).join('; ');
  throw new HoldfastError('restore-unproven', `What was restored differs from the backup. ${named}`, {
    hint: `Nothing was put in place.${beside.length === 0 ? '' : ` Look at ${beside.join(', ')}, which was kept for that, and drop it then.`}`,
  });
}

async function buildBeside(admin: Connection, job: RestoreJob, detail: PostgresDetail, manifest: DatabaseManifest, name: string): Promise<ProofLine[]> {
  const like = await createBeside(admin, job.files, detail, manifest, name);
  try {
    const proof = await rebuildDatabase({ ...job.server, database: name }, await rebuildOf(admin, job, detail, manifest));
    for (const sql of databasePropertiesSql(name, like)) await admin.query(sql, 'setting the properties of the database');
    return proof.map((line) => (detail.databases.length === 1 ? line : { ...line, subject: `${manifest.name} ${line.subject}` }));
  } catch (error) {
    await dropDatabase(admin, name);
    throw error;
  }
}

export async function dropDatabase(admin: Connection, name: string): Promise<void> {
  await admin.query(`DROP DATABASE IF EXISTS ${identifier(name)} WITH (FORCE)`, `dropping ${name}`).catch(() => undefined);
}

export async function rebuildOf(admin: Connection, job: RestoreJob, detail: PostgresDetail, manifest: DatabaseManifest): Promise<Rebuild> {
  const sameVersion = (await majorOf(admin)) === Number.parseInt(detail.server, 10);
  return { files: job.files, folder: `/${encodeName(detail.store)}/${manifest.folder}`, manifest, sameVersion, request: job.request };
}

/** Makes an empty database like the one that was backed up, and gives what that was like. */
export async function createBeside(admin: Connection, files: SnapshotFiles, detail: PostgresDetail, manifest: DatabaseManifest, name: string): Promise<DatabaseProperties> {
  const stored = await files.bytes(fromText(`/${encodeName(detail.store)}/${manifest.folder}/database.json`));
  const like = databaseProperties.safeParse(JSON.parse(stored.toString('utf8')));
  if (!like.success) throw new HoldfastError('restore-unproven', `database.json of ${manifest.name} cannot be understood.`, { cause: like.error });
  await admin.query(createDatabaseSql(name, like.data, await majorOf(admin)), `creating ${name}`);
  return like.data;
}

export async function majorOf(connection: Connection): Promise<number> {
  const [row] = await connection.query<{ major: number }>(`SELECT pg_catalog.current_setting('server_version_num')::int / 10000 AS major`, 'asking for the version');
  return row?.major ?? 0;
}

/** Creates the roles that are missing. Existing ones stay as they are. */
export async function makeRoles(admin: Connection, files: SnapshotFiles, detail: PostgresDetail): Promise<void> {
  const script = await files.bytes(fromText(`/${encodeName(detail.store)}/globals.sql`));
  try {
    await runStatements(admin, statementsOf(script.toString('utf8')), 'creating roles that are missing');
  } catch (error) {
    if (!isHoldfastError(error)) throw error;
    throw new HoldfastError('target-failed', error.message, { cause: error, hint: 'Restore as a superuser, or create the roles of globals.sql first.' });
  }
}
