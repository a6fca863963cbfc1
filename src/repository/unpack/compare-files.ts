/** Reads files in a thread and compares their contents with the hashes of their chunks. */
import * as fs from 'node:fs';
import { messageOf, systemCode } from '../../base/errors.ts';
import { toFsPath, toText } from '../../base/raw-name.ts';
import type { Problem } from '../entry.ts';
import type { ComparedFile } from './messages.ts';

let buffer = Buffer.allocUnsafeSlow(1 << 20);

export function compareFiles(files: readonly ComparedFile[], sha256: (bytes: Uint8Array) => string): { bytes: number; problems: readonly Problem[] } {
  const problems: Problem[] = [];
  let bytes = 0;
  for (const file of files) {
    try {
      const difference = compareFile(file, sha256);
      if (difference !== undefined) problems.push({ subject: toText(file.path), kind: 'changed', message: difference });
    } catch (error) {
      const missing = systemCode(error) === 'ENOENT';
      problems.push({ subject: toText(file.path), kind: missing ? 'vanished' : 'unreadable', message: missing ? 'is missing' : `cannot be read: ${messageOf(error)}` });
    }
    bytes += file.chunks.reduce((sum, { length }) => sum + length, 0);
  }
  return { bytes, problems };
}

/** What differs, as the rest of a sentence; undefined when nothing does. */
function compareFile({ path, chunks }: ComparedFile, sha256: (bytes: Uint8Array) => string): string | undefined {
  const fd = fs.openSync(toFsPath(path), fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW);
  try {
    let position = 0;
    for (const { id, length } of chunks) {
      if (buffer.length < length) buffer = Buffer.allocUnsafeSlow(length);
      if (fs.readSync(fd, buffer, 0, length, null) !== length) return `ends before byte ${position + length}`;
      if (sha256(buffer.subarray(0, length)) !== id) return `differs between byte ${position} and ${position + length}`;
      position += length;
    }
    return fs.readSync(fd, buffer, 0, 1, null) === 0 ? undefined : `is longer than ${position} bytes`;
  } finally {
    fs.closeSync(fd);
  }
}
