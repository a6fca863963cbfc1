/**
 * What a server is told in `postgresql.auto.conf` so that it recovers a copy to a point (since version 12; before `recovery.conf` is not
 * read any more). The lines that stand there stay; settings of an earlier recovery or of a standby go, because they would be obeyed. Pure.
 */
export type RecoveryTargetSetting =
  /** Before the first end of a transaction that is later. Microseconds since 1970. */
  | { readonly kind: 'time'; readonly us: bigint }
  | { readonly kind: 'lsn'; readonly text: string; readonly inclusive: boolean }
  | { readonly kind: 'xid'; readonly xid: number }
  /** Everything that is there. */
  | { readonly kind: 'end' };

export interface RecoverySettings {
  readonly target: RecoveryTargetSetting;
  /** Undefined: the one on which the copy was made, the only one of which a server needs no history file. */
  readonly timeline: number | undefined;
}

const MARK = '# Written by holdfast for the recovery; it goes when the recovery has ended.';

const STALE: ReadonlySet<string> = new Set([
  'recovery_target', 'recovery_target_time', 'recovery_target_lsn', 'recovery_target_xid', 'recovery_target_name', 'restore_command', 'recovery_target_inclusive', 'recovery_target_timeline', 'recovery_target_action', 'archive_cleanup_command',
  'recovery_end_command', 'recovery_min_apply_delay', 'primary_conninfo', 'primary_slot_name', 'promote_trigger_file', 'standby_mode', 'trigger_file',
]);

/** `postgresql.auto.conf` for the recovery. */
export function withRecovery(text: string, { target, timeline }: RecoverySettings): string {
  const inclusive = target.kind === 'lsn' ? target.inclusive : true;
  const lines = {
    // All log that is needed lies in pg_wal already; nothing more is to be had from anywhere, which is what an exit code of 1 says.
    restore_command: 'exit 1',
    // One alone: for the server a second is an error even when it is empty.
    ...targetLine(target),
    recovery_target_inclusive: inclusive ? 'on' : 'off', recovery_target_timeline: timeline === undefined ? 'current' : String(timeline), recovery_target_action: 'promote',
  };
  return [withoutRecovery(text).replace(/\n*$/, '\n'), `${MARK}\n`, ...Object.entries(lines).map(([name, value]) => `${name} = ${setting(value)}\n`)].join('').replace(/^\n/, '');
}

function targetLine(target: RecoveryTargetSetting): Readonly<Record<string, string>> {
  if (target.kind === 'time') return { recovery_target_time: serverTime(target.us) };
  if (target.kind === 'lsn') return { recovery_target_lsn: target.text };
  return target.kind === 'xid' ? { recovery_target_xid: String(target.xid) } : {};
}

/** The same file without settings of a recovery. */
export function withoutRecovery(text: string): string {
  const kept = text.split('\n').filter((line) => line !== MARK && !STALE.has(/^\s*([A-Za-z_]+)/.exec(line)?.[1]?.toLowerCase() ?? ''));
  return kept.join('\n');
}

/** A value in `postgresql.conf`. */
export function setting(value: string): string {
  return `'${value.replaceAll('\\', '\\\\').replaceAll("'", "''")}'`;
}

/** `2026-11-20 13:03:06.998213+00`: UTC as a number, for names of zones mean different things to different servers. */
export function serverTime(us: bigint): string {
  const seconds = new Date(Number(us / 1000n)).toISOString().slice(0, 19).replace('T', ' ');
  return `${seconds}.${(us % 1_000_000n).toString().padStart(6, '0')}+00`;
}
