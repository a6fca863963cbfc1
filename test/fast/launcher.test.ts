import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, copyFile, mkdir, symlink, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runAnyway } from '../fixture/run.ts';
import { scratch, type Scratch } from '../fixture/scratch.ts';

const launcher = fileURLToPath(new URL('../../bin/holdfast', import.meta.url));
/** Tells what it was started with, as the first line; then does as it is told. */
const MAIN = `
const [deed, ...rest]: string[] = process.argv.slice(2);
if (deed === 'exit') process.exitCode = Number(rest[0]);
if (deed === 'wait') { process.on('SIGTERM', () => process.exit(130)); setInterval(() => undefined, 1000); }
console.log(JSON.stringify({ node: process.version, cwd: process.cwd(), rest }));
`;

let checkout: Scratch;
beforeAll(async () => {
  checkout = await scratch('launcher');
  for (const folder of ['bin', 'src/cli', 'old', 'elsewhere', 'node_modules']) await mkdir(checkout.path(folder), { recursive: true });
  await copyFile(launcher, checkout.path('bin/holdfast'));
  await writeFile(checkout.path('src/cli/main.ts'), MAIN);
  await writeFile(checkout.path('old/node'), '#!/bin/sh\n[ "$1" = --version ] && echo v20.1.0\nexit 1\n');
  await chmod(checkout.path('old/node'), 0o755);
  await symlink(checkout.path('bin/holdfast'), checkout.path('elsewhere/hf'));
});
afterAll(() => checkout[Symbol.asyncDispose]());

const OLD_NODE = (): Record<string, string> => ({ PATH: `${checkout.path('old')}:/usr/bin:/bin` });

/** As npm puts its own Node into the checkout. */
async function carryNode(): Promise<void> {
  const folder = checkout.path('node_modules', `node-linux-${process.arch}`, 'bin');
  await mkdir(folder, { recursive: true });
  await symlink(process.execPath, `${folder}/node`).catch(() => undefined);
}

describe('the launcher', () => {
  it('says what to do when the Node on the PATH is too old and there is no other', async () => {
    const { code, stderr } = await runAnyway(checkout.path('bin/holdfast'), ['exit', '0'], { env: OLD_NODE() });
    expect(code).toBe(1);
    expect(stderr).toContain('needs Node 24.15 or newer; the one on the PATH is: v20.1.0');
    expect(stderr).toContain(`npm ci' in ${checkout.folder}`);
  });

  it('takes the Node of the PATH when that is new enough', async () => {
    const { code, stdout } = await runAnyway(checkout.path('bin/holdfast'), ['exit', '0']);
    expect(code).toBe(0);
    expect(JSON.parse(stdout).node).toBe(process.version);
  });

  it('takes the Node of the checkout, from any folder, through a link, with arguments and exit code as they are', async () => {
    await carryNode();
    const given = ['3', 'a b', '', "it's", '--json', '$HOME'];
    const { code, stdout, stderr } = await runAnyway(checkout.path('elsewhere/hf'), ['exit', ...given], { env: OLD_NODE(), cwd: '/' });
    expect(stderr).toBe('');
    expect(JSON.parse(stdout)).toMatchObject({ node: process.version, cwd: '/', rest: given });
    expect(code).toBe(3);
  });

  it('is the process itself, so that signals reach Holdfast', async () => {
    await carryNode();
    const child = spawn(checkout.path('bin/holdfast'), ['wait'], { env: OLD_NODE(), stdio: ['ignore', 'pipe', 'inherit'] });
    await once(child.stdout, 'data');
    child.kill('SIGTERM');
    expect(await once(child, 'exit')).toEqual([130, null]);
  });
});
