/** A running server against a backup of it. Its files change while it runs, so only what it is can be compared, not what it holds. */
import { readLsn } from '../../client/postgres/replication/lsn.ts';
import type { PostgresTarget } from '../../client/postgres/target.ts';
import type { ProofLine, StoreManifest } from '../source.ts';
import { readClusterDetail } from './manifest.ts';
import { openSession } from './session.ts';

export async function compareCluster(target: PostgresTarget, manifest: StoreManifest): Promise<readonly ProofLine[]> {
  const detail = readClusterDetail(manifest);
  const { connection, server } = await openSession(target);
  await connection.close();
  const line = (subject: string, before: string, now: string): ProofLine => ({ subject, equal: before === now, detail: before === now ? now : `${now} instead of ${before}` });
  const behind = server.at < readLsn(detail.endLsn) && server.timeline === detail.endTimeline;
  return [
    line('system identifier', detail.systemId, server.systemId),
    line('timeline', String(detail.endTimeline), String(server.timeline)),
    { subject: 'position', equal: !behind, detail: behind ? `the server stands before the end of the backup, at ${detail.endLsn}` : `after the end of the backup, at ${detail.endLsn}` },
  ];
}
