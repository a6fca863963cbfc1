import { zstdCompressSync } from 'node:zlib';
import { expect, test } from 'vitest';
import type { BaseBackupListener } from './backup-stream.ts';
import { UnpackedBackup } from './unpacked-backup.ts';

const LARGE = Buffer.alloc(30 << 20);
LARGE.write('the end', LARGE.length - 7);

/** Keeps all that comes, and asks to wait now and then. */
class Kept implements BaseBackupListener {
  readonly heard: (string | Buffer[])[] = [];
  begin(): void {
    this.heard.push('begin');
  }
  archive(oid: string | undefined): void {
    this.heard.push(`archive ${oid ?? 'data'}`, []);
  }
  manifest(): void {
    this.heard.push('manifest', []);
  }
  data(bytes: Uint8Array, wait: (promise: Promise<void> | undefined) => void): void {
    const last = this.heard.at(-1);
    if (typeof last === 'object') last.push(Buffer.from(bytes));
    wait(new Promise((resolve) => setImmediate(resolve)));
  }
}

async function unpacked(parts: readonly [string | undefined, Buffer][], listener: BaseBackupListener): Promise<void> {
  const backup = new UnpackedBackup(listener);
  backup.begin({ lsn: 0n, timeline: 1, tablespaces: [] });
  for (const [oid, bytes] of parts) {
    backup.archive(oid, true);
    for (let at = 0; at < bytes.length; at += 1000) backup.data(bytes.subarray(at, at + 1000), () => undefined);
  }
  backup.manifest();
  backup.data(Buffer.from('{}'), () => undefined);
  await backup.ended();
}

test('archives that the server has compressed are unpacked in their order, however much comes out of little', async () => {
  const kept = new Kept();
  await unpacked([[undefined, zstdCompressSync(LARGE)], ['16384', zstdCompressSync(Buffer.from('a tablespace'))]], kept);
  const heard = kept.heard.map((one) => (typeof one === 'string' ? one : Buffer.concat(one)));
  expect(heard.filter((one) => typeof one === 'string')).toEqual(['begin', 'archive data', 'archive 16384', 'manifest']);
  expect(LARGE.equals(Buffer.from(heard[2] ?? ''))).toBe(true);
  expect([heard[4], heard[6]].map(String)).toEqual(['a tablespace', '{}']);
});

test('an archive that is cut off or damaged is an error', async () => {
  const packed = zstdCompressSync(LARGE);
  await expect(unpacked([[undefined, packed.subarray(0, -9)]], new Kept())).rejects.toThrow();
  await expect(unpacked([[undefined, Buffer.alloc(5000, 'x')]], new Kept())).rejects.toThrow();
});

test('what the listener throws ends it', async () => {
  const kept = new Kept();
  kept.data = () => {
    throw new Error('the archive has failed');
  };
  await expect(unpacked([[undefined, zstdCompressSync(LARGE)]], kept)).rejects.toThrow('the archive has failed');
});
