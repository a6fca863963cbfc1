/** A base backup on its way from the server into the repository: every file is summed up while it passes. */
import { HoldfastError } from '../../base/errors.ts';
import { fromText, type RawName } from '../../base/raw-name.ts';
import { Crc32c } from '../../client/postgres/crc32c.ts';
import type { BaseBackupListener, BaseBackupStart } from '../../client/postgres/replication/backup-stream.ts';
import { incrementOf } from '../../client/postgres/replication/increment.ts';
import { TarStream, type TarListener, type TarMember } from '../../client/postgres/replication/tar-stream.ts';
import type { Cut, EntryFeed, FedFile, Metadata } from '../../repository/entry.ts';
import type { Increments } from './increments.ts';
import { DATA_FOLDER, TABLESPACES_FOLDER } from './manifest.ts';

export interface ReceivedFile {
  readonly size: number;
  readonly crc32c: string;
  /** Seconds since 1970. */
  readonly mtime: number;
}

const FILE = 0o100000;
const FOLDER = 0o040000;
const LINK = 0o120000;
const PRIVATE = 0o700;
/** A small file that is needed to describe the backup. */
export const LABEL = 'backup_label';
const LABEL_BYTES = 64 * 1024;

const NOWHERE: FedFile = { write: () => undefined, end: () => undefined };

export class Receiver implements BaseBackupListener, TarListener {
  /** By the path that the server's manifest uses. */
  readonly files = new Map<string, ReceivedFile>();
  /** With the folder of the store. */
  readonly counts = { files: 0, folders: 1, others: 0, bytes: 0 };
  start: BaseBackupStart | undefined;
  readonly #feed: EntryFeed;
  readonly #manifest: Buffer[] = [];
  readonly #label: Buffer[] = [];
  #tar: TarStream | undefined;
  /** Where the archive goes below the store, and how the manifest calls its files. */
  #place = DATA_FOLDER;
  #named = '';
  #open: { readonly member: TarMember; readonly file: FedFile; readonly sum: Crc32c; readonly isLabel: boolean } | undefined;
  readonly #made = new Set<string>();
  /** Of the data directory; what we add belongs to the same user. */
  #owner: Pick<Metadata, 'uid' | 'gid'> = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
  readonly #now: bigint;
  readonly #increments: Increments | undefined;

  /** With `increments`, the backup is an incremental one: the label is then left for the caller to add. */
  constructor(feed: EntryFeed, startedAt: Date, increments?: Increments) {
    this.#feed = feed;
    this.#increments = increments;
    this.#now = BigInt(startedAt.getTime()) * 1_000_000n;
  }

  begin(start: BaseBackupStart): void {
    this.start = start;
    this.#folder(DATA_FOLDER, PRIVATE);
    const apart = start.tablespaces.flatMap(({ oid, location }) => (oid === undefined ? [] : [{ oid, inPlace: !location.startsWith('/') }]));
    if (apart.some(({ inPlace }) => inPlace)) this.#folder(`${DATA_FOLDER}/pg_tblspc`, PRIVATE);
    if (apart.some(({ inPlace }) => !inPlace)) this.#folder(TABLESPACES_FOLDER, PRIVATE);
    for (const { oid, inPlace } of apart) this.#folder(inPlace ? `${DATA_FOLDER}/pg_tblspc/${oid}` : `${TABLESPACES_FOLDER}/${oid}`, PRIVATE);
  }

  archive(oid: string | undefined): void {
    this.#tar?.close();
    this.#tar = new TarStream(this);
    const inPlace = this.start?.tablespaces.some((row) => row.oid === oid && !row.location.startsWith('/')) === true;
    this.#place = oid === undefined ? DATA_FOLDER : inPlace ? `${DATA_FOLDER}/pg_tblspc/${oid}` : `${TABLESPACES_FOLDER}/${oid}`;
    this.#named = oid === undefined ? '' : `pg_tblspc/${oid}/`;
  }

  manifest(): void {
    this.#tar?.close();
    this.#tar = undefined;
  }

  data(bytes: Uint8Array, wait: (promise: Promise<void> | undefined) => void): void {
    if (this.#tar === undefined) this.#manifest.push(Buffer.from(bytes));
    else this.#tar.push(bytes, wait);
  }

  /** What the server says the backup has; empty for servers before 13. */
  get manifestBytes(): Buffer {
    return Buffer.concat(this.#manifest);
  }

  get label(): Buffer {
    return Buffer.concat(this.#label);
  }

  /** Ends the file that is open: no more will come. */
  async abandon(): Promise<void> {
    const open = this.#open;
    this.#open = undefined;
    if (open !== undefined && !this.#isIncrement(open.member.path)) await open.file.end();
  }

  /** A file beside those of the server. */
  addOwn(path: RawName, bytes: Uint8Array): void {
    const name = path.slice(path.lastIndexOf('/') + 1);
    this.counts.files++;
    this.counts.bytes += bytes.length;
    void this.#feed.add(path, { type: 'file', name, metadata: this.#ownMetadata(FILE | 0o600, bytes.length), content: { from: 'bytes', bytes } });
  }

  addFolder(path: RawName): void {
    this.#folder(path, PRIVATE);
  }

  member(member: TarMember): void {
    const path = `${this.#place}/${member.path}`;
    if (member.type === 'dir') {
      this.#folder(path, member.mode, member);
    } else if (member.type === 'symlink') {
      this.#link(path, member);
    } else {
      if (member.path === 'global/pg_control') this.#owner = { uid: member.uid, gid: member.gid };
      const isLabel = this.#named === '' && member.path === LABEL && member.size < LABEL_BYTES;
      this.#open = { member, file: this.#fileOf(member, path, isLabel), sum: new Crc32c(), isLabel };
    }
  }

  #isIncrement(path: RawName): boolean {
    return this.#increments !== undefined && incrementOf(path) !== undefined;
  }

  #fileOf(member: TarMember, path: RawName, isLabel: boolean): FedFile {
    const whole = incrementOf(member.path);
    if (whole !== undefined && this.#increments !== undefined) return this.#increments.open({ path: `${this.#place}/${whole}`, listed: `${this.#named}${whole}`, metadata: metadataOf(member, FILE) });
    if (isLabel && this.#increments !== undefined) return NOWHERE;
    return this.#feed.open(path, metadataOf(member, FILE), this.#cutOf(member.path));
  }

  content(bytes: Uint8Array): Promise<void> | undefined {
    const open = this.#open;
    if (open === undefined) return undefined;
    if (open.isLabel) this.#label.push(Buffer.from(bytes));
    open.sum.update(bytes);
    return open.file.write(bytes);
  }

  end(): Promise<void> | undefined {
    const open = this.#open;
    if (open === undefined) return undefined;
    this.#open = undefined;
    const { size, mtime, path } = open.member;
    if (open.file !== NOWHERE) this.counts.files++;
    if (open.file !== NOWHERE && !this.#isIncrement(path)) this.counts.bytes += size;
    this.files.set(`${this.#named}${path}`, { size, crc32c: open.sum.digest(), mtime });
    return open.file.end();
  }

  /** Pages stay where they are. The log is cut as where it is archived, so that it is stored once. */
  #cutOf(path: string): Cut {
    return this.#named === '' && path.startsWith('pg_wal/') ? 'by-content' : 'by-length';
  }

  /** The only links that a server sends are those of its tablespaces. They lead to where the tablespaces lie in the snapshot, so that nothing that is restored reaches into the live server. */
  #link(path: RawName, member: TarMember): void {
    const oid = /^pg_tblspc\/(\d+)$/.exec(member.path)?.[1];
    if (oid === undefined || this.#named !== '') throw new HoldfastError('source-failed', `the server has sent a link where there is none: ${member.path}`);
    this.counts.others++;
    const name = fromText(oid);
    void this.#feed.add(path, { type: 'symlink', name, metadata: metadataOf({ ...member, mode: 0o777 }, LINK), target: `../../${TABLESPACES_FOLDER}/${oid}` });
  }

  #folder(path: RawName, mode: number, member?: TarMember): void {
    if (this.#made.has(path)) return;
    this.#made.add(path);
    this.counts.folders++;
    this.#feed.folder(path, member === undefined ? this.#ownMetadata(FOLDER | mode, 0) : metadataOf(member, FOLDER));
  }

  #ownMetadata(mode: number, size: number): Metadata {
    const ns = this.#now;
    return { mode, ...this.#owner, mtimeNs: ns, atimeNs: ns, ctimeNs: ns, inode: 0n, deviceId: 0n, links: 1, size };
  }
}

function metadataOf({ mode, uid, gid, mtime, size }: TarMember, type: number): Metadata {
  const ns = BigInt(mtime) * 1_000_000_000n;
  return { mode: type | mode, uid, gid, mtimeNs: ns, atimeNs: ns, ctimeNs: ns, inode: 0n, deviceId: 0n, links: 1, size };
}
