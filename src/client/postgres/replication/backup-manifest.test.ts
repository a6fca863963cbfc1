import { expect, test } from 'vitest';
import { encodeBackupManifest, parseBackupManifest, type BackupManifest } from './backup-manifest.ts';

const MANIFEST: BackupManifest = {
  version: 2, systemId: '18446744073709551615',
  files: [
    { path: 'base/1/1', size: 8192, modified: '2026-11-20 14:03:07 GMT', algorithm: 'CRC32C', checksum: '839206e3' },
    { path: 'odd \xff "name"', size: 0, modified: '2026-11-20 14:03:07 GMT', algorithm: undefined, checksum: undefined },
  ],
  walRanges: [{ timeline: 1, start: '0/2000028', end: '0/2000100' }],
};

test('what is written is read again, numbers of 64 bits and names that are no text included', () => {
  expect(parseBackupManifest(encodeBackupManifest(MANIFEST))).toEqual(MANIFEST);
});

test('a manifest in which one byte differs is refused', () => {
  const bytes = encodeBackupManifest(MANIFEST);
  bytes[bytes.indexOf('8192')] = 57;
  expect(() => parseBackupManifest(bytes)).toThrow(/its own checksum differs/);
  expect(() => parseBackupManifest(bytes.subarray(0, -20))).toThrow(/no checksum of its own/);
});
