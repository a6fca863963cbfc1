/** The import table, enforced on what the compiler itself takes for an import. */
import { builtinModules } from 'node:module';
import { posix } from 'node:path';
import ts from 'typescript';
import { FOLDERS, IMPURE_MODULES, PURE_FOLDERS, TEST_PACKAGES } from './table.ts';
import { isTest, isTypeScript, type Finding, type ProjectFile } from './tree.ts';

interface Import {
  readonly specifier: string;
  readonly line: number;
}

/** Static, type-only and dynamic imports and re-exports. */
export function scanImports(file: ProjectFile): Import[] {
  return ts.preProcessFile(file.text, true, true).importedFiles.map(({ fileName, pos }) => ({
    specifier: fileName,
    line: file.text.slice(0, pos).split('\n').length,
  }));
}

/** Everything in `src` that imports what it may not. */
export function checkImports(files: readonly ProjectFile[]): Finding[] {
  return files
    .filter((file) => isTypeScript(file) && file.path.startsWith('src/'))
    .flatMap((file) =>
      scanImports(file).flatMap(({ specifier, line }) => {
        const rule = specifier.startsWith('.') ? checkLocal(file, specifier) : checkPackage(file, specifier);
        return rule === undefined ? [] : [{ path: file.path, line, rule }];
      }),
    );
}

function folderOf(path: string): string {
  return path.split('/')[1] ?? '';
}

function checkLocal(file: ProjectFile, specifier: string): string | undefined {
  if (!specifier.endsWith('.ts')) return `imports ${specifier}: write the extension .ts`;
  const target = posix.join(posix.dirname(file.path), specifier);
  if (!target.startsWith('src/')) {
    return isTest(file) ? undefined : `imports ${target}: shipped code imports nothing outside src`;
  }
  if (target.includes('/fixture/') && !isTest(file)) return `imports ${target}: shipped code imports no fixtures`;
  const [from, to] = [folderOf(file.path), folderOf(target)];
  if (from === to) return undefined;
  const fromIndex = FOLDERS.findIndex(({ folder }) => folder === from);
  const toIndex = FOLDERS.findIndex(({ folder }) => folder === to);
  const rule = FOLDERS[toIndex];
  if (fromIndex === -1) return `the folder ${from} has no line in the import table`;
  if (rule === undefined) return `imports ${to}, which has no line in the import table`;
  if (toIndex > fromIndex) return `${from} imports ${to}, which is below it in the import table`;
  return checkFace(file, target, rule);
}

function checkFace(file: ProjectFile, target: string, rule: (typeof FOLDERS)[number]): string | undefined {
  if (rule.face === undefined) return undefined;
  const stem = target.slice(`src/${rule.folder}/`.length, -'.ts'.length);
  const allowed = isTest(file) ? [...rule.face, ...(rule.testFace ?? [])] : rule.face;
  return allowed.includes(stem) ? undefined : `imports ${target}: the face of ${rule.folder} is ${rule.face.join(', ')}`;
}

function checkPackage(file: ProjectFile, specifier: string): string | undefined {
  const name = specifier.startsWith('@') ? specifier.split('/').slice(0, 2).join('/') : (specifier.split('/')[0] ?? '');
  if (specifier.startsWith('node:')) return checkPurity(file, specifier.slice('node:'.length));
  if (builtinModules.includes(name)) return `imports ${specifier}: write node:${specifier}`;
  const allowed = FOLDERS.find(({ folder }) => folder === folderOf(file.path))?.packages ?? [];
  if (allowed.includes(name) || (isTest(file) && TEST_PACKAGES.includes(name))) return undefined;
  return `imports the package ${name}, which the import table does not give to ${folderOf(file.path)}`;
}

function checkPurity(file: ProjectFile, module: string): string | undefined {
  const pure = PURE_FOLDERS.some((folder) => file.path.startsWith(folder)) && !isTest(file);
  return pure && IMPURE_MODULES.includes(module.split('/')[0] ?? '') ? `imports node:${module} in a pure folder` : undefined;
}

/** Files that import each other in a ring; each ring is found once, at the file where the walk met it. */
export function checkCycles(files: readonly ProjectFile[]): Finding[] {
  const graph = new Map(
    files.filter(isTypeScript).map((file) => {
      const targets = scanImports(file)
        .filter(({ specifier }) => specifier.startsWith('.'))
        .map(({ specifier }) => posix.join(posix.dirname(file.path), specifier));
      return [file.path, targets] as const;
    }),
  );
  const findings: Finding[] = [];
  const done = new Set<string>();
  const visit = (path: string, trail: readonly string[]): void => {
    const start = trail.indexOf(path);
    if (start !== -1) findings.push({ path, rule: `is in a ring of imports: ${[...trail.slice(start), path].join(' → ')}` });
    if (start !== -1 || done.has(path)) return;
    for (const target of graph.get(path) ?? []) visit(target, [...trail, path]);
    done.add(path);
  };
  for (const path of graph.keys()) visit(path, []);
  return findings;
}
