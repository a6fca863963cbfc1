/** The rows of a table as COPY text into the archive: one file, or one for each range; what has not changed is taken over. */
import { HoldfastError } from '../../../base/errors.ts';
import { fromText, type RawName } from '../../../base/raw-name.ts';
import { copyOut, type Copied } from '../../../client/postgres/copy-out.ts';
import type { Content, ContentSink, Entry, Metadata } from '../../../repository/entry.ts';
import { withTables, type Readers } from './ask-table.ts';
import { copyOutSql } from '../catalog.ts';
import { file, folder } from './entries.ts';
import { tableFile, tableFolder } from '../file-name.ts';
import { addFingerprints, type PieceManifest, type TableManifest } from '../manifest.ts';
import { addSums, type PlannedPiece, type PlannedTable } from './table-plan.ts';
import { position } from './table-layout.ts';

/** One table on its way into the archive. */
export class TableCapture {
  readonly #plan: PlannedTable;
  readonly #readers: Readers;
  readonly #read: (PieceManifest | undefined)[] = [];

  constructor(plan: PlannedTable, readers: Readers) {
    this.#plan = plan;
    this.#readers = readers;
  }

  get name(): string {
    return `${this.#plan.table.schema}.${this.#plan.table.name}`;
  }

  /** `previous`: the folder `data` of this database in the snapshot before. */
  entry(metadata: Metadata, previous: RawName | undefined): Entry {
    const { table, split, pieces } = this.#plan;
    const size = Math.round(table.size / pieces.length);
    const entries = pieces.map((piece, n) => file(piece.file.split('/').at(-1) ?? '', metadata, this.#content(piece, n, previous), size));
    const [first] = entries;
    return split === undefined && first !== undefined ? first : folder(tableFolder(table.schema, table.name), metadata, entries);
  }

  #content(piece: PlannedPiece, n: number, previous: RawName | undefined): Content {
    const stream = { from: 'stream' as const, write: async (sink: ContentSink) => void (this.#read[n] = await this.#copy(piece, sink)) };
    const { same } = piece;
    if (same === undefined || previous === undefined) return stream;
    const kept = (): void => void (this.#read[n] = { ...this.#piece(piece), bytes: same.bytes, rows: same.rows, fingerprint: same.fingerprint, unchanged: 'fingerprint' });
    const otherwise = piece.elsewhere === true ? { from: 'stream' as const, write: () => Promise.reject(this.#lostPiece()) } : stream;
    return { from: 'previous', path: fromText(`${previous}/${same.file}`), kept, otherwise };
  }

  #piece({ file: name, range, counted }: PlannedPiece): Pick<PieceManifest, 'file' | 'from' | 'server'> {
    return { file: name, ...(range.from === undefined ? {} : { from: range.from }), ...(counted === undefined ? {} : { server: counted.sums }) };
  }

  async #copy(piece: PlannedPiece, sink: ContentSink): Promise<PieceManifest> {
    const { table, split } = this.#plan;
    const { condition } = piece.range;
    const doing = `reading the table ${this.name}`;
    // In the order of the key the text is the same again wherever the rows lie on the disk: what did not change is stored once.
    const order = split?.by === 'key' ? ` ORDER BY ${position(split)}` : '';
    const sql = copyOutSql(table, split === undefined ? '' : `${condition === '' ? '' : `WHERE ${condition}`}${order}`);
    let copied: Copied | undefined;
    await withTables(this.#readers, [table], doing, async (session) => void (copied = await copyOut(session, sql, doing, (bytes) => sink.write(bytes))));
    if (copied === undefined) throw new HoldfastError('internal', `${this.name} was read without a result.`);
    if (piece.counted !== undefined && piece.counted.rows !== copied.rows) throw this.#damagedIndex(piece.counted.rows, copied.rows);
    return { ...this.#piece(piece), rows: copied.rows, bytes: copied.bytes, fingerprint: copied.sum };
  }

  /** The rows were counted without an index and read, perhaps, with one. */
  #damagedIndex(counted: number, read: number): HoldfastError {
    return new HoldfastError('source-failed', `Of the table ${this.name} ${read} rows were read where there are ${counted}: an index of it is damaged.`, {
      hint: `Run REINDEX TABLE ${this.name}. Until then, back it up without --frugal, which reads without indexes.`,
    });
  }

  /** One range cannot be read again alone when the others are taken over from another division of the rows. */
  #lostPiece(): HoldfastError {
    return new HoldfastError('source-failed', `The table ${this.name} has not changed, but the repository has lost a part of what it held of it.`, {
      hint: 'Back it up once without --frugal, and run `holdfast check`.',
    });
  }

  /** Undefined while not all of it was read. */
  account(): TableManifest | undefined {
    const { table, split, pieces } = this.#plan;
    const { schema, name, columns, condition, extension, shape } = table;
    const read = pieces.flatMap((_, n) => this.#read[n] ?? []);
    const [first] = read;
    if (first === undefined || read.length < pieces.length) return undefined;
    const common = { schema, name, columns: [...columns], condition, extension, shape };
    if (split === undefined) return { ...first, ...common };
    const server = read.flatMap((one) => (one.server === undefined ? [] : [one.server]));
    return {
      ...common, file: tableFile(schema, name), rows: read.reduce((sum, { rows }) => sum + rows, 0), bytes: read.reduce((sum, { bytes }) => sum + bytes, 0),
      fingerprint: addFingerprints(read.map(({ fingerprint }) => fingerprint)), pieces: read, split,
      ...(server.length === read.length ? { server: addSums(server) } : {}), ...(read.every((one) => one.unchanged !== undefined) ? { unchanged: 'fingerprint' as const } : {}),
    };
  }
}
