/** What the snapshot before says of a database: how its tables were split, and what the server counted. */
import { fromText, type RawName } from '../../../base/raw-name.ts';
import type { CaptureContext } from '../../source.ts';
import { encodeName } from '../file-name.ts';
import { readDetail, type DatabaseManifest, type PostgresDetail, type TableManifest } from '../manifest.ts';

export interface PreviousDatabase {
  /** The folder of its rows in that snapshot. */
  readonly dataFolder: RawName;
  /** The folder of the database itself. */
  readonly folder: RawName;
  readonly database: DatabaseManifest;
  /** The program that dumped its schema. */
  readonly schemaBy: string;
  table(schema: string, name: string): TableManifest | undefined;
}

/** Undefined where there is none, or where its manifest is not understood: then all is read. */
export function previousDatabase(previous: CaptureContext['previous'], database: string): PreviousDatabase | undefined {
  const detail = previous && understood(previous);
  const found = detail?.databases.find(({ name }) => name === database);
  if (detail === undefined || found === undefined) return undefined;
  const tables = new Map(found.tables.map((table) => [JSON.stringify([table.schema, table.name]), table]));
  const folder = fromText(`/${encodeName(detail.store)}/${found.folder}`);
  return { folder, dataFolder: fromText(`/${encodeName(detail.store)}/${found.folder}/data`), database: found, schemaBy: detail.schemaBy, table: (schema, name) => tables.get(JSON.stringify([schema, name])) };
}

function understood({ manifest }: NonNullable<CaptureContext['previous']>): PostgresDetail | undefined {
  try {
    return readDetail(manifest);
  } catch {
    return undefined;
  }
}
