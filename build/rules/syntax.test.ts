import { describe, expect, it } from 'vitest';
import { checkSyntax } from './syntax.ts';
import { projectFiles, show } from './tree.ts';

const found = (text: string, path = 'src/operation/x.ts'): string[] => show(checkSyntax([{ path, text }]));

describe('the rules of syntax', () => {
  it('are kept by every file', () => {
    expect(show(checkSyntax(projectFiles()))).toEqual([]);
  });
});

describe('the check of syntax finds', () => {
  it('any, and leaves the word alone in comments and strings', () => {
    expect(found('const a: any = 1;')).toEqual(['src/operation/x.ts:1 uses any']);
    expect(found("// any\nconst a = 'any';")).toEqual([]);
  });

  it('a claim that something is not null', () => {
    expect(found('const a = b!.c;')).toHaveLength(1);
    expect(found('class A { b!: string; }')).toHaveLength(1);
    expect(found('const a = !b;')).toEqual([]);
  });

  it('a clock that is read outside its file', () => {
    expect(found('const a = new Date();')).toHaveLength(1);
    expect(found('const a = Date.now();')).toHaveLength(1);
    expect(found('const a = new Date(text);')).toEqual([]);
    expect(found('const a = new Date();', 'src/base/clock.ts')).toEqual([]);
  });

  it('a rename into place outside its file', () => {
    expect(found("import { rename } from 'node:fs/promises';")).toHaveLength(1);
    expect(found("import { rename as move } from 'node:fs/promises';")).toHaveLength(1);
    expect(found('await fs.rename(a, b);')).toHaveLength(1);
    expect(found('await database.rename(a, b);')).toEqual([]);
  });

  it('a code that the table of errors does not have', () => {
    expect(found("throw new HoldfastError('oops', 'x');")).toHaveLength(1);
    expect(found("throw new HoldfastError('internal', 'x');")).toEqual([]);
  });

  it('a function of 60 lines, but not a long list of test cases', () => {
    const body = (lines: number): string => Array.from({ length: lines }, (_, line) => `  f(${line});`).join('\n');
    expect(found(`function a() {\n${body(58)}\n}`)).toHaveLength(1);
    expect(found(`function a() {\n${body(57)}\n}`)).toEqual([]);
    expect(found(`describe('a', () => {\n it('b', () => {\n${body(40)}\n });\n it('c', () => {\n${body(40)}\n });\n});`)).toEqual([]);
  });
});
