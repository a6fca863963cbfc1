/** `holdfast demo`: fill, back up, change, back up again, destroy, restore, prove. Everything happens in one scratch folder that goes at the end. */
import * as fs from 'node:fs/promises';
import * as os from 'node:os';
import * as path from 'node:path';
import pg from 'pg';
import { HoldfastError } from '../../base/errors.ts';
import { startEmbedded } from '../../client/postgres/embedded.ts';
import { backup, type BackupReport, type StoreBackup } from '../../operation/backup.ts';
import { init } from '../../operation/init.ts';
import { repositoryOf } from '../../operation/open.ts';
import { executeRestore, planRestore, type StoreRestore } from '../../operation/restore.ts';
import type { Repository } from '../../repository/repository.ts';
import type { Stack } from '../../stack/stack.ts';
import { formatBytes, formatCount, formatSeconds } from '../render/text.ts';
import type { Session } from '../session.ts';
import { changeOnePercent, createDemoDatabase, DEMO_DATABASE } from './database.ts';
import { changeJumpLogs, writeJumpLogs, writeKeyFile } from './jump-logs.ts';
import { Teller } from './teller.ts';
import { missing, witnessDatabase, witnessFiles, type Account } from './witness.ts';

interface Scene {
  readonly session: Session;
  readonly teller: Teller;
  readonly folder: string;
  readonly server: string;
}

interface Witnessed {
  readonly database: Account;
  readonly logs: Account;
  readonly keys: Account;
}

const logsOf = (folder: string): string => path.join(folder, 'stack', 'jump-logs');
const keysOf = (folder: string): string => path.join(folder, 'stack', 'keys');

/** Tells the story; with `keep`, the folder with the repository stays. */
export async function runDemo(session: Session, keep: boolean): Promise<void> {
  const folder = await fs.mkdtemp(path.join(os.tmpdir(), 'holdfast-demo-'));
  // The server runs as another user when we are root, and must reach its own folder in it.
  await fs.chmod(folder, 0o755);
  const teller = new Teller(session);
  let finished = false;
  try {
    await using server = await startEmbedded({ folder: path.join(folder, 'server') });
    const database = await act1(teller, server.url, server.version, folder);
    await tell({ session, teller, folder, server: server.url }, database, keep);
    finished = true;
  } finally {
    if (keep && finished) await fs.rm(path.join(folder, 'server'), { recursive: true, force: true });
    else await fs.rm(folder, { recursive: true, force: true });
    // A Ctrl-C ends here too: the server is down and nothing is left.
    session.progress.clear();
  }
}

async function act1(teller: Teller, server: string, version: string, folder: string): Promise<string> {
  teller.heading('A small product is running');
  const [database, logs] = await teller.timed('filling it', async () => await Promise.all([createDemoDatabase(server), writeJumpLogs(logsOf(folder)), writeKeyFile(path.join(keysOf(folder), 'upload.key'))]));
  teller.line(`PostgreSQL ${version} with the database ${DEMO_DATABASE}, ${formatBytes(database.bytes)}: jumps, devices, people, policies, a few odd names.`);
  teller.line(`${formatCount(logs.files)} jump logs, ${formatBytes(logs.bytes)}, and a key file that only its owner may read.`);
  return database.url;
}

async function tell(scene: Scene, database: string, keep: boolean): Promise<void> {
  const { session, teller, folder } = scene;
  const passwordFile = path.join(folder, 'password');
  await fs.writeFile(passwordFile, 'not a secret: this is the demo\n', { mode: 0o600 });
  const made = await init(
    { folder: path.join(folder, 'stack'), stack: 'tempo', postgres: [database], directories: [logsOf(folder), keysOf(folder)], repository: path.join(folder, 'repository'), passwordFile },
    session.context,
  );
  const [place] = made.stack.repositories;
  if (!place) throw new HoldfastError('internal', 'the demo has no repository');
  const repository = await repositoryOf(place, session.clock);
  const first = await backUp(scene, made.stack, repository, 'First backup');
  await teller.timed('a day passes', async () => await Promise.all([changeOnePercent(database), changeJumpLogs(logsOf(folder))]));
  const second = await backUp(scene, made.stack, repository, 'A day later, 1 % has changed: second backup');
  const before = await teller.timed('writing down what is there', () => witness(folder, database));
  await destroy(scene);
  const restored = await bringBack(scene, made.stack, repository);
  const after = await teller.timed('comparing', () => witness(folder, database));
  account(scene, { first, second, restored, before, after, repository, keep });
}

async function witness(folder: string, database: string): Promise<Witnessed> {
  return { database: await witnessDatabase(database), logs: await witnessFiles(logsOf(folder)), keys: await witnessFiles(keysOf(folder)) };
}

async function backUp({ session, teller }: Scene, stack: Stack, repository: Repository, title: string): Promise<BackupReport> {
  teller.heading(title);
  const report = await backup({ stack, stores: stack.stores, repository, compression: 'auto', tags: [] }, session.context);
  session.progress.clear();
  for (const store of report.stores) {
    if (store.state === 'failed') throw store.error;
    teller.line(`${store.store.padEnd(16)} ${formatBytes(store.archived.totalBytes).padStart(8)} read, ${formatBytes(store.archived.dataAddedPacked).padStart(8)} stored, ${formatSeconds(store.seconds)}, ${store.state}`);
  }
  return report;
}

async function destroy({ session, teller, folder, server }: Scene): Promise<void> {
  teller.heading('Disaster');
  session.context.signal.throwIfAborted();
  const client = new pg.Client({ connectionString: server });
  await client.connect();
  await client.query(`drop database ${pg.escapeIdentifier(DEMO_DATABASE)} with (force)`);
  await client.end();
  await fs.rm(logsOf(folder), { recursive: true });
  await fs.rm(keysOf(folder), { recursive: true });
  teller.line(`drop database ${DEMO_DATABASE}; rm -rf jump-logs keys`);
}

async function bringBack({ session, teller }: Scene, stack: Stack, repository: Repository): Promise<readonly StoreRestore[]> {
  teller.heading('Restore');
  const plan = await planRestore({ stack, stores: stack.stores, repository }, session.context);
  const restored = await executeRestore(plan, repository, session.context);
  session.progress.clear();
  for (const { store, report, seconds } of restored) {
    const equal = report.proof.filter((line) => line.equal).length;
    teller.line(`${store.padEnd(16)} back after ${formatSeconds(seconds)}, ${formatCount(equal)} of ${formatCount(report.proof.length)} comparisons equal`);
  }
  return restored;
}

interface Outcome {
  readonly first: BackupReport;
  readonly second: BackupReport;
  readonly restored: readonly StoreRestore[];
  readonly before: Witnessed;
  readonly after: Witnessed;
  readonly repository: Repository;
  readonly keep: boolean;
}

function stored(report: BackupReport): number {
  return report.stores.reduce((sum, store: StoreBackup) => sum + (store.state === 'failed' ? 0 : store.archived.dataAddedPacked), 0);
}

function account({ teller, folder, session }: Scene, { first, second, restored, before, after, repository, keep }: Outcome): void {
  const lost = [...missing(before.database, after.database), ...missing(before.logs, after.logs), ...missing(before.keys, after.keys)];
  if (lost.length > 0) throw new HoldfastError('restore-unproven', `${formatCount(lost.length)} things did not come back as they were; the first: ${lost[0] ?? ''}`);
  const seconds = restored.reduce((sum, store) => sum + store.seconds, 0);
  const tables = before.database.filter((line) => line.includes(' rows, hash ')).length;
  teller.heading('What happened');
  teller.line(`Lost: a database of ${tables} tables, ${formatCount(before.logs.length)} files and folders of jump logs, one key. All of it.`);
  teller.line(`Back after ${formatSeconds(seconds)}, and equal: every row of every table, every file's SHA-256,`);
  teller.line(`owners, modes, policies, grants, sequences, triggers and the large object (${formatCount(before.database.length + before.logs.length + before.keys.length)} things compared twice).`);
  teller.line(`The first backup stored ${formatBytes(stored(first))} in ${formatSeconds(first.seconds)}, the second ${formatBytes(stored(second))} in ${formatSeconds(second.seconds)}: what had not changed was there already.`);
  teller.blank();
  teller.line(keep ? `The repository lies in ${repository.location}. Stock restic opens it:` : 'The repository was in restic’s format (it is gone now; `npm run demo -- --keep` leaves it). Stock restic opens it:');
  teller.line(`  restic -r ${repository.location} --password-file ${path.join(folder, 'password')} snapshots`);
  teller.document({
    lost: lost.length, compared: before.database.length + before.logs.length + before.keys.length, secondsToRestore: seconds,
    firstStored: stored(first), secondStored: stored(second), firstSeconds: first.seconds, secondSeconds: second.seconds,
    ...(keep ? { repository: repository.location } : {}),
  });
  session.progress.clear();
}
