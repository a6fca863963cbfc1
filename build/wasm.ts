/**
 * Compiles every `assembly/NAME.ts` (AssemblyScript) to `NAME-wasm.ts` in the folder above, as base64 text, so that the
 * program needs no compiler and no binary file. `--check` only tells what is out of date.
 *
 * The first line of an assembly file gives the compiler's options: `// asc: -O3 --runtime stub`.
 */
import { execFile } from 'node:child_process';
import { globSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { writeOrCheck } from './generated.ts';

const COLUMNS = 120;
const root = fileURLToPath(new URL('..', import.meta.url));

const files: { path: string; text: string }[] = [];
for (const source of globSync('src/**/assembly/*.ts', { cwd: root }).toSorted()) {
  const name = basename(source, '.ts');
  const path = join(dirname(dirname(source)), `${name}-wasm.ts`);
  files.push({ path, text: render(source, await compile(source)) });
}
process.exitCode = await writeOrCheck(root, files, 'npm run wasm');

async function compile(source: string): Promise<Buffer> {
  const firstLine = (await readFile(join(root, source), 'utf8')).split('\n', 1)[0] ?? '';
  const options = /^\/\/ asc: (.+)$/.exec(firstLine)?.[1]?.split(/\s+/);
  if (options === undefined) throw new Error(`${source}: the first line must give the options: // asc: -O3 --runtime stub`);
  const require = createRequire(import.meta.url);
  const compiler = join(dirname(require.resolve('assemblyscript/package.json')), 'bin', 'asc.js');
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-wasm-'));
  try {
    const output = join(folder, 'out.wasm');
    await promisify(execFile)(process.execPath, [compiler, source, '-o', output, ...options], { cwd: root });
    return await readFile(output);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function render(source: string, binary: Buffer): string {
  const indent = "    '";
  const width = COLUMNS - indent.length - "' +".length;
  const lines = binary.toString('base64').match(new RegExp(`.{1,${width}}`, 'g')) ?? [''];
  return [
    `// Generated from ${basename(dirname(source))}/${basename(source)} by \`npm run wasm\`; do not edit.`,
    `/** The module compiled from \`${basename(dirname(source))}/${basename(source)}\`: ${binary.length} bytes. */`,
    'export const wasmBytes: Uint8Array<ArrayBuffer> = Uint8Array.from(',
    '  Buffer.from(',
    ...lines.map((line, index) => `${indent}${line}'${index === lines.length - 1 ? ',' : ' +'}`),
    "    'base64',",
    '  ),',
    ');',
    '',
  ].join('\n');
}
