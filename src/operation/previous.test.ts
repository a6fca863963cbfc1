import { expect, it } from 'vitest';
import type { Snapshot } from '../repository/repository.ts';
import type { PostgresStore, Stack } from '../stack/stack.ts';
import { previousSnapshot } from './previous.ts';

const store: PostgresStore = { name: 'db', kind: 'postgres', tier: 'important', backup: true, url: 'postgres://h/d', globals: true };
const stack: Stack = { name: 'shop', folder: '/shop', stores: [store], repositories: [] };
const snapshot = (id: string, ...tags: readonly string[]): Snapshot => ({ id, time: `2026-11-20T00:00:0${id}Z`, tree: id, paths: [], tags: ['stack:shop', 'store:db', ...tags] });

it('is the newest of the same part', () => {
  const all = [snapshot('1'), snapshot('2', 'part:schema'), snapshot('3'), snapshot('4', 'part:schema')];
  expect(previousSnapshot(all, { stack, store, part: undefined, frugal: false })?.id).toBe('3');
  expect(previousSnapshot(all, { stack, store, part: { only: 'schema' }, frugal: false })?.id).toBe('4');
  expect(previousSnapshot(all, { stack, store, part: { only: 'data' }, frugal: false })).toBeUndefined();
});

it('of a frugal backup is the last frugal one, and else the newest', () => {
  const all = [snapshot('1', 'frugal'), snapshot('2')];
  expect(previousSnapshot(all, { stack, store, part: undefined, frugal: true })?.id).toBe('1');
  expect(previousSnapshot(all, { stack, store, part: undefined, frugal: false })?.id).toBe('2');
  expect(previousSnapshot(all.slice(1), { stack, store, part: undefined, frugal: true })?.id).toBe('2');
});
