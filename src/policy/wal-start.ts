/** Where following a server's log begins, and when it must not. Pure. */
import { HoldfastError } from '../base/errors.ts';
import { formatLsn, segmentStart, type Lsn } from '../client/postgres/replication/lsn.ts';
import type { HistoryEntry } from './wal-map.ts';

export interface StartFacts {
  readonly store: string;
  readonly server: { readonly systemId: string; readonly timeline: number; readonly at: Lsn; readonly segmentBytes: number };
  /** Of the server's timeline: those that it comes from. */
  readonly history: readonly HistoryEntry[];
  /** Up to where the repository has log; undefined when it has none. */
  readonly stored: { readonly systemId: string; readonly timeline: number; readonly end: Lsn } | undefined;
  /** From where the slot keeps log; undefined when it keeps none. */
  readonly restart: Lsn | undefined;
  /** A hole after what is stored is accepted. */
  readonly anew: boolean;
}

export interface StartDecision {
  readonly timeline: number;
  /** The beginning of a segment. */
  readonly start: Lsn;
  readonly because: string;
}

/**
 * The end of what the repository has, else where the slot begins, else now: never the reverse, which would leave out what was written
 * while nobody followed. Throws `foreign-server`.
 */
export function chooseStart(facts: StartFacts): StartDecision {
  const { server, stored, restart, anew, history, store } = facts;
  if (stored !== undefined && stored.systemId !== server.systemId) {
    if (!anew) throw foreign(`the server of ${store} is another cluster (system id ${server.systemId}) than the one whose write-ahead log is stored (${stored.systemId})`);
  } else if (stored !== undefined && !anew) return follow(facts, stored);
  const from = restart ?? server.at;
  const timeline = timelineAt(from, server.timeline, history);
  return { timeline, start: segmentStart(from, server.segmentBytes), because: restart === undefined ? 'from now on' : 'from where the slot begins' };
}

function follow({ server, history, store }: StartFacts, stored: NonNullable<StartFacts['stored']>): StartDecision {
  const { timeline, end } = stored;
  if (timeline === server.timeline) {
    if (end > server.at) throw foreign(`the server of ${store} has log up to ${formatLsn(server.at)} only, and ${formatLsn(end)} of the same timeline ${timeline} is stored: it was put back to an earlier state`);
    return { timeline, start: segmentStart(end, server.segmentBytes), because: 'where the stored log ends' };
  }
  const left = history.find((entry) => entry.timeline === timeline);
  if (left === undefined) throw foreign(`the server of ${store} is on timeline ${server.timeline}, which does not come from timeline ${timeline} whose log is stored`);
  if (end <= left.switchAt) return { timeline, start: segmentStart(end, server.segmentBytes), because: 'where the stored log ends' };
  // What the old primary wrote after the others had left it stays stored; the new timeline begins before its end.
  const next = history[history.indexOf(left) + 1]?.timeline ?? server.timeline;
  return { timeline: next, start: segmentStart(left.switchAt, server.segmentBytes), because: `where timeline ${next} leaves timeline ${timeline} (${formatLsn(left.switchAt)})` };
}

function foreign(message: string): HoldfastError {
  return new HoldfastError('foreign-server', message, {
    hint: 'If this is meant to be the server from now on, make a new base backup of it and run `holdfast wal follow --new-slot`; what is stored stays usable for its own time.',
  });
}

/** The timeline on which a position lies. */
function timelineAt(at: Lsn, current: number, history: readonly HistoryEntry[]): number {
  return history.find(({ switchAt }) => at < switchAt)?.timeline ?? current;
}
