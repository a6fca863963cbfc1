import { describe, expect, it } from 'vitest';
import { withData } from './archive.ts';
import { readToc } from './read-toc.ts';
import { archiveOf, someSchema } from './suite.ts';
import { writeArchive } from './write-archive.ts';

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

  it('as a stream says that the places of its data are not known, and tells at its end what to write there', async () => {
    const pieces = writeArchive(withData(someSchema, table(() => rows('1\t2\n'))), { compression: 'none' });
    const all: Uint8Array[] = [];
    let next = await pieces.next();
    for (; next.done !== true; next = await pieces.next()) all.push(next.value);
    const stream = Buffer.concat(all);
    const [patch] = next.value;
    expect(next.value).toHaveLength(1);
    const place = patch?.at ?? 0;
    expect(stream[place]).toBe(1);
    stream.set(patch?.bytes ?? [], place);
    const at = Number(stream.readBigUInt64LE(place + 1));
    expect([stream[place], stream[at], stream.readUInt32LE(at + 2)]).toEqual([2, 1, 10]);
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
