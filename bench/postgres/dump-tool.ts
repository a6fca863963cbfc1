/** The programs that back up one database, and how each brings it back. */
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { bash, quietly, quoted, type Command } from '../measure/measure.ts';
import { OURS } from '../measure/sample.ts';
import { holdfast, holdfastVersion, initStack, repositoryOf } from '../tool/holdfast.ts';
import { PG_DUMP, PG_RESTORE, PSQL, versionOf, zstdPgDump } from './peers.ts';

export interface DumpTool {
  readonly name: string;
  readonly version: string;
  /** Makes an empty place for backups of the database at `url`; not measured. */
  prepare(place: string, url: string): void;
  /** Backup 0, 1, 2 … */
  backup(place: string, url: string, number: number): Command;
  /** The file or folder that holds all backups. */
  stored(place: string): string;
  /** What a restore is called in the tables. */
  readonly restoreName: string;
  /** Whether its restore wants the new database to be there. */
  readonly wantsDatabase: boolean;
  restore(place: string, target: { readonly url: string; readonly database: string }, number: number): Command;
}

export function ours(...flags: readonly string[]): DumpTool {
  const name = [OURS, ...flags].join(' ');
  return {
    name, restoreName: name, version: holdfastVersion(), wantsDatabase: false, stored: repositoryOf,
    prepare: (place, url) => initStack(place, '--postgres', url),
    backup: (place) => holdfast(place, 'backup', ...flags),
    restore: (place, { database }) => holdfast(place, 'restore', '--into', database, '--yes'),
  };
}

/** A tool that writes each backup to a file or folder of its own. */
type Dumper = Pick<DumpTool, 'name' | 'restoreName' | 'version'> & { dump(url: string, to: string): Command; load(from: string, url: string): Command };

function dumper({ name, restoreName, version, dump, load }: Dumper): DumpTool {
  const fileOf = (place: string, number: number): string => join(place, `dump-${number}`);
  return {
    name, restoreName, version, wantsDatabase: true, stored: (place) => place,
    prepare: (place) => {
      rmSync(place, { recursive: true, force: true });
      mkdirSync(place, { recursive: true });
    },
    backup: (place, url, number) => dump(url, fileOf(place, number)),
    restore: (place, { url }, number) => load(fileOf(place, number), url),
  };
}

const psql = (url: string): string => `${PSQL} -qX -v ON_ERROR_STOP=1 -d ${quoted(url)}`;

export function gzipped(): DumpTool {
  return dumper({
    name: 'pg_dump | gzip', restoreName: 'gunzip | psql', version: versionOf(PG_DUMP),
    dump: (url, to) => bash(`${PG_DUMP} -d ${quoted(url)} | gzip > ${quoted(to)}`),
    load: (from, url) => bash(`gunzip -c ${quoted(from)} | ${psql(url)}`),
  });
}

export function custom(): DumpTool {
  return dumper({
    name: 'pg_dump -Fc', restoreName: 'pg_restore -j2', version: versionOf(PG_DUMP),
    dump: (url, to) => ({ program: PG_DUMP, args: ['-Fc', '-f', to, '-d', url] }),
    load: (from, url) => ({ program: PG_RESTORE, args: ['-j2', '-d', url, from] }),
  });
}

export function parallel(): DumpTool {
  return dumper({
    name: 'pg_dump -Fd -j2', restoreName: 'pg_restore -j2', version: versionOf(PG_RESTORE),
    dump: (url, to) => ({ program: PG_DUMP, args: ['-Fd', '-j2', '-f', to, '-d', url] }),
    load: (from, url) => ({ program: PG_RESTORE, args: ['-j2', '-d', url, from] }),
  });
}

/** The parallel `pg_dump` that knows zstd; undefined when none can be had. */
export function parallelZstd(): DumpTool | undefined {
  const programs = zstdPgDump();
  return programs && dumper({
    name: 'pg_dump -Fd -j2 -Z zstd', restoreName: 'pg_restore | psql', version: versionOf(programs.dump),
    dump: (url, to) => ({ program: programs.dump, args: ['-Fd', '-j2', '-Z', 'zstd', '-f', to, '-d', url] }),
    // An older server does not know a setting that the newer program makes; as text the archive can be loaded without it.
    load: (from, url) => bash(`${programs.restore} -f - ${quoted(from)} | sed '/^SET transaction_timeout = 0;$/d' | ${psql(url)}`),
  });
}

export function intoRestic(): DumpTool {
  const restic = (place: string): string => `restic -q --repo ${quoted(join(place, 'repository'))} --cache-dir ${quoted(join(place, 'cache'))}`;
  const env = { RESTIC_PASSWORD: 'benchmark' };
  return {
    name: 'pg_dump | restic', restoreName: 'restic dump | psql', version: quietly({ program: 'restic', args: ['version'] }).trim(), wantsDatabase: true, stored: (place) => join(place, 'repository'),
    prepare: (place) => {
      mkdirSync(place, { recursive: true });
      quietly({ ...bash(`${restic(place)} init`), env });
    },
    backup: (place, url) => ({ ...bash(`${PG_DUMP} -d ${quoted(url)} | ${restic(place)} backup --stdin --stdin-filename dump.sql`), env }),
    restore: (place, { url }) => ({ ...bash(`${restic(place)} dump latest dump.sql | ${psql(url)}`), env }),
  };
}
