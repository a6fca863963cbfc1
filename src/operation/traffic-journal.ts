/**
 * What runs have moved over the network, kept on this host: hosting companies count by the month, and also what failed. One line of JSON
 * for each store and run in `$XDG_STATE_HOME/holdfast/traffic.jsonl`; lines are only ever added.
 */
import { appendFile, mkdir, readFile } from 'node:fs/promises';
import * as os from 'node:os';
import * as path from 'node:path';
import { systemCode } from '../base/errors.ts';
import type { Traffic } from '../source/source.ts';

export interface TrafficEntry extends Traffic {
  /** ISO 8601. */
  readonly time: string;
  readonly stack: string;
  readonly store: string;
  readonly verb: string;
}

export interface MonthTraffic extends Traffic {
  /** `2026-11`, in UTC. */
  readonly month: string;
}

/** Where it is kept for this user. */
export function trafficFile(environment: NodeJS.ProcessEnv): string {
  const state = environment['XDG_STATE_HOME'];
  return path.join(state === undefined || state === '' ? path.join(os.homedir(), '.local', 'state') : state, 'holdfast', 'traffic.jsonl');
}

export class TrafficJournal {
  readonly #file: string;

  constructor(file: string) {
    this.#file = file;
  }

  /** A single write of whole lines to the end, so that two runs at once do not mix. */
  async add(entries: readonly TrafficEntry[]): Promise<void> {
    if (entries.length === 0) return;
    await mkdir(path.dirname(this.#file), { recursive: true, mode: 0o700 });
    await appendFile(this.#file, entries.map((entry) => `${JSON.stringify(entry)}\n`).join(''), { mode: 0o600 });
  }

  /** All that a stack has moved in the calendar month of this moment. */
  async month(stack: string, at: Date): Promise<MonthTraffic> {
    const month = at.toISOString().slice(0, 7);
    const own = (await this.#entries()).filter((entry) => entry.stack === stack && entry.time.startsWith(month));
    return { month, received: own.reduce((sum, { received }) => sum + received, 0), sent: own.reduce((sum, { sent }) => sum + sent, 0) };
  }

  /** A line that a crash has cut off is passed over. */
  async #entries(): Promise<readonly TrafficEntry[]> {
    const text = await readFile(this.#file, 'utf8').catch((error: unknown) => {
      if (systemCode(error) === 'ENOENT') return '';
      throw error;
    });
    return text.split('\n').flatMap((line) => parseLine(line) ?? []);
  }
}

function parseLine(line: string): TrafficEntry | undefined {
  try {
    const entry: unknown = JSON.parse(line);
    return isEntry(entry) ? entry : undefined;
  } catch {
    return undefined;
  }
}

function isEntry(value: unknown): value is TrafficEntry {
  if (typeof value !== 'object' || value === null) return false;
  const fields: Readonly<Record<string, unknown>> = { ...value };
  return ['time', 'stack', 'store', 'verb'].every((name) => typeof fields[name] === 'string') && Number.isFinite(fields['received']) && Number.isFinite(fields['sent']);
}
