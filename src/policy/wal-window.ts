/** Into which snapshots write-ahead log is cut, and which of them are replaced by others. Pure. */

/** Bytes of log in one window: what is listed in every snapshot of it, again and again. */
const WINDOW_BYTES = 1 << 30;
const MOST_SEGMENTS = 64;
const WINDOW_MS = 24 * 3_600_000;

/** Is it time for a new window? One has at most 64 segments, and begins at most a day before. */
export function windowIsFull(window: { readonly segments: number; readonly beganAtMs: number }, segmentBytes: number, nowMs: number): boolean {
  const most = Math.max(2, Math.min(MOST_SEGMENTS, Math.floor(WINDOW_BYTES / segmentBytes)));
  return window.segments >= most || nowMs - window.beganAtMs >= WINDOW_MS;
}

interface WindowSnapshot {
  readonly id: string;
  readonly parent?: string | undefined;
  /** The tag `window:`. */
  readonly window: string | undefined;
}

/**
 * Those whose content a later one of the same window has taken over, which names them as its parent. Two that were made from the
 * same one at the same time stay both.
 */
export function superseded<T extends WindowSnapshot>(snapshots: readonly T[]): readonly T[] {
  const parents = new Set(snapshots.map(({ parent, window }) => `${window} ${parent}`));
  return snapshots.filter(({ id, window }) => window !== undefined && parents.has(`${window} ${id}`));
}
