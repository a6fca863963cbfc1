import { describe, expect, it } from 'vitest';
import type { DirectoryStore, PostgresStore } from '../stack/stack.ts';
import { chooseParts, partTag } from './part.ts';

const common = { tier: 'important', backup: true } as const;
const shop: PostgresStore = { ...common, name: 'shop', kind: 'postgres', url: 'postgres://h/shop', globals: true, tables: { critical: ['public.users', 'billing.*'] } };
const blog: PostgresStore = { ...common, name: 'blog', kind: 'postgres', url: 'postgres://h/blog', globals: true };
const photos: DirectoryStore = { ...common, name: 'photos', kind: 'directory', path: '/p', exclude: [] };
const all = [photos, shop, blog];

describe('chooseParts', () => {
  it('takes every store as a whole when nothing is asked for', () => {
    expect(chooseParts(all, false, { tables: [] })).toEqual(all.map((store) => ({ store, part: undefined })));
  });

  it('is about databases only, and says so of a directory that is named', () => {
    expect(chooseParts(all, false, { only: 'schema', tables: [] }).map(({ store, part }) => [store.name, part])).toEqual([['shop', { only: 'schema' }], ['blog', { only: 'schema' }]]);
    expect(() => chooseParts([photos], true, { only: 'data', tables: [] })).toThrow('photos cannot be backed up in part: it is a directory');
    expect(() => chooseParts([photos], false, { only: 'data', tables: [] })).toThrow('there is no such store');
  });

  it('takes a group from the stores that define it', () => {
    expect(chooseParts(all, false, { tables: [], group: 'critical' })).toEqual([{ store: shop, part: { tables: ['public.users', 'billing.*'] } }]);
    expect(() => chooseParts(all, false, { tables: [], group: 'critcal' })).toThrow('no store defines a group of tables "critcal"; did you mean "critical"?');
    expect(() => chooseParts([blog], true, { tables: [], group: 'critical' })).toThrow('the store blog does not define a group of tables "critical"');
  });

  it('does not choose tables of a schema alone', () => {
    expect(() => chooseParts(all, false, { only: 'schema', tables: ['a.b'] })).toThrow('tables cannot be chosen beside it');
  });
});

describe('partTag', () => {
  it('tells parts apart, whatever the order of the tables', () => {
    expect(partTag(undefined)).toBeUndefined();
    expect(partTag({ only: 'schema' })).toBe('schema');
    expect(partTag({ tables: ['a.b', 'c.d'] })).toBe(partTag({ tables: ['c.d', 'a.b'] }));
    expect(partTag({ tables: ['a.b'] })).not.toBe(partTag({ only: 'data', tables: ['a.b'] }));
  });
});
