import type { Command } from 'commander';

export function addWal(program: Command): void {
  const wal = program
    .command('wal')
    .summary('the write-ahead log of a physical store')
    .description('The write-ahead log of a physical store: what makes a restore to any second possible, between and after its backups.');
  wal
    .command('follow')
    .summary('receive the log of a server and store it, for as long as it runs')
    .description(
      'Receives the write-ahead log of a server over a replication slot and stores it. The server hears only of what is durable in the repository, and keeps the rest for us; ' +
        'lost connections are made again. When the server would have to keep more than `limit` (4G unless holdfast.yaml says otherwise), the slot is given up rather than fill its disk. ' +
        'That needs this process to run: set max_slot_wal_keep_size on the server as well. Ctrl-C or SIGTERM stores what has come and ends.',
    )
    .argument('[store]', 'a physical store of holdfast.yaml; needed when there are several')
    .option('--once', 'end when all is stored that the server has now')
    .option('--until-lsn <lsn>', 'end when all is stored up to this position, as in 16/B374D848')
    .option('--new-slot', 'begin anew where log is missing or the server is another one; makes the slot again. The time in between cannot be restored')
    .action(async (store: string | undefined, options) => await (await import('../wal-follow.ts')).runFollow(store, options));
  wal
    .command('push')
    .summary('store one file of the log: an archive_command')
    .description("For servers that cannot be followed: archive_command = 'holdfast wal push STORE %p -C DIR'. Ends with 0 only when the file is durable in the repository and was read back; the same file again is no error.")
    .argument('<store>', 'a physical store of holdfast.yaml')
    .argument('<path>', 'the file, as the server gives it with %p')
    .action(async (store: string, path: string, options) => await (await import('../wal-push.ts')).runPush(store, path, options));
  wal
    .command('fetch')
    .summary('give one file of the log back: a restore_command')
    .description("restore_command = 'holdfast wal fetch STORE %f %p -C DIR'. Ends with 1 only when there is no such file, and with 200 when that cannot be told: recovery then stops instead of ending too early.")
    .argument('<store>', 'a physical store of holdfast.yaml')
    .argument('<name>', 'the name of the file, as the server gives it with %f')
    .argument('<path>', 'where it is to be written, as the server gives it with %p')
    .action(async (store: string, name: string, path: string, options) => await (await import('../wal-push.ts')).runFetch(store, name, path, options));
  wal
    .command('status')
    .summary('what log is stored, what is missing, and how far each base backup reaches')
    .description('Shows the log that is stored as ranges without a hole, how far each base backup can be brought forward with it, and what the server keeps in its slot.')
    .argument('[store]', 'a physical store of holdfast.yaml; needed when there are several')
    .option('--verify', 'read every segment and follow its records, instead of manifests only')
    .option('--offline', 'do not ask the server')
    .action(async (store: string | undefined, options) => await (await import('../wal-status.ts')).runStatus(store, options));
  const slot = wal.command('slot').summary('the replication slot of a store').description('The replication slot for which the server of a store keeps its log.');
  slot
    .command('drop')
    .description('Drops the replication slot of a store, when its log is not to be followed any more. Until then the server keeps log for it, and may fill its disk.')
    .argument('<store>', 'a physical store of holdfast.yaml')
    .option('--yes', 'do not ask for a confirmation')
    .action(async (store: string, options) => await (await import('../wal-status.ts')).runSlotDrop(store, options));
}
