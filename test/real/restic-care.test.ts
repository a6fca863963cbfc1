import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chmod, cp, open, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { expectClearError } from '../fixture/clear-error.ts';
import { directoryStack, HOLDFAST, type TestStack } from '../fixture/holdfast.ts';
import { exactListing } from '../fixture/odd-tree.ts';
import { run } from '../fixture/run.ts';

async function packs(stack: TestStack): Promise<readonly { readonly id: string; readonly path: string; readonly size: number }[]> {
  const top = stack.path('repository/data');
  const names = (await readdir(top, { recursive: true })).filter((name) => /\/[0-9a-f]{64}$/.test(name));
  return await Promise.all(names.map(async (name) => ({ id: name.slice(-64), path: join(top, name), size: (await stat(join(top, name))).size })));
}

async function flip(path: string, at: number): Promise<void> {
  await chmod(path, 0o600);
  await using file = await open(path, 'r+');
  const byte = Buffer.alloc(1);
  await file.read(byte, 0, 1, at);
  await file.write(Buffer.from([(byte[0] ?? 0) ^ 1]), 0, 1, at);
}

/** Both programs read every byte and find nothing wrong; the newest snapshot restores, by both, to what is there now. */
async function expectSound(stack: TestStack): Promise<void> {
  await stack.holdfast('check', '--read-data');
  expect((await stack.restic('check', '--read-data')).stdout).toContain('no errors were found');
  await rm(stack.path('by-restic'), { recursive: true, force: true });
  await stack.restic('restore', 'latest', '--target', stack.path('by-restic'));
  expect(exactListing(stack.path('by-restic', stack.path('files')))).toEqual(exactListing(stack.path('files')));
}

async function churn(stack: TestStack, round: number): Promise<void> {
  await writeFile(stack.path('files/random'), randomBytes(3_000_000 + round));
  await writeFile(stack.path('files/text'), `round ${round}\n`.repeat(200_000));
  await writeFile(stack.path(`files/${round}`), randomBytes(400_000));
}

/** Whole ones: a file that is still being written has another name. */
async function locks(stack: TestStack): Promise<readonly string[]> {
  return (await readdir(stack.path('repository/locks'))).filter((name) => /^[0-9a-f]{64}$/.test(name));
}

describe('pruning', () => {
  it.each(['off', 'auto', 'max'] as const)('goes on where restic has pruned, and restic where we have, with its compression %s', async (compression) => {
    await using stack = await directoryStack();
    for (let round = 0; round < 3; round++) {
      await churn(stack, round);
      await stack.holdfast('backup', '--compression', compression);
      await stack.restic('backup', '--compression', compression, stack.path('files'));
    }
    await stack.restic('forget', '--keep-last', '3', '--group-by', '');
    await stack.holdfast('prune', '--yes', '--max-unused', '0');
    await expectSound(stack);
    // Marked packs are unreferenced to restic; it removes them, and we take note.
    await stack.restic('prune', '--compression', compression, '--max-unused', '0');
    await expectSound(stack);
    await churn(stack, 3);
    await stack.restic('backup', '--compression', compression, stack.path('files'));
    await stack.restic('forget', '--keep-last', '1', '--group-by', '');
    await stack.restic('prune', '--compression', compression, '--max-unused', 'unlimited');
    const { report } = JSON.parse((await stack.holdfast('prune', '--yes', '--grace', '0', '--max-unused', '0', '--json')).stdout) as { report: { bytesRemoved: number } };
    expect(report.bytesRemoved).toBeGreaterThanOrEqual(0);
    await expectSound(stack);
    expect(JSON.parse((await stack.holdfast('prune', '--json')).stdout)).toMatchObject({ idle: true, unusedBytes: 0, duplicateBytes: 0 });
    await stack.holdfast('backup');
    await expectSound(stack);
  });

  it('leaves marked packs out of the index, which restic may take up again: the mark is void then', async () => {
    await using stack = await directoryStack();
    await churn(stack, 0);
    await stack.holdfast('backup');
    await churn(stack, 1);
    await stack.holdfast('backup');
    await stack.restic('forget', '--keep-last', '1', '--group-by', '');
    const before = (await packs(stack)).length;
    await stack.holdfast('prune', '--yes');
    expect((await packs(stack)).length).toBeGreaterThanOrEqual(before);
    await stack.restic('rebuild-index');
    await expectSound(stack);
    await stack.holdfast('prune', '--yes', '--grace', '0');
    await expectSound(stack);
    expect((await packs(stack)).length).toBeLessThan(before + 2);
  });

  it('kept out by a backup of restic that is at work, waits for it where it is told to', async () => {
    await using stack = await directoryStack();
    await churn(stack, 0);
    await stack.holdfast('backup');
    await writeFile(stack.path('files/large'), randomBytes(60_000_000));
    const child = spawn('restic', ['--repo', stack.path('repository'), '--password-file', stack.path('password'), '--no-cache', 'backup', stack.path('files')], { stdio: 'ignore' });
    const ended = once(child, 'exit');
    while ((await locks(stack)).length === 0) await wait(2);
    child.kill('SIGSTOP');
    try {
      expectClearError(await stack.attempt(['prune', '--yes']), { exit: 11, says: /is locked by \S+ on \S+ \(process \d+\)/ });
      expectClearError(await stack.attempt(['prune', '--yes', '--wait', '2s']), { exit: 11, says: /is locked by/ });
      const waiting = stack.holdfast('prune', '--yes', '--wait', '2m');
      await wait(1500);
      child.kill('SIGCONT');
      await waiting;
    } finally {
      child.kill('SIGCONT');
      await ended;
    }
    await expectSound(stack);
  });
});

describe('repairing', () => {
  it('makes an index that restic likes, from nothing but packs', async () => {
    await using stack = await directoryStack();
    await churn(stack, 0);
    await stack.holdfast('backup');
    await stack.restic('backup', '--compression', 'off', stack.path('files'));
    for (const name of await readdir(stack.path('repository/index'))) await rm(stack.path('repository/index', name));
    const plan = JSON.parse((await stack.holdfast('repair', 'index', '--json')).stdout) as { executed: boolean; plan: { added: unknown[] } };
    expect(plan).toMatchObject({ executed: false });
    expect(plan.plan.added).toHaveLength((await packs(stack)).length);
    await stack.holdfast('repair', 'index', '--yes');
    await expectSound(stack);
  });

  it('ends a damage in the order that it says: packs, a backup, snapshots', async () => {
    await using stack = await directoryStack();
    await writeFile(stack.path('files/gone'), randomBytes(2_500_000));
    await writeFile(stack.path('files/stays'), randomBytes(2_500_000));
    await stack.holdfast('backup');
    await rm(stack.path('files/gone'));
    await cp(stack.path('files'), stack.path('expected'), { recursive: true, preserveTimestamps: true });
    const [largest] = (await packs(stack)).toSorted((a, b) => b.size - a.size);
    if (!largest) throw new Error('no pack');
    for (const at of [1_000_000, 2_200_000, 3_600_000]) if (at < largest.size) await flip(largest.path, at);
    const found = await stack.attempt(['check', '--read-data']);
    expect(found.code).toBe(4);
    expect(found.stdout).toMatch(/Hit by it: 1 of 1 snapshot/);
    expect(found.stdout).toContain(largest.id);
    await stack.holdfast('repair', 'packs', largest.id, '--yes');
    await stack.holdfast('backup');
    const { plan } = JSON.parse((await stack.holdfast('repair', 'snapshots', '--yes', '--forget', '--json')).stdout) as { plan: { broken: { lost: { path: string }[] }[] } };
    // What the source still has was stored anew by the backup: only the file that is gone can be lost.
    expect(plan.broken.flatMap(({ lost }) => lost.map(({ path }) => path))).toEqual([stack.path('files/gone')]);
    const snapshots = JSON.parse((await stack.restic('snapshots', '--json')).stdout) as { id: string; tags: string[] }[];
    expect(snapshots).toHaveLength(2);
    const copy = snapshots.find(({ tags }) => tags.includes('repaired'));
    expect(copy?.tags).toContain('state:degraded');
    await expectSound(stack);
    await stack.restic('restore', copy?.id ?? '', '--target', stack.path('copy'));
    expect((await readdir(stack.path('copy', stack.path('files')))).toSorted()).toEqual(['deep', 'one.txt', 'stays']);
    await run('cmp', [stack.path('copy', stack.path('files/stays')), stack.path('files/stays')]);
    await stack.holdfast('prune', '--yes', '--grace', '0');
    await expectSound(stack);
    expect((await packs(stack)).map(({ id }) => id)).not.toContain(largest.id);
  });
});

describe('unlocking', () => {
  it('clears what a killed process has left, and shows what is alive', async () => {
    await using stack = await directoryStack();
    await churn(stack, 0);
    await stack.holdfast('backup');
    const child = spawn(HOLDFAST, ['check', '--read-data'], { cwd: stack.folder, stdio: 'ignore' });
    const ended = once(child, 'exit');
    while ((await locks(stack)).length === 0) await wait(1);
    child.kill('SIGSTOP');
    expect((await stack.holdfast('unlock')).stdout).toMatch(/leave {2}[0-9a-f]{8}: locked by/);
    expect(await locks(stack)).toHaveLength(1);
    child.kill('SIGKILL');
    await ended;
    expect((await stack.holdfast('unlock')).stdout).toMatch(/remove [0-9a-f]{8}: locked by .* is gone\)/);
    expect(await locks(stack)).toEqual([]);
  });

  it('removes the locks of others only with --all, when that is confirmed', async () => {
    await using stack = await directoryStack();
    await writeFile(stack.path('files/large'), randomBytes(40_000_000));
    const child = spawn('restic', ['--repo', stack.path('repository'), '--password-file', stack.path('password'), '--no-cache', 'backup', stack.path('files')], { stdio: 'ignore' });
    const ended = once(child, 'exit');
    while ((await locks(stack)).length === 0) await wait(2);
    child.kill('SIGSTOP');
    try {
      expectClearError(await stack.attempt(['unlock', '--all']), { exit: 2, says: /nobody is here to confirm/ });
      await stack.holdfast('unlock', '--all', '--yes');
      expect(await locks(stack)).toEqual([]);
    } finally {
      child.kill('SIGKILL');
      await ended;
    }
  });
});
