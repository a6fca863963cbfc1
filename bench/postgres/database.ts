/** The database that the Postgres benches back up: pgbench's tables, and one of documents. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { Marker } from '../data/cache.ts';
import { document, DOCUMENT_COLUMNS } from '../data/line.ts';
import { Random } from '../data/random.ts';
import { quietly } from '../measure/measure.ts';
import type { BenchOptions } from '../rounds.ts';
import { setUp } from '../tool/setup.ts';
import { BINARIES, startServer, type Server } from './server.ts';

/** The name of the database, and so of its store. */
export const DATABASE = 'bench';

const DOCUMENTS = 440_000;

export interface BenchServer extends Server {
  /** The files of the server, to be read before each run. */
  readonly files: string;
  readonly notes: readonly string[];
}

/** A running server with the database in it, made now if it is not there. */
export async function benchServer({ cache, scale }: BenchOptions): Promise<BenchServer> {
  if (!setUp('debian')) throw new Error('PostgreSQL cannot be had');
  const folder = join(cache, scale === 1 ? 'postgres' : `postgres-${scale}`);
  const marker = new Marker(folder);
  const whole = marker.isWhole();
  if (!whole) {
    console.log(`making the database in ${folder}`);
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true, mode: 0o755 });
  }
  await using lifetime = new AsyncDisposableStack();
  const server = lifetime.use(await startServer(folder));
  if (!whole) {
    await fill(server, scale);
    marker.whole();
  }
  const notes = notesOf(server, scale);
  console.log(notes.join('\n'));
  const kept = lifetime.move();
  return { ...server, files: join(folder, 'data', 'base'), notes, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}

async function fill(server: Server, scale: number): Promise<void> {
  server.sql('postgres', `CREATE DATABASE ${DATABASE}`);
  quietly({ program: join(BINARIES, 'pgbench'), args: ['-q', '-i', '-s', String(Math.max(1, Math.round(50 * scale))), server.url(DATABASE)] });
  server.sql(DATABASE, `CREATE TABLE docs (${DOCUMENT_COLUMNS})`);
  await copyDocuments(server, DOCUMENTS * scale);
  server.sql(DATABASE, 'ALTER TABLE docs ADD PRIMARY KEY (id); CREATE UNIQUE INDEX docs_key ON docs (key); CREATE INDEX docs_owner ON docs (owner, created)');
  for (const text of ['VACUUM (FREEZE, ANALYZE)', 'CHECKPOINT']) server.sql(DATABASE, text);
}

async function copyDocuments(server: Server, rows: number): Promise<void> {
  const random = new Random('docs');
  const psql = spawn(join(BINARIES, 'psql'), ['-qX', '-v', 'ON_ERROR_STOP=1', '-d', server.url(DATABASE), '-c', 'COPY docs FROM STDIN'], { stdio: ['pipe', 'ignore', 'inherit'] });
  const ended = once(psql, 'exit');
  for (let id = 1; id <= rows; ) {
    let text = '';
    while (text.length < 1 << 20 && id <= rows) text += document(random, id++);
    if (!psql.stdin.write(text)) await once(psql.stdin, 'drain');
  }
  psql.stdin.end();
  const [code]: unknown[] = await ended;
  if (code !== 0) throw new Error('the table docs could not be filled');
}

function notesOf(server: Server, scale: number): readonly string[] {
  const settings = ['fsync', 'synchronous_commit', 'full_page_writes', 'shared_buffers', 'max_wal_size', 'maintenance_work_mem'];
  const values = settings.map((name) => `${name} ${server.sql(DATABASE, `SHOW ${name}`)}`).join(', ');
  const size = server.sql(DATABASE, `SELECT pg_size_pretty(pg_database_size('${DATABASE}'))`);
  const small = scale === 1 ? '' : ` (times ${scale})`;
  return [`Server: PostgreSQL ${server.sql(DATABASE, 'SHOW server_version')} over loopback TCP; ${values}.`, `Data: pgbench -s 50 and ${DOCUMENTS} documents${small}; ${size} in the server.`];
}
