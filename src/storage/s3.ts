/**
 * A repository in a bucket, in restic's layout. One object a file; a PUT is all or nothing, so nothing half written is ever seen.
 *
 * Read back: the engine asks `holds` after it has stored a pack. Loading it again would double the traffic, which providers charge
 * for. So the server is tried out once: does it refuse bytes that differ from their Content-MD5? Of a server that does, it is enough
 * that the object still is the one which that PUT made: same ETag, same size. Of any other, packs are loaded again and compared.
 *
 * What `remove` does in buckets that keep versions is written in `s3-versions.ts`.
 */
import type { Clock } from '../base/clock.ts';
import { HoldfastError } from '../base/errors.ts';
import type { Secret } from '../base/secret.ts';
import type { S3Place } from './place.ts';
import { S3Bucket } from './s3-bucket.ts';
import { S3Reader } from './s3-read.ts';
import { S3Session } from './s3-session.ts';
import { S3Versions } from './s3-versions.ts';
import { S3Writer } from './s3-write.ts';
import type { Call, FileKind, ListedStoredFile, Range, Storage, StoredFile } from './storage.ts';

/** What lies in these must be thawed for hours before it can be read; a repository is read all the time. */
const FROZEN: readonly string[] = ['GLACIER', 'DEEP_ARCHIVE'];

export class S3Storage implements Storage {
  readonly location: string;
  /** Requests to a bucket mostly wait. */
  readonly parallel = 8;
  readonly keepDays?: number;
  readonly #session: S3Session;
  readonly #reader: S3Reader;
  readonly #writer: S3Writer;
  readonly #versions: S3Versions;
  readonly #bucket: S3Bucket;

  /** Connects with the first call. Throws `config` for a storage class from which nothing can be read at once. */
  constructor(place: S3Place<Secret>, clock: Clock) {
    if (place.storageClass !== undefined && FROZEN.includes(place.storageClass.toUpperCase())) {
      throw new HoldfastError('config', `what is stored in the class ${place.storageClass} must be thawed for hours before it can be read`, {
        hint: 'A repository needs a class that is read at once: STANDARD, STANDARD_IA, ONEZONE_IA, GLACIER_IR.',
      });
    }
    this.#session = new S3Session(place, clock);
    this.location = this.#session.location;
    this.#reader = new S3Reader(this.#session);
    this.#writer = new S3Writer(this.#session, place, this.#reader, clock);
    this.#versions = new S3Versions(this.#session, place, clock);
    this.#bucket = new S3Bucket(this.#session, place);
    if (place.objectLock) this.keepDays = place.objectLock.days;
  }

  async prepare(): Promise<void> {
    await this.#bucket.prepare();
  }

  async save(file: StoredFile, bytes: Uint8Array, call: Call = {}): Promise<void> {
    await this.#writer.save(file, bytes, call);
  }

  async saveNew(file: StoredFile, bytes: Uint8Array, call: Call = {}): Promise<boolean> {
    return await this.#writer.saveNew(file, bytes, call);
  }

  async holds(file: StoredFile, bytes: Uint8Array, call: Call = {}): Promise<boolean> {
    return await this.#writer.holds(file, bytes, call);
  }

  async load(file: StoredFile, range?: Range, call: Call = {}): Promise<Buffer> {
    return await this.#reader.load(file, range, call);
  }

  list(kind: FileKind, call: Call = {}): AsyncIterable<ListedStoredFile> {
    return this.#reader.list(kind, call);
  }

  async size(file: StoredFile, call: Call = {}): Promise<number | undefined> {
    return (await this.#reader.head(file, call))?.size;
  }

  async remove(file: StoredFile, call: Call = {}): Promise<void> {
    this.#writer.forget(file);
    await this.#versions.remove(file, call);
  }

  async keepUntil(file: StoredFile, until: Date, call: Call = {}): Promise<void> {
    await this.#versions.keepUntil(file, until, call);
  }

  async keptUntil(file: StoredFile, call: Call = {}): Promise<Date | undefined> {
    return await this.#versions.keptUntil(file, call);
  }

  async serverTime(call: Call = {}): Promise<Date> {
    return await this.#bucket.serverTime(call);
  }

  async sweep(before: Date, call: Call = {}): Promise<number> {
    return await this.#bucket.sweep(before, call);
  }

  async close(): Promise<void> {
    await this.#session.close();
  }
}
