/** A program that runs beside a load, for as long as it is wanted. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { peakOf, treeOf, treeSeconds } from './process-tree.ts';
import type { Command } from './measure.ts';

export interface Running extends AsyncDisposable {
  /** CPU seconds since it was started, its descendants' included. */
  seconds(): number;
  /** The most resident memory of the largest process that runs now. */
  peakBytes(): number;
  /** Throws, with what it said last, when it has ended by itself. */
  mustRun(): void;
}

/** Starts it; at the end it is interrupted as by Ctrl-C, and waited for. */
export function follow({ program, args, cwd, env }: Command): Running {
  const child = spawn(program, args, { cwd, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  const hear = (bytes: Buffer): void => void (said = (said + bytes.toString()).slice(-3000));
  child.stdout.on('data', hear);
  child.stderr.on('data', hear);
  const ended = once(child, 'close');
  const pid = child.pid;
  if (pid === undefined) throw new Error(`${program} cannot be started`);
  const hasEnded = (): boolean => child.exitCode !== null || child.signalCode !== null;
  return {
    seconds: () => treeSeconds(pid),
    peakBytes: () => Math.max(...treeOf(pid).map(peakOf)),
    mustRun() {
      if (hasEnded()) throw new Error(`${program} ${args.join(' ')} ended with ${child.exitCode ?? child.signalCode ?? 'nothing'}:\n${said}`);
    },
    async [Symbol.asyncDispose]() {
      if (!hasEnded()) child.kill('SIGINT');
      await ended;
    },
  };
}
