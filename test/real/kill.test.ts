import { spawn } from 'node:child_process';
import { randomBytes, randomInt } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, readdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { directoryStack, HOLDFAST, type TestStack } from '../fixture/holdfast.ts';
import { expectSameContent } from '../fixture/hard-tree.ts';
import { run } from '../fixture/run.ts';

const KILLS = 20;
const ROUND_BYTES = 90_000_000;

/** Bytes of all packs. */
async function packed(stack: TestStack): Promise<number> {
  const folder = stack.path('repository/data');
  const names = await readdir(folder, { recursive: true });
  const sizes = names.filter((name) => /\/[0-9a-f]{64}$/.test(name)).map(async (name) => (await stat(join(folder, name))).size);
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
}

/** Starts a backup and kills it after so long. False when it was done before. */
async function killedAfter(stack: TestStack, ms: number): Promise<boolean> {
  const child = spawn(HOLDFAST, ['backup'], { cwd: stack.folder, stdio: 'ignore' });
  const ended = once(child, 'exit');
  await Promise.race([wait(ms), ended]);
  child.kill('SIGKILL');
  await ended;
  return child.signalCode === 'SIGKILL';
}

async function snapshotIds(stack: TestStack): Promise<string[]> {
  const list: unknown = JSON.parse((await stack.restic('snapshots', '--json', '--no-lock')).stdout);
  return Array.isArray(list) ? list.map((one: { id: string }) => one.id) : [];
}

it(`a backup that is killed ${KILLS} times at random moments harms nothing, and what it stored is used again`, async () => {
  await using stack = await directoryStack();
  await stack.holdfast('backup');
  await mkdir(stack.path('saved'));
  await run('cp', ['-a', stack.path('files'), stack.path('saved/first')]);
  let written = 0;
  let killed = 0;
  let keptOfKilled = 0;
  for (let round = 0; round < KILLS; round++) {
    if (round % 4 === 0) {
      for (let part = 0; part < 3; part++) await writeFile(stack.path(`files/${round}-${part}`), randomBytes(ROUND_BYTES / 3));
      written += ROUND_BYTES;
    }
    const ms = randomInt(250, 1200);
    const before = await packed(stack);
    if (await killedAfter(stack, ms)) {
      killed++;
      keptOfKilled += (await packed(stack)) - before;
    }
    const checked = await stack.attempt(['check']);
    expect(`after ${ms} ms: ${checked.code} ${checked.stdout}${checked.stderr}`).toContain(`after ${ms} ms: 0 `);
    if (round % 4 === 3) await stack.holdfast('backup');
  }
  expect(killed).toBeGreaterThan(KILLS / 2);
  // Killed runs had stored much, and still every content is stored once, apart from what was cut in the middle.
  expect(keptOfKilled).toBeGreaterThan(ROUND_BYTES / 10);
  expect((await packed(stack)) / written).toBeLessThan(1.05);
  await stack.holdfast('check', '--read-data');
  await stack.restic('check', '--read-data', '--no-lock');
  const ids = await snapshotIds(stack);
  await stack.holdfast('restore', '--snapshot', ids[0] ?? '', '--into', 'out-first');
  await expectSameContent(stack.path('saved/first'), stack.path('out-first', stack.path('files')));
  await stack.holdfast('restore', 'files', '--into', 'out-last');
  await expectSameContent(stack.path('files'), stack.path('out-last'));
});
