/** Which snapshots of write-ahead log are kept: what the kept base backups need, and nothing that no base can begin from. Pure. */
import { formatLsn, type Lsn } from '../client/postgres/replication/lsn.ts';

export interface BaseFacts {
  readonly id: string;
  readonly time: Date;
  /** Undefined when its manifest could not be understood: then everything is kept. */
  readonly needs: { readonly systemId: string; readonly from: Lsn } | undefined;
}

export interface WalFacts {
  readonly id: string;
  readonly time: Date;
  readonly systemId: string;
  /** Up to where its newest segment reaches; undefined when it holds none. */
  readonly until: Lsn | undefined;
  /** A newer snapshot of the same window holds all of it. */
  readonly replaced: boolean;
}

export interface WalDecision {
  readonly id: string;
  readonly keep: boolean;
  readonly reasons: readonly string[];
}

/** `bases` are those that are kept. */
export function retainWal(snapshots: readonly WalFacts[], bases: readonly BaseFacts[]): readonly WalDecision[] {
  // A follower goes on where the newest one ends.
  const newest = snapshots.filter(({ replaced }) => !replaced).reduce<WalFacts | undefined>((last, one) => (last === undefined || one.time >= last.time ? one : last), undefined);
  return snapshots.map((snapshot) => ({ id: snapshot.id, ...(snapshot === newest ? { keep: true, reasons: ['the newest log'] } : decide(snapshot, bases)) }));
}

function decide({ systemId, until, time, replaced }: WalFacts, bases: readonly BaseFacts[]): Omit<WalDecision, 'id'> {
  const keep = (reason: string): Omit<WalDecision, 'id'> => ({ keep: true, reasons: [reason] });
  if (replaced) return { keep: false, reasons: ['a newer snapshot holds all of it'] };
  if (bases.length === 0) return keep('there is no base backup yet that could say what is needed');
  if (bases.some(({ needs }) => needs === undefined)) return keep('what a base backup needs cannot be told');
  const oldest = oldestOf(bases.filter(({ needs }) => needs?.systemId === systemId));
  if (oldest?.needs !== undefined) {
    if (until === undefined || until > oldest.needs.from) return keep(`base backup ${oldest.id.slice(0, 8)} needs the log from ${formatLsn(oldest.needs.from)} on`);
    return { keep: false, reasons: [`older than ${formatLsn(oldest.needs.from)}, where the oldest base backup that is kept begins`] };
  }
  // Another cluster: one that came after the bases may get its own, one from before them never will.
  if (bases.some((base) => base.time <= time)) return keep('of another server than the base backups, and newer');
  return { keep: false, reasons: ['no base backup of this server is kept'] };
}

function oldestOf(bases: readonly BaseFacts[]): BaseFacts | undefined {
  return bases.reduce<BaseFacts | undefined>((oldest, base) => (oldest?.needs === undefined || (base.needs !== undefined && base.needs.from < oldest.needs.from) ? base : oldest), undefined);
}
