/** Restores databases: built beside, proven, then swapped in by rename, the old kept. */
import { HoldfastError, messageOf } from '../../../base/errors.ts';
import { Connection } from '../../../client/postgres/connection.ts';
import { identifier } from '../../../client/postgres/sql-quote.ts';
import type { PostgresTarget } from '../../../client/postgres/target.ts';
import type { ProofLine, RestoreReport } from '../../source.ts';
import { adaptStatement, lostLine, type Lost } from './adapt.ts';
import { emptyAgain, refuseNotEmpty } from './empty-database.ts';
import { createDatabaseSql, databasePropertiesSql, withLocale } from '../database.ts';
import { makeRoles } from './make-roles.ts';
import { readDetail } from '../manifest.ts';
import { prepare, type Prepared } from './prepare.ts';
import { rebuildDatabase, type Rebuild } from './rebuild.ts';
import type { Built, RestoreJob } from './restore-job.ts';
import { runEntries } from './run-entries.ts';
import type { StoredDatabase } from './stored.ts';
import { databaseExists, nameBeside, stamp, swapDatabases, type Swap } from './swap.ts';

/** Where each database of the snapshot goes. Throws `usage`, `missing-on-target`, `target-exists`. */
export async function prepareDatabases(job: RestoreJob): Promise<Prepared> {
  const detail = readDetail(job.manifest);
  const { into } = job.request;
  if (into !== undefined && detail.databases.length !== 1) {
    throw new HoldfastError('usage', `The snapshot holds ${detail.databases.length} databases, which cannot all go into ${into}.`);
  }
  await using stack = new AsyncDisposableStack();
  const { intoExisting = false } = job.request;
  const prepared = stack.use(await prepare(job, intoExisting ? 'existing' : 'create', detail.databases, into === undefined ? detail.databases.map(({ name }) => name) : [into]));
  if (intoExisting && into !== undefined) await refuseNotEmpty(prepared.admin, { ...job.server, database: into });
  if (!intoExisting && into !== undefined && (await databaseExists(prepared.admin, into))) {
    throw new HoldfastError('target-exists', `The database ${into} exists already.`, { hint: 'Name one that does not exist, or drop it first.' });
  }
  const kept = stack.move();
  return { ...prepared, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}

export async function restoreDatabases(job: RestoreJob): Promise<RestoreReport> {
  const { server, clock, request } = job;
  await using prepared = await prepareDatabases(job);
  if (request.intoExisting === true) return await fillExisting(job, prepared);
  const { admin, databases } = prepared;
  const at = stamp(clock.now());
  const names = databases.map(({ manifest }) => request.into ?? manifest.name);
  const beside = names.map((name) => nameBeside(name, `_holdfast_new_${at}`));
  const proof: ProofLine[] = [];
  const lost = await makeRoles(admin, prepared.plan);
  const swaps: Swap[] = [];
  for (const [index, database] of databases.entries()) {
    const [name = database.manifest.name, fresh = ''] = [names[index], beside[index]];
    swaps.push({ beside: fresh, name, keep: (await databaseExists(admin, name)) ? nameBeside(name, `_before_${at}`) : undefined });
    try {
      const built = await buildBeside(prepared, job, database, fresh);
      proof.push(...built.proof);
      lost.push(...built.lost.map((one) => lostLine(one, databases.length === 1 ? undefined : database.manifest.name)));
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
  return { target: names.join(', '), ...(kept.length === 0 ? {} : { kept: kept.join(', ') }), counts: countsOf(job), proof: [...proof, ...lost] };
}

function countsOf({ manifest, request }: RestoreJob): RestoreReport['counts'] {
  const { databases = 1 } = manifest.counts;
  return request.only === 'schema' ? { databases } : manifest.counts;
}

/** Into a database that was empty: there is nothing to swap, and a failure empties it again. */
async function fillExisting(job: RestoreJob, prepared: Prepared): Promise<RestoreReport> {
  const name = job.request.into ?? '';
  const [database] = prepared.databases;
  if (database === undefined) throw new HoldfastError('internal', 'no database was prepared');
  const target = { ...job.server, database: name };
  const roles = await makeRoles(prepared.admin, prepared.plan);
  try {
    const built = await rebuildDatabase(target, rebuildOf(prepared, job, database));
    const [proof, lost] = [built.proof, [...built.lost]];
    refuseUnproven(proof, []);
    await renameSchemas(target, job);
    lost.push(...(await setProperties(prepared, database, name, false)));
    return { target: name, counts: countsOf(job), proof: [...proof, ...roles, ...lost.map((one) => lostLine(one))] };
  } catch (error) {
    await emptyAgain(target);
    throw error;
  }
}

/** After the proof, which compares with the names of the backup. Bodies of functions are text, and stay as they were written. */
async function renameSchemas(target: PostgresTarget, { request: { schemas } }: RestoreJob): Promise<void> {
  if (schemas === undefined) return;
  await Connection.with(target, async (connection) => {
    for (const [from, to] of Object.entries(schemas)) await connection.query(`ALTER SCHEMA ${identifier(from)} RENAME TO ${identifier(to)}`, `renaming the schema ${from}`);
  });
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

async function buildBeside(prepared: Prepared, job: RestoreJob, database: StoredDatabase, name: string): Promise<Built> {
  const { admin } = prepared;
  await createBeside(prepared, database, name);
  try {
    const built = await rebuildDatabase({ ...job.server, database: name }, rebuildOf(prepared, job, database));
    await renameSchemas({ ...job.server, database: name }, job);
    const proof = built.proof.map((line) => (prepared.databases.length === 1 ? line : { ...line, subject: `${database.manifest.name} ${line.subject}` }));
    return { proof, lost: [...built.lost, ...(await setProperties(prepared, database, name))] };
  } catch (error) {
    await dropDatabase(admin, name);
    throw error;
  }
}

export async function dropDatabase(admin: Connection, name: string): Promise<void> {
  await admin.query(`DROP DATABASE IF EXISTS ${identifier(name)} WITH (FORCE)`, `dropping ${name}`).catch(() => undefined);
}

export function rebuildOf({ plan }: Prepared, job: RestoreJob, database: StoredDatabase): Rebuild {
  return { files: job.files, folder: database.folder, manifest: database.manifest, stored: database, plan, request: job.request };
}

/** Makes an empty database like the one that was backed up. */
export async function createBeside({ admin, plan }: Prepared, { properties }: StoredDatabase, name: string): Promise<void> {
  await admin.query(createDatabaseSql(name, withLocale(properties, plan.choices.locale), plan.target.major), `creating ${name}`);
}

/** Owner, privileges and settings of the database itself; of one that was there before only the settings. */
async function setProperties({ admin, plan }: Prepared, { properties }: StoredDatabase, name: string, made = true): Promise<Lost[]> {
  const lost: Lost[] = [];
  const entry = { kind: 'DATABASE', schema: undefined, name: properties.name, owner: properties.owner, statements: [] };
  const wanted = (sql: string): boolean => (made ? plan.choices.privileges !== false || !/^(?:GRANT|REVOKE) /.test(sql) : /^ALTER (?:DATABASE|ROLE) .* SET /s.test(sql));
  const statements = databasePropertiesSql(name, properties).filter(wanted);
  const adapted = statements.flatMap((sql) => adaptStatement(sql, properties.owner, plan, (because) => lost.push({ entry, because })) ?? []);
  const alone = adapted.map((sql) => ({ ...entry, statements: [sql] }));
  return [...lost, ...(await runEntries(admin, alone, 'setting the properties of the database', !plan.target.superuser))];
}
