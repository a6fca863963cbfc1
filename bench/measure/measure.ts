/** Runs one program from start to end and measures it with all its descendants. */
import { execFileSync, spawn } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { endedSeconds, machineSeconds, peakOf, treeOf, treeSeconds } from './process-tree.ts';

export interface Command {
  readonly program: string;
  readonly args: readonly string[];
  readonly cwd?: string;
  /** Added to our own environment. */
  readonly env?: Readonly<Record<string, string>>;
}

export interface Measured {
  readonly wallSeconds: number;
  readonly cpuSeconds: number;
  /** The most resident memory of the largest process. */
  readonly peakBytes: number;
  /** What a server that was named spent meanwhile. */
  readonly serverSeconds?: number;
  /** How much of the machine others used meanwhile: above a tenth or so the figures are not to be trusted. */
  readonly othersShare: number;
}

const POLL_MS = 20;

/** A line of bash; a failure anywhere in a pipe is one of the whole. */
export function bash(script: string): Command {
  return { program: 'bash', args: ['-c', `set -o pipefail; ${script}`] };
}

/** Quotes an argument for `bash`. */
export function quoted(text: string): string {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`;
}

/** A command as part of a line of bash; without its environment. */
export function shell({ program, args }: Command): string {
  return [program, ...args].map(quoted).join(' ');
}

export interface Circumstances {
  /** The longest time to wait for others on the machine to be quiet. */
  readonly patience: number;
  /** A process whose CPU time counts apart. */
  readonly server?: number;
}

/** Throws, with the end of what the program said, when it fails. */
export async function measure(command: Command, { patience, server }: Circumstances): Promise<Measured> {
  // Nobody pays for what the one before has left to be written.
  execFileSync('sync');
  await untilQuiet(patience);
  const machine = machineSeconds();
  const ended = endedSeconds();
  const serverBefore = server === undefined ? 0 : treeSeconds(server);
  const started = performance.now();
  const peakBytes = await runToEnd(command);
  const wallSeconds = (performance.now() - started) / 1000;
  const cpuSeconds = endedSeconds() - ended;
  const serverSeconds = server === undefined ? 0 : treeSeconds(server) - serverBefore;
  const others = machineSeconds() - machine - cpuSeconds - serverSeconds;
  const othersShare = Math.max(0, others / (wallSeconds * availableParallelism()));
  return { wallSeconds, cpuSeconds, peakBytes, othersShare, ...(server === undefined ? {} : { serverSeconds }) };
}

/** Waits for a second in which the machine does next to nothing, but not for ever. */
async function untilQuiet(patience: number): Promise<void> {
  for (let waited = 0; waited < patience; waited++) {
    const before = machineSeconds();
    await sleep(1000);
    if ((machineSeconds() - before) / availableParallelism() < 0.06) return;
  }
}

/** Gives the peak memory of the largest process: each process keeps its own peak, which is read every few milliseconds. */
function runToEnd({ program, args, cwd, env }: Command): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { cwd, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
    let said = '';
    const hear = (bytes: Buffer): void => void (said = (said + bytes.toString()).slice(-3000));
    child.stdout.on('data', hear);
    child.stderr.on('data', hear);
    let peak = 0;
    const look = (): void => {
      if (child.pid !== undefined) peak = Math.max(peak, ...treeOf(child.pid).map(peakOf));
    };
    const timer = setInterval(look, POLL_MS);
    child.once('error', (error) => {
      clearInterval(timer);
      reject(error);
    });
    // Not `exit`: what it says last would be missing.
    child.once('close', (code, signal) => {
      clearInterval(timer);
      if (code === 0) resolve(peak);
      else reject(new Error(`${program} ${args.join(' ')} ended with ${code ?? signal ?? 'nothing'}:\n${said}`));
    });
  });
}

/** Runs something that is not measured, and gives what it printed. */
export function quietly({ program, args, cwd, env }: Command): string {
  return execFileSync(program, args, { cwd, env: { ...process.env, ...env }, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], maxBuffer: 1 << 28 });
}
