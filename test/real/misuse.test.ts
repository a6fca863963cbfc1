import { randomBytes } from 'node:crypto';
import { chmod, open, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { directoryStack, HOLDFAST, PASSWORD } from '../fixture/holdfast.ts';
import { runAnyway, type RunResult } from '../fixture/run.ts';
import { scratch } from '../fixture/scratch.ts';
import { smallTmpfs } from '../fixture/small-tmpfs.ts';

/** A sentence for people, as an error or in the account of a run: no stack trace, no secret. */
function expectClear(result: RunResult, code: number, sentence: string | RegExp): void {
  const said = `${result.stdout}${result.stderr}`;
  expect(said).toMatch(sentence);
  expect(said).not.toMatch(/^ {4}at /m);
  expect(said).not.toContain(PASSWORD);
  expect(result.code).toBe(code);
}

async function onePack(repository: string): Promise<string> {
  const names = await readdir(join(repository, 'data'), { recursive: true });
  const packs = await Promise.all(
    names.filter((name) => /[0-9a-f]{64}$/.test(name)).map(async (name) => ({ name, size: (await stat(join(repository, 'data', name))).size })),
  );
  const largest = packs.toSorted((a, b) => b.size - a.size)[0];
  if (largest === undefined) throw new Error('the repository has no pack');
  return join(repository, 'data', largest.name);
}

describe('what cannot be understood ends with 2', () => {
  it('a misspelt key of holdfast.yaml, with its line and what was meant', async () => {
    await using stack = await directoryStack();
    const config = await readFile(stack.path('holdfast.yaml'), 'utf8');
    await writeFile(stack.path('holdfast.yaml'), config.replace('directory:', 'drectory:'));
    expectClear(await stack.attempt(['backup']), 2, /holdfast\.yaml:\d+:\d+ stores\.files: unknown key "drectory"; did you mean "directory"\?/);
  });

  it('no holdfast.yaml at all, an unknown option, an unknown command, an unknown store', async () => {
    await using empty = await scratch('empty');
    expectClear(await runAnyway(HOLDFAST, ['backup'], { cwd: empty.folder }), 2, 'there is no holdfast.yaml in');
    await using stack = await directoryStack();
    expectClear(await stack.attempt(['backup', '--frobnicate']), 2, '--frobnicate');
    expectClear(await stack.attempt(['bakcup']), 2, /bakcup.*backup/s);
    expectClear(await stack.attempt(['backup', 'fils']), 2, 'did you mean "files"');
  });

  it('a password file that others can read', async () => {
    await using stack = await directoryStack();
    await chmod(stack.path('password'), 0o644);
    expectClear(await stack.attempt(['backup']), 2, 'chmod 600');
  });
});

describe('a repository', () => {
  it('that does not open with the password ends with 12, one that is not there with 10', async () => {
    await using stack = await directoryStack();
    await writeFile(stack.path('password'), 'wrong\n');
    expectClear(await stack.attempt(['snapshots']), 12, /password/i);
    await writeFile(stack.path('password'), PASSWORD);
    await rm(stack.path('repository'), { recursive: true });
    expectClear(await stack.attempt(['backup']), 10, /repository/);
  });

  it('is not made a second time', async () => {
    await using stack = await directoryStack();
    await stack.holdfast('backup');
    const again = await stack.attempt(['init', '--stack', 'x', '--directory', 'files', '--repository', 'repository', '--password-file', 'password']);
    expect(again.code).not.toBe(0);
    expect((await stack.restic('snapshots', '--json')).stdout).toContain('"id"');
  });

  it('with one changed byte is found damaged, and what is damaged is not restored as if whole', async () => {
    await using stack = await directoryStack();
    await stack.holdfast('backup');
    const pack = await onePack(stack.path('repository'));
    await chmod(pack, 0o600);
    await using file = await open(pack, 'r+');
    const byte = Buffer.alloc(1);
    await file.read(byte, 0, 1, 40);
    await file.write(Buffer.from([(byte[0] ?? 0) ^ 1]), 0, 1, 40);
    expectClear(await stack.attempt(['check', '--read-data']), 4, /is damaged/);
    const restored = await stack.attempt(['restore', 'files', '--into', 'out']);
    expect(restored.code).not.toBe(0);
    const out = await readdir(stack.path('out')).catch(() => []);
    expect(out).toEqual([]);
  });

  it('on a full disk takes no half backup: older snapshots stay, and there is none of the failed run', async () => {
    await using disk = await smallTmpfs(6_000_000);
    await using stack = await directoryStack(join(disk.folder, 'repository'));
    await stack.holdfast('backup');
    await writeFile(stack.path('files/large'), randomBytes(12_000_000));
    expectClear(await stack.attempt(['backup']), 1, /no space|full/i);
    expect(JSON.parse((await stack.restic('snapshots', '--json')).stdout)).toHaveLength(1);
    await rm(stack.path('files/large'));
    await stack.restic('check', '--read-data');
  });
});

describe('a source', () => {
  it('with an unreadable file is backed up without it; the file is named, and the end is 3', async () => {
    await using stack = await directoryStack();
    await writeFile(stack.path('files/secret'), 'x', { mode: 0 });
    // Root without the capability to read everything.
    const lesser = ['--bounding-set=-dac_override,-dac_read_search', '--inh-caps=-dac_override,-dac_read_search', HOLDFAST, 'backup'];
    const result = await runAnyway('setpriv', lesser, { cwd: stack.folder });
    expectClear(result, 3, /secret.*(permission denied|not readable|unreadable)/i);
    await stack.holdfast('restore', 'files', '--into', 'out');
    expect((await readFile(stack.path('files/one.txt'))).toString()).toBe('one\n');
  });

  it('that is not there is an error, and no snapshot', async () => {
    await using stack = await directoryStack();
    await rm(stack.path('files'), { recursive: true });
    expectClear(await stack.attempt(['backup']), 1, /files/);
    expect(JSON.parse((await stack.restic('snapshots', '--json')).stdout)).toHaveLength(0);
  });
});
