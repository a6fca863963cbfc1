import { describe, expect, it } from 'vitest';
import { isHoldfastError } from '../../../base/errors.ts';
import { readToc } from './read-toc.ts';
import { schemaArchive, someSchema } from './suite.ts';

const archive = await schemaArchive(someSchema);

describe('a table of contents', () => {
  it('is read as it was written', () => {
    const toc = readToc(archive);
    expect(toc).toEqual({ ...someSchema, format: '1.14' });
  });

  it('cut anywhere is an error that says so, and never a shorter table', () => {
    for (let length = 0; length < archive.length; length++) expect(damageOf(archive.subarray(0, length))).toMatch(/^The archive of pg_dump /);
  });

  it('with a byte changed is read as something else or refused with a sentence, but does not crash', () => {
    for (let at = 0; at < archive.length; at++) {
      const bytes = Buffer.from(archive);
      bytes[at] = ~(bytes[at] ?? 0) & 0xff;
      expect(damageOf(bytes) ?? 'read').toMatch(/^(read|The archive of pg_dump .*\.)$/);
    }
  });

  it('of another version or another format is named as such', () => {
    const version = Buffer.from(archive);
    version.set([1, 17], 5);
    expect(damageOf(version)).toBe('The archive of pg_dump has the format 1.17; known are 1.14 to 1.16, of PostgreSQL 12 to 18.');
    const tar = Buffer.from(archive);
    tar[10] = 3;
    expect(damageOf(tar)).toContain('not in the custom format');
    expect(damageOf(Buffer.from('--\n-- PostgreSQL database dump\n--\n'))).toContain('does not begin as an archive');
  });
});

/** What is said of it; undefined: it was read. Throws when it is no HoldfastError. */
function damageOf(bytes: Uint8Array): string | undefined {
  try {
    readToc(bytes);
    return undefined;
  } catch (error) {
    if (isHoldfastError(error, 'repository-damaged', 'repository-format')) return error.message;
    throw error;
  }
}
