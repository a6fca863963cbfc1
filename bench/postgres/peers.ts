/** The client programs of Postgres that we are compared with. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { quietly } from '../measure/measure.ts';
import { setUp } from '../tool/setup.ts';
import { BINARIES } from './server.ts';

export const PG_DUMP = join(BINARIES, 'pg_dump');
export const PG_RESTORE = join(BINARIES, 'pg_restore');
export const PSQL = join(BINARIES, 'psql');

const BESIDE = join(import.meta.dirname, '..', '..', '.state', 'bin', 'pg_dump-17');
const INSTALLED = ['18', '17', '16'].map((major) => `/usr/lib/postgresql/${major}/bin/pg_dump`);

/** A `pg_dump` that knows zstd (since 16); undefined when none can be had. */
export function zstdPgDump(): string | undefined {
  const installed = INSTALLED.find((path) => existsSync(path));
  if (installed !== undefined) return installed;
  return setUp('postgres17') && existsSync(BESIDE) ? BESIDE : undefined;
}

export function versionOf(program: string): string {
  return quietly({ program, args: ['--version'] }).trim();
}
