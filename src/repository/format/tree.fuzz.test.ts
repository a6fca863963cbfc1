import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { below, fuzzing, mutateBytes, mutateJson, parsedOrRefused, pick, randomOf, type Random } from '../fixture/mutation.ts';
import { metadata } from '../fixture/memory-tree.ts';
import { goName, parseGoName } from './go-json.ts';
import { permissionsOf } from './go-mode.ts';
import { formatTime, parseTime } from './go-time.ts';
import { encodeNode, encodeTree, linkTarget, nodeName, parseTree, type TreeNode } from './tree.ts';

const ID = 'ab'.repeat(32);

function someTree(random: Random): Buffer {
  const names = Array.from({ length: below(random, 5) }, (_, i) => `${i}-${pick(random, ['plain', 'with space', '\x80\xff', 'caf\xc3\xa9', 'tab\t', 'quote"\\'])}`);
  const facts = { ...metadata(0o100644), user: 'ada', attributes: [{ name: 'user.a', value: Buffer.from('b') }] };
  return encodeTree(
    names.map((name, i) => {
      if (i % 3 === 0) return encodeNode(name, facts, { type: 'file', size: 10, content: [ID] });
      return i % 3 === 1 ? encodeNode(name, metadata(0o040755), { type: 'dir', subtree: ID }) : encodeNode(name, metadata(0o120777), { type: 'symlink', target: '../\xff' });
    }),
  );
}

/** What restore, check and ls rely on: nothing leads out of the folder, nothing is there twice, every number and time can be used. */
function expectSound(nodes: readonly TreeNode[]): void {
  const names = nodes.map(nodeName);
  expect(names).toEqual([...new Set(names)].sort((a, b) => (a < b ? -1 : 1)));
  for (const name of names) {
    expect(name).toMatch(/^[\x01-\x2e\x30-\xff]+$/);
    expect(['.', '..']).not.toContain(name);
  }
  for (const node of nodes) {
    for (const id of [...(node.content ?? []), ...(node.subtree === undefined ? [] : [node.subtree])]) expect(id).toMatch(/^[0-9a-f]{64}$/);
    for (const number of [node.size, node.uid, node.gid, node.mode, node.links, node.inode]) expect(number === undefined || (Number.isInteger(number) && number >= 0)).toBe(true);
    for (const time of [node.mtime, node.atime, node.ctime]) if (time !== undefined) expect(typeof parseTime(time)).toBe('bigint');
    for (const { name, value } of node.extended_attributes ?? []) expect([typeof name, Buffer.isBuffer(Buffer.from(value ?? '', 'base64'))]).toEqual(['string', true]);
    expect(permissionsOf(node.mode ?? 0)).toBeLessThanOrEqual(0o7777);
    expect(linkTarget(node)).toMatch(/^[\x00-\xff]*$/);
    expect(BigInt(node.device ?? 0)).toBeGreaterThanOrEqual(0n);
  }
}

describe('whatever stands where a tree should', () => {
  it('it is refused, or nothing in it leads elsewhere or has a wrong type', () => {
    fc.assert(
      fc.property(fc.integer(), (seed) => {
        const random = randomOf(seed);
        const tree = someTree(random);
        const bytes = seed % 4 === 0 ? mutateBytes(tree, random) : Buffer.from(JSON.stringify(mutateJson(JSON.parse(tree.toString('utf8')), random)));
        expectSound(parsedOrRefused(() => parseTree(bytes)) ?? []);
      }),
      fuzzing(1500),
    );
  });

  it.each(['../x', '..', '.', '', '/etc/passwd', 'a/b', 'a\0b', '\\x2e\\x2e', '\\x2fetc', '\\u002e.', 'a\\x00', '\\056\\056', '\\057'])('the name %j is refused', (name) => {
    const tree = JSON.stringify({ nodes: [{ name, type: 'file', content: [] }] });
    expect(() => parseTree(Buffer.from(tree))).toThrow('impossible name');
  });

  it('a name that is there twice is refused, however it is written', () => {
    const twice = (...names: readonly string[]): Buffer => Buffer.from(JSON.stringify({ nodes: names.map((name) => ({ name, type: 'file', content: [] })) }));
    expect(() => parseTree(twice('a', 'a'))).toThrow('same name');
    expect(() => parseTree(twice('a', 'b', '\\x61'))).toThrow('same name');
    expect(parseTree(twice('b', 'a')).map(nodeName)).toEqual(['a', 'b']);
  });

  it('a document of 100,000 nested lists is refused, not followed', () => {
    expect(parsedOrRefused(() => parseTree(Buffer.from(`{"nodes":${'['.repeat(100_000)}${']'.repeat(100_000)}}`)))).toBeUndefined();
  });
});

describe('names and times', () => {
  it('any bytes as a name come back as they were', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        const name = Buffer.from(bytes).toString('latin1');
        expect(parseGoName(JSON.parse(goName(name)) as string)).toBe(name);
      }),
      fuzzing(),
    );
  });

  it('any text as a quoted name is refused, or one character a byte', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: 'binary' }), fc.string({ unit: fc.constantFrom('\\', 'x', 'u', 'U', '0', '7', 'd', '8', 'f', '"', '\ud800', 'é') })), (text) => {
        expect(parsedOrRefused(() => parseGoName(text)) ?? '').toMatch(/^[\x00-\xff]*$/);
      }),
      fuzzing(),
    );
  });

  it('any moment comes back as it was, and any text is refused or a moment', () => {
    fc.assert(
      // Years 1 to 9998: those beyond are clamped, as Go clamps them.
      fc.property(fc.bigInt({ min: -62_000_000_000_000_000_000n, max: 253_300_000_000_000_000_000n }), fc.integer(), (ns, seed) => {
        expect(parseTime(formatTime(ns))).toBe(ns);
        const damaged = mutateBytes(Buffer.from(formatTime(ns)), randomOf(seed)).toString('latin1');
        const parsed = parsedOrRefused(() => parseTime(damaged));
        expect(parsed === undefined || typeof parsed === 'bigint').toBe(true);
      }),
      fuzzing(),
    );
  });
});
