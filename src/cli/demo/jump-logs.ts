/** The demo's folder of jump logs, as devices upload them: `{userId}/{deviceId}/{hash}.log`, the same on every machine. */
import { createHash } from 'node:crypto';
import { appendFile, mkdir, readdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { flightLog } from './flight-log.ts';

const LOGS = 1000;
const SMALLEST = 20_000;
const LARGEST = 2_000_000;
/** Sizes are spread over the powers between smallest and largest, most of them small: some 170 MB for a thousand. */
const SMALL_BIAS = 3.4;
const WRITES_AT_ONCE = 8;

export interface JumpLogs {
  readonly files: number;
  readonly bytes: number;
}

/** Writes the logs below `folder`, which need not exist. */
export async function writeJumpLogs(folder: string, files: number = LOGS): Promise<JumpLogs> {
  let bytes = 0;
  let next = 0;
  const writer = async (): Promise<void> => {
    for (let number = next++; number < files; number = next++) {
      const written = await writeLog(join(folder, logPath(number)), number, sizeOf(number, files));
      bytes += written;
    }
  };
  await Promise.all(Array.from({ length: WRITES_AT_ONCE }, writer));
  return { files, bytes };
}

/**
 * Changes one per cent of the logs: some are continued, some recorded anew, some come to it. The result names them by
 * their paths below `folder`, in order.
 */
export async function changeJumpLogs(folder: string, files: number = LOGS): Promise<readonly string[]> {
  const changed: string[] = [];
  const count = Math.max(3, Math.round(files / 100));
  for (let turn = 0; turn < count; turn++) {
    const number = Math.floor(((turn + 0.5) / count) * files);
    const path = turn % 5 === 4 ? logPath(files + turn) : logPath(number);
    const file = join(folder, path);
    if (turn % 5 === 4) await writeLog(file, files + turn, 4 * SMALLEST);
    else if (turn % 5 === 3) await writeLog(file, files + turn, sizeOf(number, files));
    else await appendFile(file, flightLog(files + turn, SMALLEST));
    changed.push(path);
  }
  return changed.toSorted();
}

/** Writes the key that the product signs uploads with, readable by its owner only. */
export async function writeKeyFile(file: string): Promise<void> {
  await mkdir(dirname(file), { recursive: true });
  const key = Array.from({ length: 3 }, (_, part) => createHash('sha512').update(`key ${part}`).digest('base64'));
  await writeFile(file, ['tempo-upload-key v1', ...key, ''].join('\n'), { mode: 0o600 });
}

/** How many logs lie below the folder; for those who look whether all came back. */
export async function countLogs(folder: string): Promise<number> {
  const names = await readdir(folder, { recursive: true });
  return names.filter((name) => name.endsWith('.log')).length;
}

async function writeLog(file: string, number: number, size: number): Promise<number> {
  await mkdir(dirname(file), { recursive: true });
  const content = flightLog(number, size);
  await writeFile(file, content);
  return content.length;
}

/** Users and devices are those of the demo's database. */
function logPath(number: number): string {
  const user = 1 + ((number * 7) % 240);
  const device = createHash('md5').update(`device ${user + (number % 3 === 0 ? 6000 : 0)}`).digest('hex');
  const id = device.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
  return join(String(user), id, `${createHash('sha256').update(`log ${number}`).digest('hex').slice(0, 40)}.log`);
}

/** Evenly over all sizes, in an order that looks random. */
function sizeOf(number: number, files: number): number {
  const share = ((number * 617) % files) / Math.max(1, files - 1);
  return Math.round(SMALLEST * (LARGEST / SMALLEST) ** (share ** SMALL_BIAS));
}
