/** Rules about what is written inside a file, checked on its syntax tree. */
import ts from 'typescript';
import { ERRORS } from '../../src/base/errors.ts';
import { isGenerated, isTest, isTypeScript, type Finding, type ProjectFile } from './tree.ts';

const MOST_FUNCTION_LINES = 60;
const CLOCK = 'src/base/clock.ts';
const DURABLE_WRITES = 'src/base/file.ts';

/** A sentence when this node breaks a rule. */
type NodeRule = (node: ts.Node, file: ProjectFile, source: ts.SourceFile) => string | undefined;

const RULES: readonly NodeRule[] = [
  (node) => (node.kind === ts.SyntaxKind.AnyKeyword ? 'uses any' : undefined),
  (node) => {
    const sure = ts.isNonNullExpression(node) || (ts.isPropertyDeclaration(node) && node.exclamationToken !== undefined);
    return sure ? 'uses ! to claim that something is not null' : undefined;
  },
  readsClock,
  renames,
  throwsUnknownCode,
  isLongFunction,
];

/** Everything in the files that breaks a rule of syntax. */
export function checkSyntax(files: readonly ProjectFile[]): Finding[] {
  return files.filter((file) => isTypeScript(file) && !isGenerated(file)).flatMap(checkFile);
}

function checkFile(file: ProjectFile): Finding[] {
  const source = ts.createSourceFile(file.path, file.text, ts.ScriptTarget.Latest, true);
  const findings: Finding[] = [];
  const visit = (node: ts.Node): void => {
    for (const check of RULES) {
      const rule = check(node, file, source);
      if (rule === undefined) continue;
      findings.push({ path: file.path, line: source.getLineAndCharacterOfPosition(node.getStart(source)).line + 1, rule });
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return findings;
}

function isShipped(file: ProjectFile): boolean {
  return file.path.startsWith('src/') && !isTest(file);
}

function readsClock(node: ts.Node, file: ProjectFile): string | undefined {
  if (!isShipped(file) || file.path === CLOCK) return undefined;
  const fresh = ts.isNewExpression(node) && node.expression.getText() === 'Date' && (node.arguments?.length ?? 0) === 0;
  const now = ts.isPropertyAccessExpression(node) && /^(Date|performance)\.now$/.test(node.getText());
  return fresh || now ? `reads the clock: only ${CLOCK} does; take a Clock as an argument` : undefined;
}

function renames(node: ts.Node, file: ProjectFile): string | undefined {
  if (!isShipped(file) || file.path === DURABLE_WRITES) return undefined;
  const name = ts.isImportSpecifier(node) ? (node.propertyName ?? node.name).text : memberCalled(node);
  return name === 'rename' || name === 'renameSync' ? `renames into place: only ${DURABLE_WRITES} does` : undefined;
}

/** `rename` of `fs.rename(…)`, `fsp.rename(…)`, `promises.rename(…)`. */
function memberCalled(node: ts.Node): string | undefined {
  if (!ts.isCallExpression(node) || !ts.isPropertyAccessExpression(node.expression)) return undefined;
  return /\b(fs|fsp|promises)$/i.test(node.expression.expression.getText()) ? node.expression.name.text : undefined;
}

function throwsUnknownCode(node: ts.Node): string | undefined {
  if (!ts.isNewExpression(node) || node.expression.getText() !== 'HoldfastError') return undefined;
  const code = node.arguments?.[0];
  const unknown = code !== undefined && ts.isStringLiteral(code) && !Object.hasOwn(ERRORS, code.text);
  return unknown ? `throws the code ${code.getText()}, which is not in the table of errors` : undefined;
}

function isLongFunction(node: ts.Node, _file: ProjectFile, source: ts.SourceFile): string | undefined {
  if (!ts.isFunctionLike(node) || !('body' in node) || node.body === undefined) return undefined;
  const lines = ownLines(node, source);
  return lines >= MOST_FUNCTION_LINES ? `is a function of ${lines} lines; fewer than ${MOST_FUNCTION_LINES} are allowed` : undefined;
}

/** Lines of a function, without the test cases inside: a group of tests is a list, not a long function. */
function ownLines(node: ts.Node, source: ts.SourceFile): number {
  const lineOf = (position: number): number => source.getLineAndCharacterOfPosition(position).line;
  const span = (part: ts.Node): number => lineOf(part.end) - lineOf(part.getStart(source)) + 1;
  let inner = 0;
  const visit = (child: ts.Node): void => {
    if (ts.isCallExpression(child) && /^(describe|it|test|suite)\b/.test(child.expression.getText(source))) inner += span(child);
    else ts.forEachChild(child, visit);
  };
  ts.forEachChild(node, visit);
  return span(node) - inner;
}
