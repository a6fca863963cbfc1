/** What `restore` can be told about databases: which part, how, and what to do about that which the target lacks. */
import { Option, type Command } from 'commander';
import { HoldfastError } from '../base/errors.ts';
import type { DatabaseRestore } from '../operation/restore.ts';
import type { Store } from '../stack/stack.ts';

export interface DatabaseOptions {
  readonly table?: readonly string[];
  readonly tables?: string;
  readonly schemaOnly?: boolean;
  readonly dataOnly?: boolean;
  readonly as?: string;
  readonly schema?: readonly string[];
  readonly clean?: boolean;
  readonly cascade?: boolean;
  readonly intoDatabase?: string;
  readonly mapRole?: readonly string[];
  readonly roles: boolean;
  readonly skipExtension?: readonly string[];
  readonly owner: boolean;
  readonly privileges: boolean;
  readonly tablespaces: boolean;
  readonly tablespace?: readonly string[];
  readonly locale?: string;
}

const collect = (value: string, before: readonly string[] | undefined): readonly string[] => [...(before ?? []), value];

export function addDatabaseOptions(command: Command): Command {
  return command
    .addOption(new Option('--table <table>', 'only this table of a database: schema.table, with * for any letters; repeatable').argParser(collect).conflicts('path'))
    .option('--tables <group>', 'only the tables of this group of holdfast.yaml')
    .addOption(new Option('--schema-only', 'the schema of a database, without rows').conflicts('dataOnly'))
    .option('--data-only', 'only rows, into tables that are there and empty')
    .option('--as <table>', 'one table under another name, beside the one that is there: schema.table')
    .addOption(new Option('--schema <old=new>', 'a schema of a new database under another name; repeatable').argParser(collect))
    .option('--clean', 'in the database that is there, replace what the backup holds; with --data-only, replace the rows of its tables')
    .option('--cascade', 'with --clean: also drop what depends on it and is not in the backup')
    .addOption(new Option('--into-database <name>', 'an empty database that exists, for users that may not create one').conflicts('into'))
    .addOption(new Option('--map-role <old=new>', 'a role of the target in place of one of the backup; repeatable').argParser(collect))
    .option('--no-roles', 'create no roles that are missing: the user of the restore owns what was theirs')
    .addOption(new Option('--skip-extension <name>', 'go without this extension; repeatable').argParser(collect))
    .option('--no-owner', 'the user of the restore owns everything')
    .option('--no-privileges', 'grant nothing')
    .option('--no-tablespaces', 'store everything where the database is')
    .addOption(new Option('--tablespace <name=folder>', 'of a whole server: a new folder for this tablespace, by name or OID; repeatable. The others go beside the data directory').argParser(collect))
    .option('--locale <name>', 'a locale of the target in place of the one of the backup; sort orders may change');
}

/** Undefined when nothing of it was said. Throws `usage`. */
export function databaseRestore(options: DatabaseOptions, stores: readonly Store[]): DatabaseRestore | undefined {
  const tables = [...(options.table ?? []), ...(options.tables === undefined ? [] : groupOf(stores, options.tables))];
  const mapRoles = pairs('--map-role', options.mapRole);
  const schemas = pairs('--schema', options.schema);
  const choices = {
    ...(mapRoles === undefined ? {} : { mapRoles }), ...(options.roles ? {} : { roles: 'skip' as const }), ...(options.owner ? {} : { owners: false }), ...(options.privileges ? {} : { privileges: false }), ...(options.tablespaces ? {} : { tablespaces: false }),
    ...(options.skipExtension === undefined ? {} : { skipExtensions: options.skipExtension }), ...(options.locale === undefined ? {} : { locale: options.locale }),
  };
  const wish: DatabaseRestore = {
    ...(tables.length === 0 ? {} : { tables }), ...(options.schemaOnly ? { only: 'schema' as const } : {}), ...(options.dataOnly ? { only: 'data' as const } : {}),
    ...(options.as === undefined ? {} : { as: options.as }), ...(schemas === undefined ? {} : { schemas }), ...(options.clean ? { clean: true } : {}), ...(options.cascade ? { cascade: true } : {}),
    ...(options.intoDatabase === undefined ? {} : { intoExisting: true }), ...(Object.keys(choices).length === 0 ? {} : { choices }),
  };
  return Object.keys(wish).length === 0 ? undefined : wish;
}

function groupOf(stores: readonly Store[], group: string): readonly string[] {
  const groups = stores.flatMap((store) => (store.kind === 'postgres' ? Object.entries(store.tables ?? {}) : []));
  const found = groups.filter(([name]) => name === group).flatMap(([, tables]) => tables);
  if (found.length > 0) return found;
  throw new HoldfastError('usage', `no store has a group of tables "${group}"`, {
    hint: groups.length === 0 ? 'Name groups in holdfast.yaml, as in `postgres: { url: …, tables: { critical: [public.users] } }`.' : `There are: ${[...new Set(groups.map(([name]) => name))].join(', ')}.`,
  });
}

/** Folders of tablespaces of a whole server. Throws `usage`. */
export function tablespaceFolders({ tablespace }: DatabaseOptions): Record<string, string> | undefined {
  return pairs('--tablespace', tablespace);
}

function pairs(option: string, given: readonly string[] = []): Record<string, string> | undefined {
  if (given.length === 0) return undefined;
  return Object.fromEntries(given.map((one) => {
    const at = one.indexOf('=');
    if (at <= 0 || at === one.length - 1) throw new HoldfastError('usage', `${option} ${one} cannot be understood`, { hint: `Write it as ${option} old=new.` });
    return [one.slice(0, at), one.slice(at + 1)];
  }));
}
