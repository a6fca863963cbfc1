/** Reads the script that large-object.ts writes: a statement a line, of which each holds at most 512 KiB of an object. */
import { HoldfastError } from '../../base/errors.ts';
import type { RawName } from '../../base/raw-name.ts';
import type { SnapshotFiles } from '../../repository/entry.ts';

export type ObjectLine =
  | { readonly kind: 'create'; readonly oid: string }
  | { readonly kind: 'put'; readonly oid: string; readonly at: number; readonly bytes: Buffer }
  /** Owner, privileges, comment: the statement, with its semicolon. */
  | { readonly kind: 'owner' | 'grant' | 'comment'; readonly oid: string; readonly sql: string };

const CREATE = /^SELECT pg_catalog\.lo_create\((\d+)\);$/;
const PUT = /^SELECT pg_catalog\.lo_put\((\d+), (\d+), '\\x([0-9a-f]*)'\);$/;
const ABOUT = { owner: /^ALTER LARGE OBJECT (\d+) OWNER TO /, grant: /^GRANT .* ON LARGE OBJECT (\d+) TO /, comment: /^COMMENT ON LARGE OBJECT (\d+) IS / } as const;

function parse(line: Buffer): ObjectLine {
  // What is long is hexadecimal; only what is about an object may hold other letters.
  const ascii = line.toString('latin1');
  const created = CREATE.exec(ascii)?.[1];
  if (created !== undefined) return { kind: 'create', oid: created };
  const [, put, at, hex] = PUT.exec(ascii) ?? [];
  if (put !== undefined && at !== undefined && hex !== undefined) return { kind: 'put', oid: put, at: Number(at), bytes: Buffer.from(hex, 'hex') };
  for (const kind of ['owner', 'grant', 'comment'] as const) {
    const oid = ABOUT[kind].exec(ascii)?.[1];
    if (oid !== undefined) return { kind, oid, sql: line.toString('utf8') };
  }
  throw new HoldfastError('restore-unproven', `large-objects.sql holds a line that is not understood: ${ascii.slice(0, 60)}`, { hint: 'A newer Holdfast may have written it.' });
}

/** The lines, in order. `progress` hears of bytes that were read. */
export async function* readObjectScript(files: SnapshotFiles, path: RawName, progress: (bytes: number) => void): AsyncGenerator<ObjectLine> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const piece of files.read(path)) {
    progress(piece.length);
    const all = Buffer.concat([rest, piece]);
    let from = 0;
    for (let end = all.indexOf(10); end !== -1; end = all.indexOf(10, from)) {
      yield parse(all.subarray(from, end));
      from = end + 1;
    }
    rest = all.subarray(from);
  }
  if (rest.length > 0) yield parse(rest);
}
