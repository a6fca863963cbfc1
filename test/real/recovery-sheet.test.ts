import { readFile, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { expect, it } from 'vitest';
import { directoryStack, HOLDFAST, PASSWORD } from '../fixture/holdfast.ts';
import { run } from '../fixture/run.ts';
import { scratch } from '../fixture/scratch.ts';

interface Sheet {
  readonly withHoldfast: readonly string[];
  readonly withRestic: readonly string[];
  readonly page: string;
}

it('the commands of the recovery sheet bring everything back on a blank host, with Holdfast and with stock restic (A16)', async () => {
  await using stack = await directoryStack();
  await stack.holdfast('backup');
  const sheet = JSON.parse((await stack.holdfast('key', 'sheet', '--json')).stdout) as Sheet;
  // Only an address may be longer than a page is wide.
  expect(sheet.page.split('\n').filter((line) => line.length > 80 && !line.includes(stack.folder))).toEqual([]);
  expect(sheet.page).not.toContain(PASSWORD);
  const wanted = await readFile(stack.path('files/deep/two.txt'));
  // The host is gone, but for the repository.
  await rm(stack.path('files'), { recursive: true });
  await rm(stack.path('password'));
  await rm(stack.path('holdfast.yaml'));

  await using blank = await scratch('blank');
  const env = { PATH: `${dirname(HOLDFAST)}:${process.env['PATH'] ?? ''}` };
  const script = [...sheet.withHoldfast, 'holdfast restore --yes'].join('\n');
  await run('bash', ['-euc', script], { cwd: blank.folder, env, input: `${PASSWORD}\n` });
  expect((await readFile(blank.path('recovered/files/deep/two.txt'))).equals(wanted)).toBe(true);

  await using other = await scratch('blank');
  const plain = ['(umask 077; cat > password)', ...sheet.withRestic].join('\n');
  await run('bash', ['-euc', plain], { cwd: other.folder, input: `${PASSWORD}\n`, env: { RESTIC_CACHE_DIR: other.path('cache') } });
  expect((await readFile(other.path(`recovered/files${stack.path('files/deep/two.txt')}`))).equals(wanted)).toBe(true);
});
