import { expect, test } from 'vitest';
import { TarStream } from './tar-stream.ts';

interface Header {
  readonly name: string;
  readonly type?: string;
  readonly body?: string;
  readonly target?: string;
  readonly binarySize?: bigint;
}

function header({ name, type = '0', body = '', target = '', binarySize }: Header): Buffer {
  const block = Buffer.alloc(512);
  block.write(name, 0, 'latin1');
  block.write('0000600\0', 100);
  block.write('0000102\0', 108);
  block.write('0000103\0', 116);
  block.write(`${body.length.toString(8).padStart(11, '0')} `, 124);
  if (binarySize !== undefined) {
    block[124] = 0x80;
    block.fill(0, 125, 136);
    block.writeBigUInt64BE(binarySize, 128);
  }
  block.write('14000000000 ', 136);
  block.write('        ', 148);
  block.write(type, 156);
  block.write(target, 157);
  block.write(`${block.reduce((sum, byte) => sum + byte, 0).toString(8).padStart(6, '0')}\0 `, 148);
  return block;
}

function member(one: Header): Buffer {
  const body = Buffer.from(one.body ?? '', 'latin1');
  return Buffer.concat([header(one), body, Buffer.alloc((512 - (body.length % 512)) % 512)]);
}

function read(bytes: Buffer, step: number): string[] {
  const seen: string[] = [];
  let content = '';
  const tar = new TarStream({
    member: ({ path, type, target, mode, uid, size }) => void seen.push(`${type} ${path} ${mode.toString(8)} ${uid} ${size}${target === '' ? '' : ` -> ${target}`}`),
    content: (piece) => {
      content += Buffer.from(piece).toString('latin1');
      return undefined;
    },
    end: () => {
      seen.push(`end ${content.length} ${content.slice(0, 3)}`);
      content = '';
      return undefined;
    },
  });
  for (let at = 0; at < bytes.length; at += step) tar.push(bytes.subarray(at, at + step), () => undefined);
  tar.close();
  return seen;
}

const ARCHIVE = Buffer.concat([
  member({ name: './base', type: '5' }), member({ name: 'base/empty' }), member({ name: 'base/one', body: 'x'.repeat(512) }), member({ name: 'PG_VERSION', body: '15\n' }),
  member({ name: 'pg_tblspc/5/', type: '2', target: '/fast' }), Buffer.alloc(1024),
]);

test('files, folders and links come out in their order, however the stream is cut', () => {
  const whole = read(ARCHIVE, ARCHIVE.length);
  expect(whole).toEqual(['dir base 600 66 0', 'file base/empty 600 66 0', 'end 0 ', 'file base/one 600 66 512', 'end 512 xxx', 'file PG_VERSION 600 66 3', 'end 3 15\n', 'symlink pg_tblspc/5 600 66 0 -> /fast']);
  for (const step of [1, 7, 511, 512, 513]) expect(read(ARCHIVE, step)).toEqual(whole);
});

test('sizes beyond eight gibibytes are binary', () => {
  const seen: number[] = [];
  const tar = new TarStream({ member: ({ size }) => void seen.push(size), content: () => undefined, end: () => undefined });
  tar.push(header({ name: 'large', binarySize: 9_000_000_000n }), () => undefined);
  expect(seen).toEqual([9_000_000_000]);
});

test.each(['/etc/passwd', '../up', 'base/../../up', 'a//b', '.'])('the path %s is refused', (name) => {
  expect(() => read(member({ name, body: 'x' }), 4096)).toThrow(/leads out of the data directory/);
});

test('a stream that is cut, damaged or holds something else is refused', () => {
  expect(() => read(ARCHIVE.subarray(0, 1700), 4096)).toThrow(/ended within a file/);
  const damaged = Buffer.from(ARCHIVE);
  damaged[3] = 65;
  expect(() => read(damaged, 4096)).toThrow(/checksum/);
  expect(() => read(member({ name: 'hard', type: '1', target: 'x' }), 4096)).toThrow(/neither a file nor a folder nor a link/);
});
