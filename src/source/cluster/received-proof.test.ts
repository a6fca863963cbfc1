import { expect, test } from 'vitest';
import type { BackupManifest } from '../../client/postgres/replication/backup-manifest.ts';
import type { ReceivedFile } from './receive.ts';
import { proveReceived } from './received-proof.ts';

const MANIFEST: BackupManifest = {
  version: 2, systemId: '7000000000000000001', walRanges: [],
  files: [{ path: 'base/1/1', size: 3, modified: '2026-11-20 14:03:07 GMT', algorithm: 'CRC32C', checksum: '839206e3' }],
};
const GOOD: ReceivedFile = { size: 3, crc32c: '839206e3', mtime: 0 };
const received = (...files: (readonly [string, ReceivedFile])[]): Map<string, ReceivedFile> => new Map(files);
const prove = (files: Map<string, ReceivedFile>, systemId = '7000000000000000001') => (): void => proveReceived(MANIFEST, files, systemId);

test('what has come as it was sent is taken, with log that is not listed', () => {
  expect(prove(received(['base/1/1', GOOD], ['pg_wal/000000010000000000000002', GOOD]))).not.toThrow();
});

test('whatever differs is named', () => {
  expect(prove(received())).toThrow('base/1/1 has not come');
  expect(prove(received(['base/1/1', { ...GOOD, size: 2 }]))).toThrow('base/1/1 has 2 bytes instead of 3');
  expect(prove(received(['base/1/1', { ...GOOD, crc32c: '00000000' }]))).toThrow('base/1/1 has another checksum');
  expect(prove(received(['base/1/1', GOOD], ['base/1/2', GOOD]))).toThrow('base/1/2 is not in the list of the server');
});

test('a backup of another server than the one that was asked is refused', () => {
  expect(prove(received(['base/1/1', GOOD]), '7000000000000000002')).toThrow(expect.objectContaining({ code: 'foreign-server' }));
});
