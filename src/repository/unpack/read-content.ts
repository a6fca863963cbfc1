/** Reads the content of a file as a stream: threads open groups of blobs into a few shared buffers, ahead of the reader. */
import { MAX_CHUNK } from '../format/chunker.ts';
import type { PackedBlob } from '../format/pack-header.ts';
import { loadRange } from './load-range.ts';
import { blobBytes, locate } from './pack-plan.ts';
import type { UnpackSource } from './unpack-source.ts';

/** Groups that are opened while the reader has one in hand. */
const AHEAD = 2;
const BUFFER_BYTES = MAX_CHUNK;

interface Group {
  readonly pack: string;
  readonly blobs: readonly PackedBlob[];
}

/** Pieces in order; each is valid until the next one is asked for. `subject` names the file in errors. */
export async function* readContent(source: UnpackSource, ids: readonly string[], subject: string): AsyncGenerator<Uint8Array> {
  const free: SharedArrayBuffer[] = [];
  const opening: { readonly into: SharedArrayBuffer; readonly bytes: Promise<number> }[] = [];
  for (let next = 0; next < ids.length || opening.length > 0; ) {
    while (next < ids.length && opening.length < AHEAD) {
      const group = groupFrom(source, ids, next, subject);
      next += group.blobs.length;
      const into = bufferFor(group, free);
      const bytes = openGroup(source, group, into);
      // A later group may fail while an earlier one is still being waited for.
      bytes.catch(() => undefined);
      opening.push({ into, bytes });
    }
    const first = opening.shift();
    if (!first) return;
    yield new Uint8Array(first.into, 0, await first.bytes);
    if (first.into.byteLength === BUFFER_BYTES) free.push(first.into);
  }
}

/** Programs that cut otherwise may have made larger blobs than ours; such a one gets memory of its own. */
function bufferFor({ blobs }: Group, free: SharedArrayBuffer[]): SharedArrayBuffer {
  const needed = blobs.reduce((sum, blob) => sum + blobBytes(blob), 0);
  return needed > BUFFER_BYTES ? new SharedArrayBuffer(needed) : (free.pop() ?? new SharedArrayBuffer(BUFFER_BYTES));
}

/** As many blobs, from number `first`, as lie one behind another in one pack and fit into a buffer. */
function groupFrom({ index }: UnpackSource, ids: readonly string[], first: number, subject: string): Group {
  const { pack, blob } = locate(index, ids[first] ?? '', subject);
  const blobs = [blob];
  let bytes = blobBytes(blob);
  for (const id of ids.slice(first + 1, first + 512)) {
    const next = locate(index, id, subject);
    const before = blobs.at(-1);
    bytes += blobBytes(next.blob);
    if (bytes > BUFFER_BYTES || next.pack !== pack || !before || next.blob.offset !== before.offset + before.length) break;
    blobs.push(next.blob);
  }
  return { pack, blobs };
}

async function openGroup({ pool, core }: UnpackSource, { pack, blobs }: Group, into: SharedArrayBuffer): Promise<number> {
  const offset = blobs[0]?.offset ?? 0;
  const last = blobs.at(-1);
  const length = last ? last.offset + last.length - offset : 0;
  const done = await pool.run(async () => ({ kind: 'open', range: await loadRange(core, { pack, offset, length }), blobs, into }));
  return done.bytes;
}
