/** Brings the programs that we are compared with, by the set-up of the real tests. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

const SCRIPT = join(import.meta.dirname, '..', '..', 'test', 'real', 'setup');

/** Whether the part of the set-up is there now; says what failed otherwise. */
export function setUp(part: 'debian' | 'ceph' | 'postgres17' | 'cluster-peers'): boolean {
  const { status, stderr } = spawnSync(SCRIPT, [part], { encoding: 'utf8', stdio: ['ignore', 'ignore', 'pipe'] });
  if (status !== 0) console.error(stderr.trim());
  return status === 0;
}
