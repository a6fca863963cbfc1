import { appendFile, mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { TrafficJournal, trafficFile } from './traffic-journal.ts';

let folder: string;
beforeEach(async () => void (folder = await mkdtemp(join(tmpdir(), 'holdfast-journal-'))));
afterEach(async () => await rm(folder, { recursive: true }));

const entry = (time: string, received: number, stack = 'shop') => ({ time, stack, store: 'db', verb: 'backup', received, sent: 1 });

it('adds up the month of a stack, and passes over a line that was cut off', async () => {
  const file = join(folder, 'state', 'traffic.jsonl');
  const journal = new TrafficJournal(file);
  expect(await journal.month('shop', new Date('2026-11-20T00:00:00Z'))).toEqual({ month: '2026-11', received: 0, sent: 0 });
  await journal.add([entry('2026-10-31T23:59:59.999Z', 5), entry('2026-11-01T00:00:00.000Z', 70)]);
  await appendFile(file, '{"time":"2026-11-02T\n');
  await journal.add([entry('2026-11-30T23:59:59.000Z', 8), entry('2026-11-10T00:00:00.000Z', 900, 'other')]);
  expect(await journal.month('shop', new Date('2026-11-20T00:00:00Z'))).toEqual({ month: '2026-11', received: 78, sent: 2 });
  expect((await readFile(file, 'utf8')).trimEnd().split('\n')).toHaveLength(5);
  expect((await stat(file)).mode & 0o777).toBe(0o600);
});

it('lies where the state of programs belongs', () => {
  expect(trafficFile({ XDG_STATE_HOME: '/var/state' })).toBe('/var/state/holdfast/traffic.jsonl');
  expect(trafficFile({ XDG_STATE_HOME: '' })).toMatch(/\/\.local\/state\/holdfast\/traffic\.jsonl$/);
});
