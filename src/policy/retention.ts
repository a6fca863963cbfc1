/**
 * Which snapshots of one store are kept, each with its reasons. Only what is `ok` is counted; the last verified one and the newest
 * that is ok are never dropped; and nothing is dropped while the newest is not ok.
 *
 * Time: `within` counts back from the newest ok snapshot or from now, whichever is earlier. So nothing ages away when backups have
 * stopped or when the clock of this host is fast. Snapshots from the future are kept and never counted, so that one with a
 * made-up time pushes nothing out.
 */
import { before, formatSpan, isoWeek, wallTime, type Span, type WallTime, type Zone } from './calendar.ts';

export type RetentionState = 'ok' | 'degraded' | 'failed' | 'unknown';

export interface RetentionSnapshot {
  readonly id: string;
  readonly time: Date;
  readonly state: RetentionState;
  readonly tags: readonly string[];
  /** When it was last proven to restore to the same content; undefined when it never was. */
  readonly verified: Date | undefined;
}

export const PERIODS = ['hourly', 'daily', 'weekly', 'monthly', 'yearly'] as const;
export type Period = (typeof PERIODS)[number];

/** Every rule keeps what it asks for; what none asks for is dropped. `Infinity` for all. */
export interface RetentionPolicy {
  readonly last?: number | undefined;
  readonly hourly?: number | undefined;
  readonly daily?: number | undefined;
  readonly weekly?: number | undefined;
  readonly monthly?: number | undefined;
  readonly yearly?: number | undefined;
  /** All that are younger. */
  readonly within?: Span | undefined;
  /** One of each hour, day …, of those that are younger. */
  readonly withinHourly?: Span | undefined;
  readonly withinDaily?: Span | undefined;
  readonly withinWeekly?: Span | undefined;
  readonly withinMonthly?: Span | undefined;
  readonly withinYearly?: Span | undefined;
  /** All that carry all tags of one of these lists. */
  readonly tags?: readonly (readonly string[])[] | undefined;
}

export interface RetentionFacts {
  readonly now: Date;
  /** Of the calendar that days and weeks are counted on. */
  readonly zone: Zone;
}

export interface RetentionDecision {
  readonly id: string;
  readonly keep: boolean;
  /** At least one. */
  readonly reasons: readonly string[];
}

export interface Retention {
  /** Why the store is left alone: all decisions are to keep then. */
  readonly refused: string | undefined;
  /** Newest first. */
  readonly decisions: readonly RetentionDecision[];
  /** Worth knowing: snapshots from the future. */
  readonly notes: readonly string[];
}

/** The reason that no wish overrules. */
export const LAST_VERIFIED = 'the last verified one';

/** Snapshots whose clock was that much ahead of ours are not from the future. */
const SKEW_MS = 60_000;

const BUCKETS: Readonly<Record<Period, { readonly word: string; bucket(wall: WallTime, moment: Date): string }>> = {
  // Of the two hours of one name when the clock is set back, each is an hour of its own.
  hourly: { word: 'hour', bucket: ({ minute, second }, moment) => String(Math.floor(moment.getTime() / 1000) - minute * 60 - second) },
  daily: { word: 'day', bucket: ({ year, month, day }) => `${year}-${month}-${day}` },
  weekly: { word: 'week', bucket: (wall) => isoWeek(wall) },
  monthly: { word: 'month', bucket: ({ year, month }) => `${year}-${month}` },
  yearly: { word: 'year', bucket: ({ year }) => String(year) },
};
const WITHIN = { hourly: 'withinHourly', daily: 'withinDaily', weekly: 'withinWeekly', monthly: 'withinMonthly', yearly: 'withinYearly' } as const satisfies Record<Period, keyof RetentionPolicy>;

export function isEmptyPolicy(policy: RetentionPolicy): boolean {
  return Object.values(policy).every((rule) => rule === undefined || rule === 0 || (Array.isArray(rule) && rule.length === 0));
}

const isFuture = (snapshot: RetentionSnapshot, now: Date): boolean => snapshot.time.getTime() > now.getTime() + SKEW_MS;

/** Newest first; of one moment, the order of ids. */
function newestFirst(snapshots: readonly RetentionSnapshot[]): readonly RetentionSnapshot[] {
  return snapshots.toSorted((a, b) => b.time.getTime() - a.time.getTime() || (a.id < b.id ? -1 : 1));
}

/** Why nothing of this store may be dropped; undefined when something may. */
export function refusal(snapshots: readonly RetentionSnapshot[], now: Date): string | undefined {
  const [newest] = newestFirst(snapshots.filter((snapshot) => !isFuture(snapshot, now)));
  if (!newest || newest.state === 'ok') return undefined;
  const because = { degraded: 'is degraded', failed: 'did not pass its verification', unknown: 'has no known state' }[newest.state];
  return `nothing is dropped, because the newest snapshot (${newest.id.slice(0, 8)}) ${because}`;
}

/** Decides for all snapshots of one store. */
export function retain(snapshots: readonly RetentionSnapshot[], policy: RetentionPolicy, facts: RetentionFacts): Retention {
  const sorted = newestFirst(snapshots);
  const future = sorted.filter((snapshot) => isFuture(snapshot, facts.now));
  const notes = future.length === 0 ? [] : [`${future.length === 1 ? 'one snapshot is' : `${future.length} snapshots are`} from the future: kept, and not counted. Look at the clocks of the hosts that make backups.`];
  const all = (reason: string): readonly RetentionDecision[] => sorted.map(({ id }) => ({ id, keep: true, reasons: [reason] }));
  if (isEmptyPolicy(policy)) return { refused: undefined, decisions: all('no rule says what may go'), notes };
  const refused = refusal(sorted, facts.now);
  if (refused !== undefined) return { refused, decisions: all('the store is left alone'), notes };
  const rules = new Rules(sorted.filter((snapshot) => !isFuture(snapshot, facts.now)), policy, facts);
  const decisions = sorted.map((snapshot) => (isFuture(snapshot, facts.now) ? { id: snapshot.id, keep: true, reasons: ['from the future'] } : rules.decide(snapshot)));
  return { refused: undefined, decisions, notes };
}

const ordinal = (n: number): string => `${n}${n % 100 >= 11 && n % 100 <= 13 ? 'th' : (['th', 'st', 'nd', 'rd'][n % 10] ?? 'th')}`;

/** The rules of a policy, worked out over the snapshots that are not from the future. */
class Rules {
  readonly #policy: RetentionPolicy;
  readonly #facts: RetentionFacts;
  /** What each snapshot is kept for, in the order of the rules. */
  readonly #reasons = new Map<string, string[]>();
  /** Who took the place in a bucket: `the same day` and the id. */
  readonly #taken = new Map<string, string>();

  constructor(snapshots: readonly RetentionSnapshot[], policy: RetentionPolicy, facts: RetentionFacts) {
    this.#policy = policy;
    this.#facts = facts;
    const counted = snapshots.filter(({ state }) => state === 'ok');
    const [newestOk] = counted;
    const reference = new Date(Math.min(facts.now.getTime(), newestOk?.time.getTime() ?? facts.now.getTime()));
    for (const [before, snapshot] of counted.slice(0, policy.last ?? 0).entries()) this.#keep(snapshot, 'last', before + 1, policy.last ?? 0);
    for (const period of PERIODS) this.#count(counted, period, policy[period] ?? 0);
    this.#young(snapshots, reference);
    for (const period of PERIODS) this.#countYoung(counted, period, reference);
    this.#tagged(snapshots);
    const verified = snapshots.find((snapshot) => snapshot.verified !== undefined && snapshot.state !== 'failed');
    if (verified) this.#add(verified, LAST_VERIFIED);
    if (newestOk && !this.#reasons.has(newestOk.id)) this.#add(newestOk, 'the newest that is ok');
  }

  decide({ id, state }: RetentionSnapshot): RetentionDecision {
    const reasons = this.#reasons.get(id);
    if (reasons) return { id, keep: true, reasons };
    if (state !== 'ok') return { id, keep: false, reasons: [`not counted: ${state === 'unknown' ? 'its state is not known' : state}, and a newer ok exists`] };
    const taken = this.#taken.get(id);
    return { id, keep: false, reasons: [taken === undefined ? 'older than what the rules keep' : taken] };
  }

  #add({ id }: RetentionSnapshot, reason: string): void {
    const reasons = this.#reasons.get(id);
    if (reasons) reasons.push(reason);
    else this.#reasons.set(id, [reason]);
  }

  #keep(snapshot: RetentionSnapshot, rule: string, nth: number, of: number): void {
    this.#add(snapshot, Number.isFinite(of) ? `${rule}, the ${ordinal(nth)} of ${of}` : `${rule}, all`);
  }

  /** The newest of each hour, day …, until enough are kept. */
  #count(counted: readonly RetentionSnapshot[], period: Period, wanted: number): void {
    let kept = 0;
    this.#eachBucket(counted, period, (snapshot, isNew, holder) => {
      if (isNew && kept < wanted) this.#keep(snapshot, period, ++kept, wanted);
      else if (!isNew && wanted > 0 && kept <= wanted) this.#sameBucket(snapshot, period, holder);
    });
  }

  #countYoung(counted: readonly RetentionSnapshot[], period: Period, reference: Date): void {
    const span = this.#policy[WITHIN[period]];
    if (span === undefined) return;
    const from = before(reference, span, this.#facts.zone);
    this.#eachBucket(counted.filter(({ time }) => time > from), period, (snapshot, isNew, holder) => {
      if (isNew) this.#add(snapshot, `${period} within ${formatSpan(span)}`);
      else this.#sameBucket(snapshot, period, holder);
    });
  }

  #eachBucket(counted: readonly RetentionSnapshot[], period: Period, visit: (snapshot: RetentionSnapshot, isNew: boolean, holder: RetentionSnapshot) => void): void {
    let last: { readonly bucket: string; readonly holder: RetentionSnapshot } | undefined;
    for (const snapshot of counted) {
      const bucket = BUCKETS[period].bucket(wallTime(snapshot.time, this.#facts.zone), snapshot.time);
      const isNew = bucket !== last?.bucket;
      if (isNew || !last) last = { bucket, holder: snapshot };
      visit(snapshot, isNew, last.holder);
    }
  }

  /** Of several rules, the finest tells why a snapshot goes. */
  #sameBucket({ id }: RetentionSnapshot, period: Period, holder: RetentionSnapshot): void {
    if (this.#reasons.get(holder.id)?.some((reason) => reason.startsWith(period)) !== true || this.#taken.has(id)) return;
    this.#taken.set(id, `${holder.id.slice(0, 8)} is kept of the same ${BUCKETS[period].word}`);
  }

  /** Also what is not ok: it is not counted, but it is young, and may hold what nothing else holds. */
  #young(snapshots: readonly RetentionSnapshot[], reference: Date): void {
    const { within } = this.#policy;
    if (within === undefined) return;
    const from = before(reference, within, this.#facts.zone);
    for (const snapshot of snapshots) if (snapshot.time > from) this.#add(snapshot, `within ${formatSpan(within)}`);
  }

  #tagged(snapshots: readonly RetentionSnapshot[]): void {
    for (const tags of this.#policy.tags ?? []) {
      for (const snapshot of snapshots) if (tags.every((tag) => snapshot.tags.includes(tag))) this.#add(snapshot, `tag ${tags.join(',')}`);
    }
  }
}
