import { describe, expect, it } from 'vitest';
import { withData } from './archive.ts';
import { readToc } from './read-toc.ts';
import { archiveOf, someSchema } from './suite.ts';
import { writeArchive, writeArchiveFile } from './write-archive.ts';

async function* rows(...pieces: readonly string[]): AsyncGenerator<Uint8Array> {
  for (const piece of pieces) yield Buffer.from(piece);
}
const table = (content: () => AsyncIterable<Uint8Array>) => ({ tables: [{ schema: 'app', name: 'order', columns: ['id', 'of'], rows: content }], sequences: [], largeObjects: [] });

describe('an archive with data', () => {
  it('names the data between the objects that it goes into and those that need it', async () => {
    const bytes = await archiveOf(someSchema, {
      ...table(() => rows('1\t2\n')), sequences: [{ schema: 'app', name: 'order_id_seq', lastValue: '7', isCalled: true }],
      largeObjects: [{ oid: '4294967295', owner: 'Owner', privileges: 'GRANT SELECT ON LARGE OBJECT 4294967295 TO reader;\n', comment: '' }], contents: async function* () {
        yield { oid: '4294967295', content: rows('x') };
      },
    }, { compression: 'none' });
    const entries = readToc(bytes).entries.slice(6);
    expect(entries.map(({ kind, section }) => `${kind}, ${section}`)).toEqual(['BLOB, pre-data', 'ACL, none', 'TABLE DATA, data', 'SEQUENCE SET, data', 'BLOBS, data', 'EVENT TRIGGER, post-data', 'INDEX, post-data']);
    expect(entries[2]).toMatchObject({ copy: 'COPY app."order" (id, of) FROM stdin;\n', owner: 'Owner', dependencies: [2], hadDumper: true });
    expect(entries[3]?.create).toBe("SELECT pg_catalog.setval('app.order_id_seq', 7, true);\n");
    expect(bytes.includes('1\t2\n')).toBe(true);
  });

  it('has in a file the places of its data, and as a stream says that they are not known', async () => {
    const file = Buffer.alloc(10_000);
    let size = 0;
    const write = async (bytes: Uint8Array, from: number, length: number, at: number): Promise<{ bytesWritten: number; buffer: Uint8Array }> => {
      const some = Math.min(length, 100);
      file.set(bytes.subarray(from, from + some), at);
      size = Math.max(size, at + some);
      return { bytesWritten: some, buffer: bytes };
    };
    await writeArchiveFile({ write: write as never }, withData(someSchema, table(() => rows('1\t2\n'))), { compression: 'none' });
    const stream = await archiveOf(someSchema, table(() => rows('1\t2\n')), { compression: 'none' });
    const differing = [...stream.keys()].filter((at) => stream[at] !== file[at]);
    const [first = 0] = differing;
    expect([stream[first], file[first], size]).toEqual([1, 2, stream.length]);
    const at = Number(file.readBigUInt64LE(first + 1));
    expect([file[at], file.readUInt32LE(at + 2)]).toEqual([1, 10]);
  });

  it.each(['none', 'zlib'] as const)('ends with what its data throws, with %s compression', async (compression) => {
    const archive = withData(someSchema, table(async function* () {
      yield Buffer.from('1\t2\n');
      throw new Error('the repository is gone');
    }));
    const whole = async (): Promise<void> => {
      for await (const piece of writeArchive(archive, { compression })) expect(piece.length).toBeGreaterThan(0);
    };
    await expect(whole()).rejects.toThrow('the repository is gone');
  });
});
