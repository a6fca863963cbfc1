import { expect, test } from 'vitest';
import { chooseStart, type StartFacts } from './wal-start.ts';

const SEGMENT = 1 << 24;
const at = (segment: number, bytes = 0): bigint => BigInt(segment) * BigInt(SEGMENT) + BigInt(bytes);
const facts: StartFacts = {
  store: 'db', server: { systemId: '7', timeline: 1, at: at(9, 100), segmentBytes: SEGMENT }, history: [], stored: undefined, restart: undefined, anew: false,
};
const stored = { systemId: '7', timeline: 1, end: at(5, 300) };

test('it begins at the end of what is stored, else where the slot begins, else now: at the beginning of a segment', () => {
  expect(chooseStart({ ...facts, stored, restart: at(7) })).toMatchObject({ timeline: 1, start: at(5) });
  expect(chooseStart({ ...facts, restart: at(7, 40) })).toMatchObject({ timeline: 1, start: at(7) });
  expect(chooseStart(facts)).toMatchObject({ timeline: 1, start: at(9) });
});

test('another cluster, a timeline of another line and an earlier state are refused', () => {
  expect(() => chooseStart({ ...facts, stored: { ...stored, systemId: '8' } })).toThrow(expect.objectContaining({ code: 'foreign-server' }));
  expect(() => chooseStart({ ...facts, stored: { ...stored, timeline: 3 } })).toThrow(/timeline 1, which does not come from timeline 3/);
  expect(() => chooseStart({ ...facts, stored: { ...stored, end: at(9, 101) } })).toThrow(/put back to an earlier state/);
});

test('to begin anew is a decision of the user', () => {
  expect(chooseStart({ ...facts, stored: { ...stored, systemId: '8' }, restart: at(7), anew: true })).toMatchObject({ start: at(7) });
});

test('after a promotion it goes on with the old timeline up to its end, or with the new one where the old one was left', () => {
  const server = { ...facts.server, timeline: 2 };
  const history = [{ timeline: 1, switchAt: at(6, 500), reason: '' }];
  expect(chooseStart({ ...facts, server, history, stored })).toMatchObject({ timeline: 1, start: at(5) });
  expect(chooseStart({ ...facts, server, history, stored: { ...stored, end: at(7) } })).toMatchObject({ timeline: 2, start: at(6) });
  const twice = [...history, { timeline: 2, switchAt: at(8), reason: '' }];
  expect(chooseStart({ ...facts, server: { ...server, timeline: 3 }, history: twice, stored: { ...stored, end: at(7) } })).toMatchObject({ timeline: 2, start: at(6) });
  expect(chooseStart({ ...facts, server, history, restart: at(6, 100) })).toMatchObject({ timeline: 1, start: at(6) });
});
