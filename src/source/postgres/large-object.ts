/** Large objects as a script of one statement a line, so that psql runs it and we can run it without holding it. */
import { createHash } from 'node:crypto';
import type { ContentSink } from '../../repository/entry.ts';
import type { Connection } from '../../client/postgres/connection.ts';
import { identifier, literal } from '../../client/postgres/sql-quote.ts';
import type { LargeObject } from './catalog.ts';
import { grantSql } from './database.ts';
import type { LargeObjectManifest } from './manifest.ts';

/** Bytes of a large object in one statement; twice as many characters. */
const CHUNK = 512 * 1024;

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
