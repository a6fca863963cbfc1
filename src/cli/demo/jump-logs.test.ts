import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { flightLog } from './flight-log.ts';
import { changeJumpLogs, countLogs, writeJumpLogs, writeKeyFile } from './jump-logs.ts';

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'holdfast-logs-'));
});
afterEach(() => rm(folder, { recursive: true }));

async function fingerprints(): Promise<Map<string, string>> {
  const names = (await readdir(folder, { recursive: true })).filter((name) => name.endsWith('.log'));
  const entries = names.map(async (name) => [name, createHash('sha256').update(await readFile(join(folder, name))).digest('hex')] as const);
  return new Map(await Promise.all(entries));
}

describe('a flight log', () => {
  it('is lines of numbers, and the same for the same seed', () => {
    const log = flightLog(5, 20_000);
    expect(log.equals(flightLog(5, 20_000))).toBe(true);
    expect(log.equals(flightLog(6, 20_000))).toBe(false);
    expect(Math.abs(log.length - 20_000)).toBeLessThan(80);
    const lines = log.toString().trimEnd().split('\n').slice(3);
    expect(lines.every((line) => /^\d+,-?\d+\.\d,-?\d+\.\d\d,-?\d+\.\d\d,\d\d\.\d{6},\d+\.\d{6},\d+$/.test(line))).toBe(true);
  });
});

describe('the jump logs', () => {
  it('are as many as asked for, between 20 kB and 2 MB, and the same every time', async () => {
    const written = await writeJumpLogs(folder, 30);
    const first = await fingerprints();
    expect(written.files).toBe(30);
    expect(await countLogs(folder)).toBe(30);
    expect([...first.keys()].every((name) => /^\d+\/[0-9a-f-]{36}\/[0-9a-f]{40}\.log$/.test(name))).toBe(true);
    const sizes = await Promise.all([...first.keys()].map(async (name) => (await stat(join(folder, name))).size));
    expect(Math.min(...sizes)).toBeGreaterThanOrEqual(20_000);
    expect(Math.max(...sizes)).toBeLessThan(2_000_100);
    expect(sizes.reduce((a, b) => a + b)).toBe(written.bytes);
    await writeJumpLogs(folder, 30);
    expect(await fingerprints()).toEqual(first);
  });

  it('change in as many places as the change says', async () => {
    await writeJumpLogs(folder, 40);
    const before = await fingerprints();
    const changed = await changeJumpLogs(folder, 40);
    const after = await fingerprints();
    expect([...after].filter(([name, hash]) => before.get(name) !== hash).map(([name]) => name).toSorted()).toEqual(changed);
  });

  it('come with a key that only its owner reads', async () => {
    const file = join(folder, 'keys/upload.key');
    await writeKeyFile(file);
    expect((await stat(file)).mode & 0o7777).toBe(0o600);
  });
});
