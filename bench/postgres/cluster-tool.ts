/** The programs that back up a whole server, and how each makes a data directory of its backup again. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { bash, quietly, quoted, shell, type Command } from '../measure/measure.ts';
import { OURS } from '../measure/sample.ts';
import { holdfast, holdfastVersion, repositoryOf } from '../tool/holdfast.ts';
import { versionOf } from './peers.ts';
import { asServer, BINARIES, folderOfServer, type Server } from './server.ts';

/** Where a cluster is reached. */
export interface Reach {
  readonly server: Server;
  /** Of the server, or of a relay before it. */
  readonly port: number;
  /** The folder of the server's Unix socket. */
  readonly sockets: string;
}

export interface ClusterTool {
  readonly name: string;
  readonly version: string;
  /** Makes an empty place; not measured. */
  prepare(place: string): void;
  /** The server's archive_command while this tool works. */
  archive(place: string): string;
  /** Backup 0, 1, 2 … */
  backup(place: string, number: number): Command;
  /** The folder that holds all backups. */
  stored(place: string): string;
  /** Makes a data directory, which is not there yet, of a backup; to a moment if one is given, which only who keeps the log can do. */
  restore(place: string, number: number, into: string, at?: string): Command;
}

/** Archives nowhere: the tools that take no log from the archive. */
export const NOWHERE = '/bin/true';

export function oursPhysical({ server, port }: Reach): ClusterTool {
  return {
    name: OURS, version: holdfastVersion(), archive: () => NOWHERE, stored: repositoryOf,
    prepare: (place) => {
      mkdirSync(place, { recursive: true });
      const store = `cluster: { postgres: { url: ${quoted(server.url('postgres', port))}, physical: true } }`;
      writeFileSync(join(place, 'holdfast.yaml'), `stack: bench\nstores:\n  ${store}\nrepositories:\n  local: { path: ${quoted(repositoryOf(place))}, password: env:HOLDFAST_PASSWORD }\n`);
      quietly(holdfast(place, 'init'));
    },
    backup: (place) => holdfast(place, 'backup'),
    restore: (place, _, into, at) => holdfast(place, 'restore', 'cluster', ...(at === undefined ? [] : ['--at', at]), '--into', into, '--yes'),
  };
}

const PG_BASEBACKUP = join(BINARIES, 'pg_basebackup');

function viaBasebackup({ port }: Reach, name: string, flags: readonly string[], restore: ClusterTool['restore']): ClusterTool {
  return {
    name, version: versionOf(PG_BASEBACKUP), archive: () => NOWHERE, stored: (place) => place, restore,
    prepare: folderOfServer,
    backup: (place, number) => asServer({
      program: PG_BASEBACKUP, args: ['-h', '127.0.0.1', '-p', String(port), '-U', 'postgres', '--checkpoint=fast', ...flags, '-D', join(place, String(number))],
    }),
  };
}

export function plainBasebackup(reach: Reach): ClusterTool {
  return viaBasebackup(reach, 'pg_basebackup', [], (place, number, into) => asServer({ program: 'cp', args: ['-a', join(place, String(number)), into] }));
}

export function zstdBasebackup(reach: Reach, where: 'server' | 'client'): ClusterTool {
  return viaBasebackup(reach, `pg_basebackup, zstd by the ${where}`, ['-Ft', `--compress=${where}-zstd`], (place, number, into) => {
    const file = (name: string): string => quoted(join(place, String(number), name));
    const [data, log] = [quoted(into), quoted(join(into, 'pg_wal'))];
    // The log is not compressed.
    return asServer(bash(`mkdir -m 700 ${data} && zstd -dcq ${file('base.tar.zst')} | tar -xf - -C ${data} && tar -xf ${file('pg_wal.tar')} -C ${log}`));
  });
}

export function pgbackrest({ server, sockets }: Reach): ClusterTool {
  const config = (place: string): string => join(place, 'pgbackrest.conf');
  const run = (place: string, ...args: readonly string[]): Command => asServer({ program: 'pgbackrest', args: [`--config=${config(place)}`, '--stanza=bench', '--log-level-console=warn', ...args] });
  return {
    name: 'pgbackrest', version: quietly({ program: 'pgbackrest', args: ['version'] }).trim(), stored: (place) => join(place, 'repository'),
    archive: (place) => `pgbackrest --config=${config(place)} --stanza=bench archive-push %p`,
    prepare: (place) => {
      folderOfServer(place);
      folderOfServer(join(place, 'repository'));
      const common = ['repo1-path=repository', 'log-path=log', 'lock-path=lock', 'spool-path=spool'].map((line) => line.replace('=', `=${place}/`));
      writeFileSync(config(place), [
        '[global]', ...common, 'repo1-retention-full=9', 'log-level-file=off', 'compress-type=zst', 'process-max=2', 'start-fast=y',
        '[bench]', `pg1-path=${server.data}`, `pg1-port=${server.port}`, `pg1-socket-path=${sockets}`, 'pg1-user=postgres', '',
      ].join('\n'));
      quietly(run(place, 'stanza-create'));
    },
    backup: (place, number) => run(place, `--type=${number === 0 ? 'full' : 'incr'}`, 'backup'),
    restore: (place, _, into, at) => {
      const target = at === undefined ? ['--type=immediate'] : ['--type=time', `--target=${at}`];
      return run(place, `--pg1-path=${into}`, ...target, '--target-action=promote', 'restore');
    },
  };
}

export function barman({ server, port }: Reach): ClusterTool {
  const config = (place: string): string => join(place, 'barman.conf');
  const run = (place: string, ...args: readonly string[]): Command => asServer({ program: 'barman', args: ['-q', '-c', config(place), ...args] });
  const home = (place: string): string => join(place, 'home');
  const incoming = (place: string): string => join(home(place), 'bench', 'incoming');
  return {
    name: 'barman, zstd', version: `barman ${quietly({ program: 'barman', args: ['--version'] }).split('\n')[0] ?? ''}`, stored: home,
    archive: (place) => `cp %p ${incoming(place)}/%f`,
    prepare: (place) => {
      for (const folder of [place, home(place), join(place, 'staging')]) folderOfServer(folder);
      const conninfo = `host=127.0.0.1 port=${port} user=postgres dbname=postgres`;
      writeFileSync(config(place), [
        '[barman]', `barman_home = ${home(place)}`, 'barman_user = postgres', `log_file = ${place}/barman.log`, `configuration_files_directory = ${place}/more`,
        '[bench]', 'description = bench', `conninfo = ${conninfo}`, `streaming_conninfo = ${conninfo}`, 'backup_method = postgres', 'archiver = on', 'immediate_checkpoint = true', 'compression = gzip',
        'backup_compression = zstd', 'backup_compression_format = tar', `recovery_staging_path = ${place}/staging`, `path_prefix = ${BINARIES}`, '',
      ].join('\n'));
      // It makes its folders when it looks at them first, and takes no backup before a segment has come.
      quietly(bash(`${shell(run(place, 'check', 'bench'))} || true`));
      archiveWith(server, `cp %p ${incoming(place)}/%f`);
      quietly(run(place, 'switch-wal', '--force', '--archive', 'bench'));
    },
    backup: (place) => run(place, 'backup', '--wait', 'bench'),
    restore: (place, _, into, at) => run(place, 'recover', ...(at === undefined ? ['--target-immediate'] : ['--target-time', at]), '--target-action', 'promote', 'bench', 'latest', into),
  };
}

/** Changes the server's archive_command, and waits until it has done so. */
export function archiveWith(server: Server, command: string): void {
  server.sql('postgres', `ALTER SYSTEM SET archive_command = ${quoted(command)}`);
  server.sql('postgres', 'SELECT pg_reload_conf()');
  for (let tries = 0; server.sql('postgres', 'SHOW archive_command') !== command; tries++) {
    if (tries > 100) throw new Error('the server does not read its settings again');
  }
}
