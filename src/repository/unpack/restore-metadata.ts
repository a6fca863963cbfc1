/** Gives a restored path what it had besides content. The order matters: chown clears setuid bits and capabilities, everything touches times. */
import * as fs from 'node:fs';
import { messageOf, systemCode } from '../../base/errors.ts';
import { setExtendedAttribute, setTimes } from '../../base/posix.ts';
import { toFsPath, toText } from '../../base/raw-name.ts';
import type { Problem } from '../entry.ts';
import type { RestoredMetadata } from './messages.ts';

const isRoot = process.getuid?.() === 0;

/** What could not be given back is answered as problems. */
export function restoreMetadata(entry: RestoredMetadata): readonly Problem[] {
  const problems: Problem[] = [];
  const attempt = (what: string, work: () => void): void => {
    try {
      work();
    } catch (error) {
      problems.push({ subject: toText(entry.path), kind: 'left-out', message: `${what} could not be restored: ${messageOf(error)}` });
    }
  };
  const path = toFsPath(entry.path);
  attempt(`owner ${entry.uid}:${entry.gid}`, () => changeOwner(entry));
  if (entry.mode !== undefined) attempt(`mode ${entry.mode.toString(8)}`, () => fs.chmodSync(path, entry.mode ?? 0));
  for (const { name, value } of entry.attributes) attempt(`attribute ${name}`, () => setExtendedAttribute(entry.path, name, value));
  attempt('times', () => setTimes(entry.path, entry.atimeNs, entry.mtimeNs));
  return problems;
}

function changeOwner({ path, uid, gid }: RestoredMetadata): void {
  try {
    fs.lchownSync(toFsPath(path), uid, gid);
  } catch (error) {
    // An ordinary user who restores his own files need not hear that he may not chown; a file of somebody else is told.
    const mine = !isRoot && systemCode(error) === 'EPERM' && fs.lstatSync(toFsPath(path)).uid === uid;
    if (!mine) throw error;
  }
}
