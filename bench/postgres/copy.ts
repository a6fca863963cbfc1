/** A server on a copy of the cluster that stays between runs, for benches that change data. */
import { mkdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { quietly } from '../measure/measure.ts';
import type { BenchOptions } from '../rounds.ts';
import { benchServer, type BenchServer } from './database.ts';
import { startServer } from './server.ts';

/** The folder of the cluster, made now if it is not there; its server has ended. */
export async function pristineCluster(options: BenchOptions): Promise<{ readonly folder: string; readonly notes: readonly string[] }> {
  await using server = await benchServer(options);
  return { folder: dirname(server.data), notes: server.notes };
}

/** Starts a copy of the cluster in `folder`, which must not be there. */
export async function copiedServer(pristine: string, folder: string, settings: Readonly<Record<string, string>>): Promise<BenchServer> {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  quietly({ program: 'cp', args: ['-a', join(pristine, 'data'), folder] });
  const server = await startServer(folder, settings);
  return { ...server, files: join(folder, 'data', 'base'), notes: [] };
}
