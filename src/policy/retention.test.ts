import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseSpan, type Span } from './calendar.ts';
import { PERIODS, refusal, retain, type Period, type Retention, type RetentionPolicy, type RetentionSnapshot, type RetentionState } from './retention.ts';

const NOW = new Date('2026-11-20T12:00:00Z');
const DAY = 86_400_000;
const facts = { now: NOW, zone: 'UTC' };

interface Given {
  readonly state?: RetentionState;
  readonly tags?: readonly string[];
  readonly verified?: boolean;
}

const snapshot = (id: string, time: Date | string, { state = 'ok', tags = [], verified = false }: Given = {}): RetentionSnapshot => ({
  id, time: new Date(time), state, tags, verified: verified ? NOW : undefined,
});
/** One at noon of each of the last days, `d0` today. */
const days = (count: number, given: Given = {}): RetentionSnapshot[] => Array.from({ length: count }, (_, n) => snapshot(`d${n}`, new Date(NOW.getTime() - n * DAY), given));
const kept = ({ decisions }: Retention): string[] => decisions.filter(({ keep }) => keep).map(({ id }) => id);
const reasons = ({ decisions }: Retention, id: string): string => decisions.find((decision) => decision.id === id)?.reasons.join('; ') ?? 'not decided';
const span = (text: string): Span => parseSpan(text) ?? expect.unreachable(text);

describe('retention', () => {
  it('keeps one of each day, week and month, and says for what', () => {
    const decided = retain(days(40), { daily: 3, weekly: 2, monthly: 2 }, facts);
    expect(kept(decided)).toEqual(['d0', 'd1', 'd2', 'd5', 'd20']);
    expect(reasons(decided, 'd0')).toBe('daily, the 1st of 3; weekly, the 1st of 2; monthly, the 1st of 2');
    expect(reasons(decided, 'd5')).toBe('weekly, the 2nd of 2');
    expect(reasons(decided, 'd3')).toBe('d0 is kept of the same week');
    expect(reasons(decided, 'd39')).toBe('d20 is kept of the same month');
    expect(reasons(retain(days(40), { last: 2 }, facts), 'd39')).toBe('older than what the rules keep');
  });

  it('keeps everything when no rule is given', () => {
    for (const policy of [{}, { tags: [] }, { daily: 0 }]) expect(kept(retain(days(5), policy, facts))).toHaveLength(5);
  });

  it('counts only what is ok', () => {
    const decided = retain([snapshot('a', '2026-11-20T10:00Z'), snapshot('b', '2026-11-19T10:00Z', { state: 'degraded' }), snapshot('c', '2026-11-18T10:00Z')], { last: 2 }, facts);
    expect(kept(decided)).toEqual(['a', 'c']);
    expect(reasons(decided, 'b')).toBe('not counted: degraded, and a newer ok exists');
  });

  it('leaves a store alone whose newest snapshot is not ok', () => {
    for (const state of ['degraded', 'failed', 'unknown'] as const) {
      const decided = retain([snapshot('new', new Date(NOW.getTime() + 1000), { state }), ...days(9)], { last: 1 }, facts);
      expect(decided.refused).toMatch(/^nothing is dropped, because the newest snapshot \(new\) /);
      expect(kept(decided)).toHaveLength(10);
    }
  });

  it('never drops the last verified one, nor the newest that is ok', () => {
    const snapshots = days(9).map((one, n) => (n === 6 || n === 8 ? { ...one, verified: NOW } : one));
    const decided = retain(snapshots, { tags: [['nothing']] }, facts);
    expect(kept(decided)).toEqual(['d0', 'd6']);
    expect(reasons(decided, 'd6')).toBe('the last verified one');
    expect(reasons(decided, 'd0')).toBe('the newest that is ok');
  });

  it('does not count a verification that failed afterwards', () => {
    const snapshots = days(4).map((one, n) => (n === 2 ? { ...one, verified: NOW, state: 'failed' as const } : n === 3 ? { ...one, verified: NOW } : one));
    expect(kept(retain(snapshots, { last: 1 }, facts))).toEqual(['d0', 'd3']);
  });

  it('lets nothing age away when backups have stopped, or when the clock of this host is fast', () => {
    const later = { ...facts, now: new Date(NOW.getTime() + 400 * DAY) };
    expect(kept(retain(days(10), { within: span('7d') }, later))).toEqual(kept(retain(days(10), { within: span('7d') }, facts)));
    expect(kept(retain(days(10), { within: span('7d') }, facts))).toHaveLength(7);
  });

  it('keeps snapshots from the future, says so, and lets them push nothing out', () => {
    const fakes = [1, 2, 3].map((n) => snapshot(`f${n}`, new Date(NOW.getTime() + n * 100 * DAY)));
    const policy: RetentionPolicy = { last: 3, daily: 3, within: span('2d') };
    const decided = retain([...fakes, ...days(9)], policy, facts);
    expect(kept(decided)).toEqual(['f3', 'f2', 'f1', ...kept(retain(days(9), policy, facts))]);
    expect(decided.notes.join()).toContain('3 snapshots are from the future');
    // A degraded one does not stop the store either: which is the newest is not known from it.
    expect(refusal([snapshot('f', new Date(NOW.getTime() + DAY), { state: 'degraded' }), ...days(2)], NOW)).toBeUndefined();
    expect(kept(retain(fakes, { last: 1 }, facts))).toHaveLength(3);
  });

  it('keeps what is tagged, all tags of a list together', () => {
    const snapshots = [...days(2), snapshot('x', '2020-01-01', { tags: ['a', 'b'] }), snapshot('y', '2020-01-01', { tags: ['a'] }), snapshot('z', '2020-01-02', { tags: ['c'], state: 'degraded' })];
    const decided = retain(snapshots, { last: 1, tags: [['a', 'b'], ['c']] }, facts);
    expect(kept(decided)).toEqual(['d0', 'z', 'x']);
    expect(reasons(decided, 'x')).toBe('tag a,b');
  });

  it('keeps a young one that is not ok: it may hold what nothing else does', () => {
    const decided = retain([snapshot('a', NOW), snapshot('b', new Date(NOW.getTime() - DAY), { state: 'degraded' }), ...days(0)], { within: span('3d') }, facts);
    expect(kept(decided)).toEqual(['a', 'b']);
  });

  it('counts days and hours on the calendar of the zone', () => {
    const night = [snapshot('late', '2026-11-19T23:30:00Z'), snapshot('early', '2026-11-19T00:30:00Z')];
    expect(kept(retain(night, { daily: 2 }, facts))).toEqual(['late']);
    expect(kept(retain(night, { daily: 2 }, { now: NOW, zone: 'Europe/Berlin' }))).toEqual(['late', 'early']);
    expect(kept(retain(night, { daily: 2 }, { now: NOW, zone: '-01:00' }))).toEqual(['late', 'early']);
    // The clock was set back: two o'clock came twice, and each is an hour of its own.
    const twice = [snapshot('second', '2026-10-25T01:10:00Z'), snapshot('first', '2026-10-25T00:10:00Z'), snapshot('same', '2026-10-25T00:05:00Z')];
    expect(kept(retain(twice, { hourly: 9 }, { now: NOW, zone: 'Europe/Berlin' }))).toEqual(['second', 'first']);
  });
});

/** The rules once more, as one would say them: slow, and of another make. */
function model(snapshots: readonly RetentionSnapshot[], policy: RetentionPolicy, zone: string): Set<string> {
  const past = snapshots.filter(({ time }) => time.getTime() <= NOW.getTime() + 60_000);
  const ok = past.filter(({ state }) => state === 'ok');
  const newer = (a: RetentionSnapshot, b: RetentionSnapshot): boolean => a.time > b.time || (a.time.getTime() === b.time.getTime() && a.id < b.id);
  const newest = ok.find((one) => !ok.some((other) => newer(other, one)));
  const local = (one: RetentionSnapshot): string => one.time.toLocaleString('sv-SE', { timeZone: zone });
  const monday = (one: RetentionSnapshot): string => {
    const date = new Date(`${local(one).slice(0, 10)}T12:00:00Z`);
    while (date.getUTCDay() !== 1) date.setTime(date.getTime() - DAY);
    return date.toISOString().slice(0, 10);
  };
  const offset = (one: RetentionSnapshot): number => Date.parse(`${local(one).replace(' ', 'T')}Z`) - one.time.getTime();
  const name: Record<Period, (one: RetentionSnapshot) => string> = {
    hourly: (one) => `${local(one).slice(0, 13)} ${offset(one)}`, daily: (one) => local(one).slice(0, 10), weekly: monday, monthly: (one) => local(one).slice(0, 7), yearly: (one) => local(one).slice(0, 4),
  };
  const keeps = (one: RetentionSnapshot): boolean => {
    if (!past.includes(one)) return true;
    if ((policy.tags ?? []).some((list) => list.every((tag) => one.tags.includes(tag)))) return true;
    if (one.verified && one.state !== 'failed' && !past.some((other) => other.verified && other.state !== 'failed' && newer(other, one))) return true;
    if (one.state !== 'ok') return false;
    if (one === newest || ok.filter((other) => newer(other, one)).length < (policy.last ?? 0)) return true;
    return PERIODS.some((period) => {
      const bucket = name[period];
      const first = !ok.some((other) => bucket(other) === bucket(one) && newer(other, one));
      return first && new Set(ok.filter((other) => newer(other, one)).map(bucket)).size < (policy[period] ?? 0);
    });
  };
  return new Set(snapshots.filter(keeps).map(({ id }) => id));
}

describe('retention, against a model of it', () => {
  const time = fc.oneof(fc.integer({ min: -100 * 24, max: 40 }), fc.integer({ min: -30_000, max: 0 })).map((hours) => new Date(NOW.getTime() + hours * 3_600_000 - 1_234_000));
  const state = fc.constantFrom<RetentionState>('ok', 'ok', 'ok', 'ok', 'degraded', 'failed', 'unknown');
  const one = fc.record({ time, state, tags: fc.subarray(['a', 'b', 'c']), verified: fc.option(fc.constant(NOW), { nil: undefined, freq: 1 }) });
  const snapshots = fc.array(one, { maxLength: 60 }).map((list) => list.map((facts, n): RetentionSnapshot => ({ ...facts, id: `s${n}` })));
  const count = fc.integer({ min: 0, max: 6 });
  const policy = fc.record({ last: count, hourly: count, daily: count, weekly: count, monthly: count, yearly: count, tags: fc.array(fc.subarray(['a', 'b', 'c'], { minLength: 1 }), { maxLength: 2 }) }, { requiredKeys: [] });
  const zone = fc.constantFrom('UTC', 'Europe/Berlin', 'America/New_York', 'Asia/Kolkata');

  it('keeps the same, and every decision has a reason', () => {
    fc.assert(fc.property(snapshots, policy, zone, (list, rules, where) => {
      const decided = retain(list, rules, { now: NOW, zone: where });
      expect(decided.decisions.every((decision) => decision.reasons.length > 0)).toBe(true);
      const empty = Object.values(rules).every((rule) => rule === undefined || rule === 0 || (Array.isArray(rule) && rule.length === 0));
      const expected = decided.refused !== undefined || empty ? new Set(list.map(({ id }) => id)) : model(list, rules, where);
      expect(new Set(kept(decided))).toEqual(expected);
    }), { numRuns: 300 });
  });

  it('drops less, never more, when a snapshot from the future is added or backups stop', () => {
    const spans = fc.record({ within: fc.constantFrom(span('3d'), span('1m')), withinDaily: fc.constantFrom(span('20d'), span('1y')), withinHourly: fc.constant(span('2d')) }, { requiredKeys: [] });
    fc.assert(fc.property(snapshots, policy, spans, fc.integer({ min: 1, max: 4000 }), (list, rules, within, later) => {
      const past = list.filter(({ time: when }) => when <= NOW);
      const before = new Set(kept(retain(past, { ...rules, ...within }, facts)));
      const stopped = new Set(kept(retain(past, { ...rules, ...within }, { ...facts, now: new Date(NOW.getTime() + later * DAY) })));
      expect(stopped).toEqual(before);
      const fake = snapshot('fake', new Date(NOW.getTime() + later * DAY));
      const attacked = new Set(kept(retain([...past, fake], { ...rules, ...within }, facts)));
      expect(attacked).toEqual(before.add('fake'));
    }), { numRuns: 200 });
  });
});
