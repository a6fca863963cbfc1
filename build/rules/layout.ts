/** Rules about files and their names. */
import { posix } from 'node:path';
import { isAssembly, isGenerated, isTypeScript, ROOT, type Finding, type ProjectFile } from './tree.ts';

const MOST_LINES = 400;
const EMPTY_NAMES = ['common', 'lib', 'types', 'misc', 'new'];
/** These tell nothing at the end of a longer name either. */
const EMPTY_ENDINGS = ['util', 'utils', 'helper', 'helpers', 'manager', 'service', 'handler'];
const KEBAB = /^[a-z0-9]+(-[a-z0-9]+)*$/;

/** Everything about files that breaks a rule: size, names, place, and what names the machine it was written on. */
export function checkLayout(files: readonly ProjectFile[]): Finding[] {
  const paths = new Set(files.map(({ path }) => path));
  return files.flatMap((file) => [
    ...checkSize(file),
    ...checkNames(file),
    ...checkTestPlace(file, paths),
    ...checkMachineNames(file),
  ]);
}

function checkSize(file: ProjectFile): Finding[] {
  if (!/\.(ts|sh)$/.test(file.path) || isGenerated(file)) return [];
  const lines = file.text.split('\n').length - 1;
  return lines > MOST_LINES ? [{ path: file.path, rule: `has ${lines} lines; ${MOST_LINES} are allowed` }] : [];
}

function checkNames(file: ProjectFile): Finding[] {
  if (!isTypeScript(file) && !isAssembly(file)) return [];
  const parts = file.path.split('/');
  const stems = [...parts.slice(0, -1), ...(parts.at(-1) ?? '').split('.').slice(0, -1)].filter((part) => !part.startsWith('.'));
  const rules = stems.flatMap((stem) => [
    ...(KEBAB.test(stem) ? [] : [`has the name ${stem}, which is not kebab-case`]),
    ...(EMPTY_NAMES.includes(stem) || EMPTY_ENDINGS.includes(stem.split('-').at(-1) ?? '') ? [`has the name ${stem}, which tells nothing`] : []),
    ...(stem === 'index' && parts.at(-1) === 'index.ts' ? ['is a barrel: import the file itself'] : []),
  ]);
  return rules.map((rule) => ({ path: file.path, rule }));
}

/** `a.test.ts` and `a.topic.test.ts` stand beside `a.ts`; tests that span folders live in `test/`. */
function checkTestPlace(file: ProjectFile, paths: ReadonlySet<string>): Finding[] {
  if (!file.path.startsWith('src/') || !file.path.endsWith('.test.ts')) return [];
  const subject = `${posix.dirname(file.path)}/${posix.basename(file.path).split('.')[0] ?? ''}.ts`;
  return paths.has(subject) ? [] : [{ path: file.path, rule: `tests no file beside it (${subject}); what spans files lives in test/` }];
}

// Spelled in pieces, so that this file does not find itself.
const MACHINE_NAMES = new RegExp(
  [String.raw`(?<![\w.$}])/(?:wo` + String.raw`rk|Users)/[\w.-]+`, String.raw`//(?:[\w-]+\.)*(?:regis` + String.raw`try|npm` + String.raw`js|mirrors?|snapshot|deb)\.[\w.]+`].join('|'),
);

function checkMachineNames(file: ProjectFile): Finding[] {
  return file.text.split('\n').flatMap((text, index) => {
    const name = MACHINE_NAMES.exec(text)?.[0] ?? (text.includes(`${ROOT}/`) ? ROOT : undefined);
    return name === undefined ? [] : [{ path: file.path, line: index + 1, rule: `names a machine: ${name}` }];
  });
}
