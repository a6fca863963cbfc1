/** A stored database as an archive of pg_dump's custom format, which pg_restore opens: its own table of contents, and the rows. */
import { HoldfastError, isHoldfastError } from '../../../base/errors.ts';
import type { Patch } from '../../../base/file.ts';
import { fromText, type RawName } from '../../../base/raw-name.ts';
import { withData, type Archive, type ArchivedObject, type ArchiveLargeObject } from '../../../client/postgres/archive/archive.ts';
import { readToc } from '../../../client/postgres/archive/read-toc.ts';
import type { Toc } from '../../../client/postgres/archive/toc.ts';
import { writeArchive } from '../../../client/postgres/archive/write-archive.ts';
import type { SnapshotFiles } from '../../../repository/entry.ts';
import { provenRows, type SqlExport } from './export-sql.ts';
import { readObjectScript } from '../large-object-script.ts';

const OWNER = /OWNER TO "((?:[^"]|"")+)";$/;

/**
 * The archive as a stream; what it returns is to be written over its head where that can be done, so that parallel workers of
 * pg_restore begin anywhere. Throws `restore-unproven` when rows are not those of the manifest, `path-missing` when an older version
 * made the snapshot.
 */
export async function* exportArchive(job: Omit<SqlExport, 'globals'>): AsyncGenerator<Uint8Array, readonly Patch[]> {
  const { files, database, schemaOnly } = job;
  const folder = `${job.store}/${database.folder}`;
  const toc = await storedToc(files, fromText(`${folder}/schema.dump`));
  return yield* writeArchive(schemaOnly ? { toc, blocks: [] } : await filled(job, folder, toc), { compression: 'zlib' });
}

async function storedToc(files: SnapshotFiles, path: RawName): Promise<Toc> {
  try {
    return readToc(await files.bytes(path));
  } catch (error) {
    if (!isHoldfastError(error, 'path-missing')) throw error;
    throw new HoldfastError('path-missing', 'the snapshot holds no table of contents of pg_dump, for an older Holdfast made it', { hint: 'Export it as SQL (--format sql.gz), or make a new backup.', cause: error });
  }
}

async function filled(job: Omit<SqlExport, 'globals'>, folder: string, toc: Toc): Promise<Archive> {
  const { files, database, progress } = job;
  const script = fromText(`${folder}/large-objects.sql`);
  const some = database.largeObjects.length > 0;
  return withData(toc, {
    tables: database.tables.map((table) => ({ schema: table.schema, name: table.name, columns: table.columns, rows: () => provenRows(job, folder, table) })),
    sequences: database.sequences,
    largeObjects: some ? await describeObjects(files, script) : [],
    ...(some && { contents: () => contentsOf(files, script, progress) }),
  });
}

async function describeObjects(files: SnapshotFiles, script: RawName): Promise<ArchiveLargeObject[]> {
  const objects = new Map<string, ArchiveLargeObject>();
  for await (const line of readObjectScript(files, script, () => undefined)) {
    const { oid } = line;
    const object = objects.get(oid) ?? { oid, owner: '', privileges: '', comment: '' };
    if (line.kind === 'create') objects.set(oid, object);
    else if (line.kind === 'owner') objects.set(oid, { ...object, owner: OWNER.exec(line.sql)?.[1]?.replaceAll('""', '"') ?? '' });
    else if (line.kind === 'grant') objects.set(oid, { ...object, privileges: `${object.privileges}${line.sql}\n` });
    else if (line.kind === 'comment') objects.set(oid, { ...object, comment: `${line.sql}\n` });
  }
  return [...objects.values()];
}

/** Each object is read to its end before the next one comes. */
async function* contentsOf(files: SnapshotFiles, script: RawName, progress: (bytes: number) => void): AsyncGenerator<ArchivedObject> {
  const lines = readObjectScript(files, script, progress);
  let next = await lines.next();
  const content = async function* (oid: string): AsyncGenerator<Uint8Array> {
    for (next = await lines.next(); next.done !== true && next.value.oid === oid; next = await lines.next()) {
      if (next.value.kind === 'put') yield next.value.bytes;
    }
  };
  while (next.done !== true) yield { oid: next.value.oid, content: content(next.value.oid) };
}
