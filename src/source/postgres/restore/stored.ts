/** What a snapshot holds of a server and of one database, beside the rows. */
import { HoldfastError, isHoldfastError } from '../../../base/errors.ts';
import { fromText } from '../../../base/raw-name.ts';
import { readToc } from '../../../client/postgres/archive/read-toc.ts';
import type { Toc } from '../../../client/postgres/archive/toc.ts';
import { identifier, literal } from '../../../client/postgres/sql-quote.ts';
import type { SnapshotFiles } from '../../../repository/entry.ts';
import { databaseProperties, type DatabaseProperties } from '../database.ts';
import { encodeName } from '../file-name.ts';
import { roleStatements } from '../global-statements.ts';
import { globalFacts, GLOBALS_FILE, settingSql, type GlobalFacts } from '../globals.ts';
import { createRoleSql } from '../globals-sql.ts';
import type { DatabaseManifest, PostgresDetail } from '../manifest.ts';
import { entriesOf, type SchemaEntry } from './schema-entry.ts';
import type { Globals } from './target-plan.ts';

/** A database of a snapshot: its manifest and the files beside the rows. */
export interface StoredDatabase {
  readonly manifest: DatabaseManifest;
  /** Its folder in the snapshot: `/store/database`. */
  readonly folder: string;
  /** Major version of the source. */
  readonly major: number;
  readonly properties: DatabaseProperties;
  readonly preData: readonly SchemaEntry[];
  readonly postData: readonly SchemaEntry[];
  /** Undefined in snapshots of an older Holdfast. */
  readonly toc: Toc | undefined;
}

export async function readStored(files: SnapshotFiles, detail: PostgresDetail, manifest: DatabaseManifest): Promise<StoredDatabase> {
  const folder = `/${encodeName(detail.store)}/${manifest.folder}`;
  const text = async (name: string): Promise<string> => (await files.bytes(fromText(`${folder}/${name}`))).toString('utf8');
  const like = databaseProperties.safeParse(JSON.parse(await text('database.json')));
  if (!like.success) throw new HoldfastError('restore-unproven', `database.json of ${manifest.name} cannot be understood.`, { cause: like.error });
  const [preData, postData] = [entriesOf(await text('pre-data.sql')), entriesOf(await text('post-data.sql'))];
  return { manifest, folder, major: Number.parseInt(detail.server, 10), properties: like.data, preData, postData, toc: await tocOf(files, folder) };
}

async function tocOf(files: SnapshotFiles, folder: string): Promise<Toc | undefined> {
  const bytes = await missingAsUndefined(files.bytes(fromText(`${folder}/schema.dump`)));
  return bytes === undefined ? undefined : readToc(bytes);
}

async function missingAsUndefined<T>(reading: Promise<T>): Promise<T | undefined> {
  return await reading.catch((error: unknown) => {
    if (isHoldfastError(error, 'path-missing')) return undefined;
    throw error;
  });
}

/** The script `globals.sql`, and its roles one by one; empty where the store leaves them out. */
export async function readStoredGlobals(files: SnapshotFiles, detail: PostgresDetail, targetMajor: number): Promise<Globals> {
  const text = async (name: string): Promise<string | undefined> => (await missingAsUndefined(files.bytes(fromText(`/${encodeName(detail.store)}/${name}`))))?.toString('utf8');
  const script = await text('globals.sql');
  if (script === undefined) return { script: undefined, roles: new Map(), memberships: [] };
  const facts = await text(GLOBALS_FILE);
  const parsed = facts === undefined ? undefined : globalFacts.safeParse(JSON.parse(facts));
  return parsed?.success === true ? { script, ...statementsOfFacts(parsed.data, targetMajor) } : { script, ...roleStatements(script) };
}

function statementsOfFacts(facts: GlobalFacts, targetMajor: number): Pick<Globals, 'roles' | 'memberships'> {
  const roles = facts.roles.map((role) => {
    const name = identifier(role.name);
    const statements = [createRoleSql(role), ...role.settings.map((setting) => `ALTER ROLE ${name} ${settingSql(setting)}`), ...(role.comment === null ? [] : [`COMMENT ON ROLE ${name} IS ${literal(role.comment)}`])];
    return [role.name, { name: role.name, statements }] as const;
  });
  const word = (on: boolean | null): string => (on === true ? 'TRUE' : 'FALSE');
  const memberships = facts.memberships.map(({ role, member, admin, inherit, set }) => {
    const plain = `GRANT ${identifier(role)} TO ${identifier(member)}`;
    const options = targetMajor >= 16 && inherit !== null ? ` WITH ADMIN ${word(admin)}, INHERIT ${word(inherit)}, SET ${word(set)}` : admin ? ' WITH ADMIN OPTION' : '';
    return { role, member, statement: plain + options };
  });
  return { roles: new Map(roles), memberships };
}
