/**
 * Reads index files straight from their bytes: a repository of two million blobs has 350 MB of index, which JSON.parse would turn
 * into a gigabyte of objects. Keys may come in any order, unknown ones are passed over, white space may stand where JSON allows it.
 */
import { JsonScan } from './json-scan.ts';
import type { IndexedPack, PackMark } from './index-file.ts';
import { placeFault, type PackedBlob } from './pack-header.ts';

/** A blob of the pack that was begun last. The scanner fills the same object again for the next one. */
export interface ScannedBlob {
  /** The id as 8 words in memory order. */
  readonly id: Uint32Array;
  readonly tree: boolean;
  readonly offset: number;
  readonly length: number;
  /** 0 when it is stored as it is. */
  readonly uncompressedLength: number;
}

export interface IndexSink {
  beginPack(id: string): void;
  blob(blob: ScannedBlob): void;
  endPack(): void;
  mark(mark: PackMark): void;
}

const ALL_FIELDS = 0x1111;

class IndexScan {
  readonly #scan: JsonScan;
  readonly #sink: IndexSink;
  /** How often each of the four needed fields was met, four bits each. */
  #seen = 0;
  readonly #blob = { id: new Uint32Array(8), tree: false, offset: 0, length: 0, uncompressedLength: 0 };

  constructor(json: Buffer, sink: IndexSink) {
    this.#scan = new JsonScan(json);
    this.#sink = sink;
  }

  run(): void {
    const scan = this.#scan;
    let packs = 0;
    scan.object((key) => {
      if (key === 'packs') {
        packs++;
        scan.array(() => this.#pack());
      } else if (key === 'packs_to_delete') scan.array(() => this.#mark());
      else scan.skip();
    });
    scan.end();
    if (packs !== 1) throw new Error(packs === 0 ? 'an index without packs' : 'an index with two lists of packs');
  }

  #pack(): void {
    const scan = this.#scan;
    let id: string | undefined;
    /** Where the blobs stand when they come before the id. */
    let postponed = -1;
    let blobs = 0;
    scan.object((key) => {
      if (key === 'id') {
        if (id !== undefined) throw scan.error('a pack with two ids');
        id = scan.hexId();
        this.#sink.beginPack(id);
      } else if (key === 'blobs' && id !== undefined) {
        blobs++;
        this.#blobs();
      } else if (key === 'blobs') {
        postponed = scan.position;
        scan.skip();
      } else scan.skip();
    });
    if (id === undefined) throw scan.error('a pack without an id');
    if (postponed >= 0) {
      blobs++;
      const after = scan.position;
      scan.position = postponed;
      this.#blobs();
      scan.position = after;
    }
    if (blobs !== 1) throw scan.error('a pack without a list of blobs, or with two');
    this.#sink.endPack();
  }

  #blobs(): void {
    const blob = this.#blob;
    this.#scan.array(() => {
      blob.uncompressedLength = 0;
      this.#seen = 0;
      this.#scan.object(this.#field);
      // restic has always written these four.
      if (this.#seen !== ALL_FIELDS) throw this.#scan.error('a blob without id, type, offset or length, or with two of one');
      const fault = placeFault(blob.tree, blob);
      if (fault !== undefined) throw this.#scan.error(fault);
      this.#sink.blob(blob);
    });
  }

  /** Reads one field of a blob. One function for all of them: making one for each blob would take longer than the reading. */
  readonly #field = (key: string): void => {
    const scan = this.#scan;
    const blob = this.#blob;
    switch (key) {
      case 'id':
        this.#seen += 1;
        scan.hexInto(blob.id);
        break;
      case 'type':
        this.#seen += 1 << 4;
        blob.tree = scan.oneOf('data', 'tree') === 'tree';
        break;
      case 'offset':
        this.#seen += 1 << 8;
        blob.offset = scan.uint32();
        break;
      case 'length':
        this.#seen += 1 << 12;
        blob.length = scan.uint32();
        break;
      case 'uncompressed_length':
        blob.uncompressedLength = scan.uint32();
        break;
      default:
        scan.skip();
    }
  };

  #mark(): void {
    const scan = this.#scan;
    const mark: { id: string; time: string; size: number } = { id: '', time: '', size: 0 };
    scan.object((key) => {
      if (key === 'id') mark.id = scan.hexId();
      else if (key === 'time' && scan.isString()) mark.time = scan.text();
      else if (key === 'size' && scan.isNumber()) mark.size = scan.uint32();
      else scan.skip();
    });
    if (mark.id === '') throw scan.error('a mark without the id of its pack');
    this.#sink.mark(mark);
  }
}

/** Tells the sink of everything in an index file. Throws, saying at which byte, when the document is none; the sink may have heard of a part then. */
export function scanIndex(json: Buffer, sink: IndexSink): void {
  new IndexScan(json, sink).run();
}

/** The packs of an index file as objects, for small ones. */
export function parseIndex(json: string): readonly IndexedPack[] {
  const packs: { id: string; blobs: PackedBlob[] }[] = [];
  scanIndex(Buffer.from(json), {
    beginPack: (id) => packs.push({ id, blobs: [] }),
    blob: ({ id, tree, offset, length, uncompressedLength }) => {
      packs.at(-1)?.blobs.push({ id: Buffer.from(id.buffer, id.byteOffset, 32).toString('hex'), type: tree ? 'tree' : 'data', offset, length, uncompressedLength });
    },
    endPack: () => undefined,
    mark: () => undefined,
  });
  return packs;
}
