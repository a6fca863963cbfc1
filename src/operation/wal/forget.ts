/** What retention has to know of write-ahead log, and its decisions. */
import { isHoldfastError } from '../../base/errors.ts';
import { readLsn } from '../../client/postgres/replication/lsn.ts';
import { retainWal, type BaseFacts, type WalDecision, type WalFacts } from '../../policy/wal-retention.ts';
import { superseded } from '../../policy/wal-window.ts';
import { tagValue, type Repository, type Snapshot } from '../../repository/repository.ts';
import { readClusterDetail } from '../../source/cluster/manifest.ts';
import { readManifest } from '../manifest.ts';
import { readWalSource } from './read.ts';

/** Decides over `own`, the snapshots of log of one store; `bases` are those of its base backups that are kept. */
export async function decideWal(repository: Repository, own: readonly Snapshot[], bases: readonly Snapshot[]): Promise<readonly WalDecision[]> {
  const replaced = new Set(superseded(own.map((snapshot) => ({ id: snapshot.id, parent: snapshot.parent, window: tagValue(snapshot, 'window') }))).map(({ id }) => id));
  const facts: WalFacts[] = [];
  for (const snapshot of own) {
    const { manifest } = await readWalSource(repository, snapshot);
    const ends = manifest.segments.map(({ end }) => readLsn(end));
    const until = ends.reduce<bigint | undefined>((most, end) => (most === undefined || end > most ? end : most), undefined);
    facts.push({ id: snapshot.id, time: new Date(snapshot.time), systemId: manifest.systemId, until, replaced: replaced.has(snapshot.id) });
  }
  return retainWal(facts, await Promise.all(bases.map((snapshot) => baseFacts(repository, snapshot))));
}

async function baseFacts(repository: Repository, snapshot: Snapshot): Promise<BaseFacts> {
  const { id, time } = snapshot;
  try {
    await using opened = await repository.files(snapshot);
    const { systemId, startLsn } = readClusterDetail((await readManifest(opened.files)).content);
    return { id, time: new Date(time), needs: { systemId, from: readLsn(startLsn) } };
  } catch (error) {
    if (!isHoldfastError(error, 'path-missing', 'repository-damaged', 'repository-format', 'restore-unproven')) throw error;
    return { id, time: new Date(time), needs: undefined };
  }
}
