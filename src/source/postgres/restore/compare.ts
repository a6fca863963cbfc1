/** The live databases against a manifest; nothing is changed. */
import { Connection } from '../../../client/postgres/connection.ts';
import { sqlState } from '../../../client/postgres/failure.ts';
import { fromText } from '../../../base/raw-name.ts';
import type { SnapshotFiles } from '../../../repository/entry.ts';
import type { PostgresTarget } from '../../../client/postgres/target.ts';
import type { ProofLine, StoreManifest } from '../../source.ts';
import { readDetail, type DatabaseManifest } from '../manifest.ts';
import { encodeName } from '../file-name.ts';
import { parseLines } from './rebuild.ts';
import { proveCatalog, proveLargeObjects, proveSequences, proveTable } from './prove.ts';
import { prepareReading } from '../session.ts';

const UNDEFINED_TABLE = '42P01';
const UNDEFINED_COLUMN = '42703';

export async function compareDatabases(server: PostgresTarget, manifest: StoreManifest, files: SnapshotFiles): Promise<ProofLine[]> {
  const detail = readDetail(manifest);
  const proof: ProofLine[] = [];
  for (const database of detail.databases) {
    const lines = await Connection.with({ ...server, database: database.name }, async (connection) => {
      const lines = await compareOne(connection, database);
      const facts = await files.bytes(fromText(`/${encodeName(detail.store)}/${database.folder}/catalog.json`));
      return [...lines, await proveCatalog(connection, parseLines(facts.toString('utf8')), Number.parseInt(detail.server, 10))];
    });
    proof.push(...lines.map((line) => (detail.databases.length === 1 ? line : { ...line, subject: `${database.name} ${line.subject}` })));
  }
  return proof;
}

async function compareOne(connection: Connection, database: DatabaseManifest): Promise<ProofLine[]> {
  await prepareReading(connection);
  await connection.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY', 'beginning the comparison');
  const proof: ProofLine[] = [];
  for (const table of database.tables) {
    const doing = `comparing ${table.schema}.${table.name}`;
    await connection.query('SAVEPOINT one', doing);
    try {
      proof.push(await proveTable(connection, table));
    } catch (error) {
      const state = sqlState(error);
      if (state !== UNDEFINED_TABLE && state !== UNDEFINED_COLUMN) throw error;
      proof.push({ subject: `${table.schema}.${table.name}`, equal: false, detail: state === UNDEFINED_TABLE ? 'the table is gone' : 'a column is gone' });
      await connection.query('ROLLBACK TO SAVEPOINT one', doing);
    }
    await connection.query('RELEASE SAVEPOINT one', doing);
  }
  return [...proof, await proveSequences(connection, database), await proveLargeObjects(connection, database)];
}
