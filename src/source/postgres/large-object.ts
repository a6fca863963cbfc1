/** Large objects as a script of one statement a line, so that psql runs it and we can run it without holding it. */
import { createHash } from 'node:crypto';
import type { ContentSink } from '../../repository/entry.ts';
import type { Connection } from '../../client/postgres/connection.ts';
import { sqlState } from '../../client/postgres/failure.ts';
import { identifier, literal } from '../../client/postgres/sql-quote.ts';
import type { LargeObject } from './catalog.ts';
import { grantSql } from './database.ts';
import type { DatabaseManifest, LargeObjectManifest } from './manifest.ts';

/** Bytes of a large object in one statement; twice as many characters. */
const CHUNK = 512 * 1024;
/** Objects whose hashes are asked for at once. */
const TOGETHER = 1000;
/** `program_limit_exceeded`, as `lo_get` says of more than 1 GB, and `out_of_memory`. */
const TOO_LARGE: readonly (string | undefined)[] = ['54000', '53200'];

async function* chunks(connection: Connection, oid: string): AsyncGenerator<Buffer> {
  for (let at = 0; ; at += CHUNK) {
    const [row] = await connection.query<{ bytes: Buffer }>(`SELECT pg_catalog.lo_get(${oid}, ${at}, ${CHUNK}) AS bytes`, `reading the large object ${oid}`);
    const bytes = row?.bytes ?? Buffer.alloc(0);
    if (bytes.length > 0) yield bytes;
    if (bytes.length < CHUNK) return;
  }
}

/** Size and hash of a large object as it stands in the transaction of this connection. */
export async function hashLargeObject(connection: Connection, oid: string): Promise<LargeObjectManifest> {
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const chunk of chunks(connection, oid)) {
    bytes += chunk.length;
    hash.update(chunk);
  }
  return { oid, bytes, sha256: hash.digest('hex') };
}

/** Writes the script; gives what was read for the manifest. */
export async function writeLargeObjects(connection: Connection, objects: readonly LargeObject[], sink: ContentSink): Promise<LargeObjectManifest[]> {
  const write = async (line: string): Promise<void> => await sink.write(Buffer.from(`${line};\n`));
  const found: LargeObjectManifest[] = [];
  for (const { oid, owner, comment, grants } of objects) {
    await write(`SELECT pg_catalog.lo_create(${oid})`);
    const hash = createHash('sha256');
    let at = 0;
    for await (const chunk of chunks(connection, oid)) {
      await write(`SELECT pg_catalog.lo_put(${oid}, ${at}, '\\x${chunk.toString('hex')}')`);
      hash.update(chunk);
      at += chunk.length;
    }
    await write(`ALTER LARGE OBJECT ${oid} OWNER TO ${identifier(owner)}`);
    for (const grant of grants) await write(grantSql(grant, `LARGE OBJECT ${oid}`));
    if (comment !== null) await write(`COMMENT ON LARGE OBJECT ${oid} IS ${literal(comment)}`);
    found.push({ oid, bytes: at, sha256: hash.digest('hex') });
  }
  return found;
}

/** Of what the script says of objects besides their content. */
export function rightsOf(objects: readonly LargeObject[]): string {
  return createHash('sha256').update(JSON.stringify(objects)).digest('hex');
}

/**
 * Asks the server for the hash of each object, of which 64 digits are moved; true when all are as the manifest of the snapshot before
 * says. An object that is too large for one value (1 GB) cannot be asked for: then all are read.
 */
export async function sameLargeObjects(connection: Connection, objects: readonly LargeObject[], before: DatabaseManifest): Promise<boolean> {
  if (before.largeObjectRights !== rightsOf(objects) || before.largeObjects.length !== objects.length) return false;
  const doing = 'asking for the hashes of the large objects';
  const known = new Map(before.largeObjects.map(({ oid, sha256 }) => [oid, sha256]));
  for (let at = 0; at < objects.length; at += TOGETHER) {
    const oids = objects.slice(at, at + TOGETHER).map(({ oid }) => oid);
    await connection.query('SAVEPOINT hash', doing);
    const hashes = await connection.query<{ oid: string; sha256: string }>(
      `SELECT o::pg_catalog.text AS oid, pg_catalog.encode(pg_catalog.sha256(pg_catalog.lo_get(o)), 'hex') AS sha256 FROM pg_catalog.unnest('{${oids.join(',')}}'::pg_catalog.oid[]) o`, doing,
    ).catch(async (error: unknown) => {
      if (!TOO_LARGE.includes(sqlState(error))) throw error;
      await connection.query('ROLLBACK TO SAVEPOINT hash', doing);
      return [];
    });
    await connection.query('RELEASE SAVEPOINT hash', doing);
    if (hashes.length < oids.length || hashes.some(({ oid, sha256 }) => known.get(oid) !== sha256)) return false;
  }
  return true;
}
