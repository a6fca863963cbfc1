/** What the kernel tells about a process and its descendants. Times come in ticks of 1/100 s, the unit of Linux's /proc. */
import { readdirSync, readFileSync } from 'node:fs';

const TICKS = 100;

/** The file, or nothing when the process is gone by now. */
function readProc(path: string): string {
  try {
    return readFileSync(`/proc/${path}`, 'latin1');
  } catch {
    return '';
  }
}

function list(path: string): readonly string[] {
  try {
    return readdirSync(`/proc/${path}`);
  } catch {
    return [];
  }
}

/** A process and all that descend from it, as they live now. */
export function treeOf(pid: number): readonly number[] {
  const children = list(`${pid}/task`).flatMap((thread) => readProc(`${pid}/task/${thread}/children`).trim().split(' ').filter((text) => text !== ''));
  return [pid, ...children.flatMap((child) => treeOf(Number(child)))];
}

/** The most memory that the process has ever had resident since it started its program, in bytes. */
export function peakOf(pid: number): number {
  return Number(/VmHWM:\s+(\d+)/.exec(readProc(`${pid}/status`))?.[1] ?? 0) * 1024;
}

interface Times {
  readonly own: number;
  /** Of descendants that have ended and were waited for. */
  readonly ended: number;
}

function timesOf(pid: number | 'self'): Times {
  const text = readProc(`${pid}/stat`);
  // The name of the program, in parentheses, may hold anything.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ').map(Number);
  const [user = 0, system = 0, endedUser = 0, endedSystem = 0] = fields.slice(11, 15);
  return { own: (user + system) / TICKS, ended: (endedUser + endedSystem) / TICKS };
}

/** CPU seconds of all descendants of this process that have ended. */
export function endedSeconds(): number {
  return timesOf('self').ended;
}

/** CPU seconds of a running process with all its descendants, dead or alive. */
export function treeSeconds(pid: number): number {
  return treeOf(pid).reduce((sum, each) => sum + timesOf(each).own + timesOf(each).ended, 0);
}

/** CPU seconds that the whole machine has spent working. */
export function machineSeconds(): number {
  const [user = 0, nice = 0, system = 0, , , irq = 0, soft = 0] = (/^cpu +(.*)$/m.exec(readProc('stat'))?.[1] ?? '').split(' ').map(Number);
  return (user + nice + system + irq + soft) / TICKS;
}
