/** The files of the project, as the rules see them. */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export interface ProjectFile {
  /** From the root of the project, with slashes. */
  readonly path: string;
  readonly text: string;
}

export interface Finding {
  readonly path: string;
  readonly line?: number;
  readonly rule: string;
}

export const ROOT = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '');

const SKIPPED = new Set(['node_modules', '.git', '.state']);

/** Every text file of the project; files with a NUL byte are data. */
export function projectFiles(): ProjectFile[] {
  const files: ProjectFile[] = [];
  const visit = (folder: string): void => {
    for (const entry of readdirSync(`${ROOT}/${folder}`, { withFileTypes: true })) {
      const path = folder === '' ? entry.name : `${folder}/${entry.name}`;
      if (entry.isDirectory() && !SKIPPED.has(entry.name)) visit(path);
      if (!entry.isFile()) continue;
      const text = readFileSync(`${ROOT}/${path}`, 'utf8');
      if (!text.includes('\0')) files.push({ path, text });
    }
  };
  visit('');
  return files;
}

export const isTypeScript = (file: ProjectFile): boolean => file.path.endsWith('.ts') && !isAssembly(file);

/** AssemblyScript: the same letters, another language. */
export const isAssembly = (file: ProjectFile): boolean => /(^|\/)assembly\//.test(file.path);

export const isTest = (file: ProjectFile): boolean => /\.test\.ts$|(^|\/)suite\.ts$|^src\/.*\/fixture\//.test(file.path);

export const isGenerated = (file: ProjectFile): boolean => file.text.startsWith('// Generated');

/** One line a finding, as a person reads it in the report of a failed test. */
export function show(findings: readonly Finding[]): string[] {
  return findings.map(({ path, line, rule }) => `${path}${line === undefined ? '' : `:${line}`} ${rule}`);
}
