/**
 * Rounds of backups of a server whose data changes from phase to phase. A round before them, through a relay, counts what the
 * server sends and proves that what every tool has made restores: the time of a backup that lost something would mean nothing.
 */
import { join } from 'node:path';
import { bytesOf, warmLive } from '../data/files.ts';
import { measure, type Command } from '../measure/measure.ts';
import { countingRelay } from '../measure/relay.ts';
import type { Sample } from '../measure/sample.ts';
import { orderOf, workFolder, type BenchOptions } from '../rounds.ts';
import type { BenchServer } from './database.ts';

export interface PhaseTool {
  readonly name: string;
  readonly version: string;
  /** Makes the empty place that its backups go to, and what else it wants to be there; not measured. */
  prepare(place: string): void;
  /** What must be done before each backup, unmeasured. */
  ready?(place: string): void;
  /** Backup 0, 1, 2 … of the round. */
  backup(place: string, number: number): Command;
  /** The file or folder that holds all its backups. */
  stored(place: string): string;
  /** Restores the backup, into new places inside `place`, and throws when that is not what the server holds now. */
  prove(place: string, number: number): void | Promise<void>;
}

export interface Phase {
  readonly name: string;
  change(): void;
}

/** A round's server, with its data as it was made. */
export interface Lap extends AsyncDisposable {
  readonly server: BenchServer;
  readonly phases: readonly Phase[];
  /** The tools; they reach the server at this port. */
  tools(port: number): readonly PhaseTool[];
}

/** Measures every phase with every tool. `begin` is called for each round, with its empty folder. */
export async function measurePhases(name: string, options: BenchOptions, begin: (folder: string) => Promise<Lap>): Promise<readonly Sample[]> {
  using work = workFolder(name, options);
  const counted = await provingRound(await begin(work.folder), work.folder);
  const samples: Sample[] = [];
  for (let round = 0; round < options.runs; round++) {
    work.clear();
    await using lap = await begin(work.folder);
    const tools = orderOf(lap.tools(lap.server.port), round);
    const taken = await phasesOf(lap, tools, work.folder, options.patience, () => undefined);
    samples.push(...taken.map((sample) => ({ ...sample, round, ...counted.get(keyOf(sample)) })));
  }
  return samples;
}

type Counted = Pick<Sample, 'receivedBytes'>;
type Taken = Omit<Sample, 'round'>;

const keyOf = ({ phase, tool }: Pick<Sample, 'phase' | 'tool'>): string => `${phase}\0${tool}`;

async function provingRound(begun: Lap, folder: string): Promise<ReadonlyMap<string, Counted>> {
  await using lap = begun;
  await using relay = await countingRelay(lap.server.port);
  const tools = lap.tools(relay.port);
  const counted = new Map<string, Counted>();
  await phasesOf(lap, tools, folder, 0, (sample) => counted.set(keyOf(sample), { receivedBytes: relay.received() }));
  for (const tool of tools) {
    await tool.prove(placeOf(folder, tool), lap.phases.length - 1);
    console.log(`${tool.name}: its last backup was restored and is equal`);
  }
  return counted;
}

async function phasesOf({ server, phases }: Lap, tools: readonly PhaseTool[], folder: string, patience: number, took: (sample: Taken) => void): Promise<readonly Taken[]> {
  const samples: Taken[] = [];
  for (const tool of tools) tool.prepare(placeOf(folder, tool));
  for (const [number, phase] of phases.entries()) {
    phase.change();
    for (const tool of tools) {
      const place = placeOf(folder, tool);
      tool.ready?.(place);
      warmLive(server.files);
      server.sql('postgres', 'CHECKPOINT');
      const before = bytesOf(tool.stored(place));
      const measured = await measure(tool.backup(place, number), { patience, server: server.pid });
      const storedBytes = bytesOf(tool.stored(place));
      const sample = { phase: phase.name, tool: tool.name, ...measured, storedBytes, addedBytes: storedBytes - before };
      console.log(`${phase.name}, ${tool.name}: ${measured.wallSeconds.toFixed(2)} s`);
      took(sample);
      samples.push(sample);
    }
  }
  return samples;
}

function placeOf(folder: string, { name }: PhaseTool): string {
  return join(folder, name.replaceAll(/\W+/g, '-'));
}
