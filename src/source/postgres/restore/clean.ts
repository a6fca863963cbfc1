/** `--clean`: in the database that is there, drops what the backup has and makes it anew, all in one transaction. What else is there stays. */
import { HoldfastError } from '../../../base/errors.ts';
import { fromText } from '../../../base/raw-name.ts';
import { Connection } from '../../../client/postgres/connection.ts';
import { qualified } from '../../../client/postgres/sql-quote.ts';
import type { ProofLine, RestoreReport, RestoreStep } from '../../source.ts';
import { adaptEntries, lostLine, type Lost } from './adapt.ts';
import { dependentsOutside, dropsOf, thoseToDrop, type Drop } from './drops.ts';
import { explains } from './expected-facts.ts';
import { readFacts } from '../facts.ts';
import { makeRoles } from './make-roles.ts';
import { managedLost, managedSchemas, replaceManagedRows, withoutManaged } from './managed.ts';
import { prepare, type Prepared } from './prepare.ts';
import { proveCatalog, proveLargeObjects, proveSequences, proveTable } from './prove.ts';
import { isTolerant, loadTable, parseLines, writeLargeObjects, type Rebuild } from './rebuild.ts';
import { rebuildOf, refuseUnproven } from './restore.ts';
import type { RestoreJob } from './restore-job.ts';
import { runEntries } from './run-entries.ts';
import type { SchemaEntry } from './schema-entry.ts';
import { statementsOf } from './script.ts';
import { prepareWriting } from '../session.ts';
import type { StoredDatabase } from './stored.ts';
import { readDetail } from '../manifest.ts';

const SHOWN = 40;

export async function planClean(job: RestoreJob): Promise<readonly RestoreStep[]> {
  const detail = readDetail(job.manifest);
  await using prepared = await prepare(job, 'in place', detail.databases, []);
  const steps = [...prepared.plan.steps];
  for (const database of prepared.databases) {
    await Connection.with({ ...job.server, database: database.manifest.name }, async (connection) => {
      await prepareWriting(connection);
      const entries = [...database.preData, ...database.postData];
      const managed = prepared.plan.target.superuser ? new Map<string, string>() : await managedSchemas(connection);
      steps.push(...managedLost(entries, managed).map(({ entry, because }): RestoreStep => ({ subject: `schema ${entry.name}`, action: 'note', detail: because })));
      const drops = dropsOf(withoutManaged(entries, managed));
      const outside = await outsiders(connection, drops, database, job.request.cascade === true);
      const there = await thoseToDrop(connection, drops);
      steps.push(...there.slice(0, SHOWN).map((subject): RestoreStep => ({ subject, action: 'replace', detail: 'by that of the backup; what stands there now is not kept' })));
      if (there.length > SHOWN) steps.push({ subject: `${there.length - SHOWN} more objects`, action: 'replace', detail: 'by those of the backup' });
      steps.push(...outside.map((subject): RestoreStep => ({ subject, action: 'drop', detail: 'because it depends on what is replaced, and the backup does not have it' })));
    });
  }
  steps.push({ subject: 'safety', action: 'note', detail: 'all happens in one transaction and a failure leaves everything as it was, but once it is done the old content is gone; without --clean it would be kept beside' });
  return steps;
}

async function outsiders(connection: Connection, drops: readonly Drop[], { manifest, postData }: StoredDatabase, cascade: boolean): Promise<string[]> {
  // Triggers of ours on tables that stay go with their function, and come back with it.
  const comesBack = new Set(postData.filter(({ kind }) => kind === 'TRIGGER').map(({ schema, name }) => `trigger ${name.slice(name.indexOf(' ') + 1)} on table ${schema ?? ''}.${name.slice(0, name.indexOf(' '))}`));
  const outside = (await dependentsOutside(connection, drops)).filter((name) => !comesBack.has(name));
  if (outside.length === 0 || cascade) return outside;
  throw new HoldfastError('target-exists', `In ${manifest.name}, ${outside.length === 1 ? 'one object depends' : `${outside.length} objects depend`} on what would be replaced, and the backup does not have them:${outside.map((one) => `\n  - ${one}`).join('')}`, {
    hint: 'Add --cascade to drop them too. Or leave --clean out: then the whole database is built beside and swapped, and the old one is kept.',
  });
}

/** Throws `missing-on-target`, `target-exists`, `target-failed`, `restore-unproven`; nothing is changed then. */
export async function restoreClean(job: RestoreJob): Promise<RestoreReport> {
  const detail = readDetail(job.manifest);
  await using prepared = await prepare(job, 'in place', detail.databases, []);
  const proof: ProofLine[] = await makeRoles(prepared.admin, prepared.plan);
  const lost: Lost[] = [];
  for (const database of prepared.databases) {
    await using connection = await Connection.connect({ ...job.server, database: database.manifest.name });
    await prepareWriting(connection);
    const built = await replaceAll(connection, job, prepared, database);
    proof.push(...built.proof);
    lost.push(...built.lost);
  }
  return { target: prepared.databases.map(({ manifest }) => manifest.name).join(', '), counts: job.manifest.counts, proof: [...proof, ...lost.map((one) => lostLine(one))] };
}

async function replaceAll(connection: Connection, job: RestoreJob, prepared: Prepared, database: StoredDatabase): Promise<{ proof: ProofLine[]; lost: Lost[] }> {
  const { request } = job;
  const { manifest } = database;
  const { plan } = prepared;
  const rebuild = rebuildOf(prepared, job, database);
  const there = await readFacts(connection);
  const managed = plan.target.superuser ? new Map<string, string>() : await managedSchemas(connection);
  const [preData, postData] = [withoutManaged(database.preData, managed), withoutManaged(database.postData, managed)];
  const drops = dropsOf([...preData, ...postData]);
  await connection.query('BEGIN', 'beginning the restore');
  // The event triggers of the target are not asked about what comes back.
  if (plan.target.superuser) await connection.query('SET LOCAL session_replication_role = replica', 'beginning the restore');
  await outsiders(connection, drops, database, request.cascade === true);
  request.step(`Dropping what the backup has from ${manifest.name}`);
  for (const { statement } of drops) await connection.query(statement, `replacing what is in ${manifest.name}`);
  const [before, after] = [adaptEntries(await withoutSchemas(connection, preData), plan), adaptEntries(postData, plan)];
  const tolerant = isTolerant(plan) ? 'by savepoints' : false;
  const lost = [...managedLost([...database.preData, ...database.postData], managed), ...before.lost, ...after.lost, ...(await runEntries(connection, before.entries, 'making the schema', tolerant))];
  await prepareWriting(connection);
  const proof: ProofLine[] = [];
  const rows = manifest.tables.filter(({ extension }) => !extension);
  const ours = rows.filter(({ schema }) => !managed.has(schema));
  const others = await replaceManagedRows(connection, rows.filter(({ schema }) => managed.has(schema)), rebuild);
  proof.push(...others.proof);
  lost.push(...others.lost);
  for (const table of ours) {
    request.step(`Loading ${table.schema}.${table.name}`);
    await loadTable(connection, table, rebuild, { begun: true });
  }
  lost.push(...(await finish(connection, rebuild, after.entries, tolerant)));
  request.step(`Comparing ${manifest.name} with the manifest`);
  await prepareWriting(connection);
  for (const table of ours) proof.push(await proveTable(connection, table));
  const sequences = manifest.sequences.filter(({ schema }) => !managed.has(schema));
  proof.push(await proveSequences(connection, { ...manifest, sequences }, explains(lost)), await proveLargeObjects(connection, manifest));
  const facts = parseLines((await job.files.bytes(fromText(`${database.folder}/catalog.json`))).toString('utf8'));
  proof.push(await proveCatalog(connection, facts, database.major, { plan, lost, there }));
  refuseUnproven(proof, []);
  await connection.query('COMMIT', `putting ${manifest.name} in place`);
  const names = ours.map(({ schema, name }) => qualified(schema, name));
  if (names.length > 0) await connection.query(`ANALYZE ${names.join(', ')}`, 'gathering statistics');
  return { proof, lost };
}

async function finish(connection: Connection, rebuild: Rebuild, after: readonly SchemaEntry[], tolerant: 'by savepoints' | false): Promise<Lost[]> {
  const { files, folder, manifest, plan } = rebuild;
  const script = (await files.bytes(fromText(`${folder}/sequences.sql`))).toString('utf8');
  const values = statementsOf(script).map((sql) => ({ kind: 'SEQUENCE SET', schema: undefined, name: sql, owner: undefined, statements: [sql] }));
  const lost = await runEntries(connection, values, 'setting the sequences', tolerant);
  if (manifest.largeObjects.length > 0) {
    const list = manifest.largeObjects.map(({ oid }) => oid).join(', ');
    await connection.query(`SELECT pg_catalog.lo_unlink(oid) FROM pg_catalog.pg_largeobject_metadata WHERE oid IN (${list})`, 'replacing large objects');
    lost.push(...(await writeLargeObjects(connection, files.read(fromText(`${folder}/large-objects.sql`)), plan, tolerant)));
  }
  return [...lost, ...(await runEntries(connection, after, 'making constraints, triggers and privileges', tolerant))];
}

/** A schema that is there stays, for it may hold what is not ours. */
async function withoutSchemas(connection: Connection, entries: readonly SchemaEntry[]): Promise<SchemaEntry[]> {
  const rows = await connection.query<{ name: string }>('SELECT nspname AS name FROM pg_catalog.pg_namespace', 'listing schemas');
  const there = new Set(rows.map(({ name }) => name));
  return entries.map((entry) => (entry.kind === 'SCHEMA' && there.has(entry.name) ? { ...entry, statements: entry.statements.filter((sql) => !sql.startsWith('CREATE SCHEMA ')) } : entry));
}
