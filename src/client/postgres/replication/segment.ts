/** Received log, cut into the segments that the server has it in. What is not stored yet is held in memory. */
import { HoldfastError } from '../../../base/errors.ts';
import { formatLsn, segmentStart, type Lsn } from './lsn.ts';

export interface ReceivedSegment {
  readonly timeline: number;
  readonly start: Lsn;
  /** What has come of it. More may come behind; these bytes do not change. */
  readonly bytes: Buffer;
  readonly whole: boolean;
}

interface Held {
  readonly timeline: number;
  readonly start: Lsn;
  readonly memory: Buffer;
  used: number;
  /** Bytes that are stored. */
  stored: number;
}

/** At first a segment gets so much memory: most of one may never come. */
const FIRST_BYTES = 1 << 20;

export class ReceivedLog {
  readonly #segmentBytes: number;
  #timeline: number;
  #end: Lsn;
  /** What comes next; before `#end` while a segment that is held is sent once more. */
  #next: Lsn;
  /** Oldest first; the last one may still grow. */
  #held: Held[] = [];

  /** `start` is the beginning of a segment. */
  constructor(segmentBytes: number, timeline: number, start: Lsn) {
    this.#segmentBytes = segmentBytes;
    this.#timeline = timeline;
    this.#end = start;
    this.#next = start;
  }

  /** Up to where log has come. */
  get end(): Lsn {
    return this.#end;
  }

  get timeline(): number {
    return this.#timeline;
  }

  /** Memory that is taken. */
  get heldBytes(): number {
    return this.#held.reduce((sum, { memory }) => sum + memory.length, 0);
  }

  /** Bytes that are not stored yet. */
  get waitingBytes(): number {
    return this.#held.reduce((sum, { used, stored }) => sum + used - stored, 0);
  }

  /** Segments that are whole and not stored. */
  get wholeSegments(): number {
    return this.#held.filter(({ used }) => used === this.#segmentBytes).length;
  }

  /** The beginning of the segment that is not whole yet and is stored so far: it will be sent once more, and must be the same. */
  preload(bytes: Buffer): void {
    const memory = Buffer.allocUnsafeSlow(this.#segmentBytes);
    bytes.copy(memory);
    this.#held.push({ timeline: this.#timeline, start: this.#end, memory, used: bytes.length, stored: bytes.length });
    this.#end += BigInt(bytes.length);
  }

  /** Where a stream has to begin so that what comes can be compared with what is held: a segment's beginning. */
  rewind(): Lsn {
    this.#next = segmentStart(this.#end, this.#segmentBytes);
    return this.#next;
  }

  /** Takes log in. Throws `wal-gap` when it does not follow what came before, `foreign-server` when it is not what came before. */
  add(from: Lsn, received: Uint8Array): void {
    if (from !== this.#next) {
      throw new HoldfastError('wal-gap', `the server sent log from ${formatLsn(from)} where ${formatLsn(this.#next)} was to follow`, { transient: true });
    }
    this.#next += BigInt(received.length);
    const known = Math.min(received.length, Math.max(0, Number(this.#end - from)));
    if (known > 0) this.#compare(from, received.subarray(0, known));
    this.#append(received.subarray(known));
  }

  #compare(from: Lsn, bytes: Uint8Array): void {
    const last = this.#held.at(-1);
    if (last === undefined) return;
    const at = Number(from - last.start);
    if (last.memory.subarray(at, at + bytes.length).equals(bytes)) return;
    throw new HoldfastError('foreign-server', `the server's write-ahead log at ${formatLsn(from)} on timeline ${this.#timeline} is not the one that is stored`, {
      hint: 'The server was put back to an earlier state without a new timeline, or is a copy that went its own way. Make a new base backup, then run `holdfast wal follow --new-slot`.',
    });
  }

  #append(bytes: Uint8Array): void {
    for (let from = 0; from < bytes.length; ) {
      const held = this.#open();
      const part = bytes.subarray(from, from + this.#segmentBytes - held.used);
      this.#room(held, held.used + part.length).memory.set(part, held.used);
      const last = this.#held.at(-1);
      if (last) last.used += part.length;
      this.#end += BigInt(part.length);
      from += part.length;
    }
  }

  /** Goes on with the segment of another timeline that begins here. */
  enter(timeline: number, start: Lsn): void {
    this.#timeline = timeline;
    this.#end = start;
    this.#next = start;
  }

  #open(): Held {
    const last = this.#held.at(-1);
    if (last && last.timeline === this.#timeline && last.start + BigInt(last.used) === this.#end && last.used < this.#segmentBytes) return last;
    const opened = { timeline: this.#timeline, start: segmentStart(this.#end, this.#segmentBytes), memory: Buffer.allocUnsafeSlow(Math.min(FIRST_BYTES, this.#segmentBytes)), used: 0, stored: 0 };
    this.#held.push(opened);
    return opened;
  }

  /** Memory for so many bytes of the last segment. What was given out of the smaller one stays as it is. */
  #room(held: Held, bytes: number): Held {
    if (bytes <= held.memory.length) return held;
    let length = held.memory.length;
    while (length < bytes) length = Math.min(length * 4, this.#segmentBytes);
    const memory = Buffer.allocUnsafeSlow(length);
    held.memory.copy(memory, 0, 0, held.used);
    const larger = { ...held, memory };
    this.#held[this.#held.length - 1] = larger;
    return larger;
  }

  /** What is to be stored: every segment of which something is not stored yet. */
  waiting(): readonly ReceivedSegment[] {
    return this.#held.flatMap(({ timeline, start, memory, used, stored }) => (used === stored ? [] : [{ timeline, start, bytes: memory.subarray(0, used), whole: used === this.#segmentBytes }]));
  }

  /** These are stored now, with the bytes that they had. */
  stored(segments: readonly ReceivedSegment[]): void {
    for (const { timeline, start, bytes } of segments) {
      const held = this.#held.find((one) => one.timeline === timeline && one.start === start);
      if (held) held.stored = bytes.length;
    }
    const last = this.#held.at(-1);
    this.#held = this.#held.filter((held) => held.stored < held.used || (held === last && held.used < this.#segmentBytes && held.timeline === this.#timeline));
  }
}
