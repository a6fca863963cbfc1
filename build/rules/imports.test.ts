import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { checkCycles, checkImports } from './imports.ts';
import { FOLDERS, renderTable } from './table.ts';
import { projectFiles, ROOT, show } from './tree.ts';

const found = (path: string, text: string): string[] => show(checkImports([{ path, text }]));

describe('the import table', () => {
  it('is kept by every file', () => {
    expect(show(checkImports(projectFiles()))).toEqual([]);
  });

  it('lets no files import each other in a ring', () => {
    expect(show(checkCycles(projectFiles()))).toEqual([]);
  });

  it('has a line for every folder and no line for an empty one', () => {
    const folders = readdirSync(`${ROOT}/src`, { withFileTypes: true })
      .filter((entry) => entry.isDirectory() && readdirSync(`${ROOT}/src/${entry.name}`).length > 0)
      .map((entry) => entry.name);
    expect(folders.filter((name) => !FOLDERS.some(({ folder }) => folder === name))).toEqual([]);
    expect(FOLDERS.map(({ folder }) => folder).filter((name) => !existsSync(`${ROOT}/src/${name}`))).toEqual([]);
  });

  it('stands in docs/architecture.md as it is enforced', () => {
    expect(readFileSync(`${ROOT}/docs/architecture.md`, 'utf8')).toContain(renderTable());
  });
});

describe('the check of the import table finds', () => {
  it('an import of a folder further down', () => {
    expect(found('src/base/x.ts', "import { a } from '../cli/main.ts';")).toEqual([
      'src/base/x.ts:1 base imports cli, which is below it in the import table',
    ]);
  });

  it('an import behind a face, type-only and dynamic ones too', () => {
    expect(found('src/operation/x.ts', "\nimport type { P } from '../repository/packer.ts';")).toHaveLength(1);
    expect(found('src/operation/x.ts', "export const a = () => import('../repository/format/blob.ts');")).toHaveLength(1);
    expect(found('src/operation/x.ts', "export * from '../repository/lock.ts';")).toHaveLength(1);
  });

  it('a suite in shipped code, and lets a test have it', () => {
    const text = "import { storageSuite } from '../storage/suite.ts';";
    expect(found('src/repository/x.ts', text)).toHaveLength(1);
    expect(found('src/repository/x.test.ts', text)).toEqual([]);
  });

  it('a package that the folder was not given', () => {
    expect(found('src/repository/x.ts', "import pg from 'pg';")).toHaveLength(1);
    expect(found('src/client/postgres/x.ts', "import pg from 'pg';")).toEqual([]);
  });

  it('files, clocks and processes in a pure folder', () => {
    expect(found('src/repository/format/x.ts', "import { readFile } from 'node:fs/promises';")).toHaveLength(1);
    expect(found('src/repository/format/x.ts', "import { createHash } from 'node:crypto';")).toEqual([]);
  });

  it('a specifier without extension, a bare built-in, and what lies outside src', () => {
    expect(found('src/cli/x.ts', "import './y';")).toHaveLength(1);
    expect(found('src/cli/x.ts', "import 'fs';")).toHaveLength(1);
    expect(found('src/cli/x.ts', "import '../../test/fixture/run.ts';")).toHaveLength(1);
  });

  it('a ring of imports', () => {
    const ring = [
      { path: 'src/cli/a.ts', text: "import './b.ts';" },
      { path: 'src/cli/b.ts', text: "import './a.ts';" },
    ];
    expect(show(checkCycles(ring))).toEqual(['src/cli/a.ts is in a ring of imports: src/cli/a.ts → src/cli/b.ts → src/cli/a.ts']);
  });
});
