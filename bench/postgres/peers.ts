/** The client programs of Postgres that we are compared with. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { quietly } from '../measure/measure.ts';
import { setUp } from '../tool/setup.ts';
import { BINARIES } from './server.ts';

export const PG_DUMP = join(BINARIES, 'pg_dump');
export const PG_RESTORE = join(BINARIES, 'pg_restore');
export const PSQL = join(BINARIES, 'psql');

export interface Programs {
  readonly dump: string;
  readonly restore: string;
}

const STATE = join(import.meta.dirname, '..', '..', '.state', 'bin');
const BESIDE: Programs = { dump: join(STATE, 'pg_dump-17'), restore: join(STATE, 'pg_restore-17') };
const INSTALLED = ['18', '17', '16'].map((major): Programs => ({ dump: `/usr/lib/postgresql/${major}/bin/pg_dump`, restore: `/usr/lib/postgresql/${major}/bin/pg_restore` }));

/** A `pg_dump` that knows zstd (since 16), and the `pg_restore` that reads its archives; undefined when none can be had. */
export function zstdPgDump(): Programs | undefined {
  const installed = INSTALLED.find(({ dump }) => existsSync(dump));
  if (installed !== undefined) return installed;
  return setUp('postgres17') && existsSync(BESIDE.dump) ? BESIDE : undefined;
}

export function versionOf(program: string): string {
  return quietly({ program, args: ['--version'] }).trim();
}
