/** Puts a rebuilt folder or file where the old one stands, and keeps the old. */
import * as fs from 'node:fs';
import { toFsPath, type RawName } from '../base/raw-name.ts';

/** `20261120-235959`, for names that sort by time. */
export function stamp(now: Date): string {
  return now.toISOString().replace(/[-:]/g, '').replace('T', '-').slice(0, 15);
}

/**
 * Two renames: the old away, the new in. Dying between them leaves both whole beside each other, under names that say what they
 * are. Answers where the old one is kept, if there was one.
 */
export function putInPlace(built: RawName, place: RawName, now: Date): RawName | undefined {
  if (!fs.lstatSync(toFsPath(place), { throwIfNoEntry: false })) {
    fs.renameSync(toFsPath(built), toFsPath(place));
    return undefined;
  }
  const kept = `${place}.before-${stamp(now)}`;
  fs.renameSync(toFsPath(place), toFsPath(kept));
  fs.renameSync(toFsPath(built), toFsPath(place));
  return kept;
}
