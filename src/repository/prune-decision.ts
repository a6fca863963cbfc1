/** Which packs stay, which are moved together and which go: facts in, decisions with reasons out. Pure. */

/** How much that nobody needs may stay, so that little has to be moved: a share of what is needed, or bytes. */
export type MaxUnused = { readonly kind: 'percent'; readonly percent: number } | { readonly kind: 'bytes'; readonly bytes: number } | { readonly kind: 'unlimited' };

export interface PruneLimits {
  readonly maxUnused: MaxUnused;
  /** Bytes that are moved at most; undefined for as many as it takes. */
  readonly maxRepack: number | undefined;
}

/** What is known of one pack. Bytes of sealed blobs. */
export interface PackFacts {
  readonly id: string;
  /** Of the stored file; undefined when there is none. */
  readonly size: number | undefined;
  readonly usedBytes: number;
  readonly usedBlobs: number;
  /** Needed by no snapshot. */
  readonly unusedBytes: number;
  /** Needed, but the same blob is kept in another pack. */
  readonly duplicateBytes: number;
  readonly trees: boolean;
  readonly data: boolean;
}

export interface PackDecision extends PackFacts {
  /** `forget`: the index speaks of a pack that is not there, and nobody needs it. */
  readonly action: 'keep' | 'repack' | 'remove' | 'forget';
  readonly reason: string;
}

/** A pack below a quarter of the usual size is small; as soon as there are so many, they are put together. */
const SMALL_BYTES = 4 << 20;
const SMALL_PACKS = 20;

export function decidePacks(packs: readonly PackFacts[], limits: PruneLimits): readonly PackDecision[] {
  const decided = packs.map((pack): PackDecision => ({ ...pack, ...first(pack) }));
  return limitRepack(mergeSmall(chooseRepack(decided, limits.maxUnused)), limits.maxRepack);
}

function first({ size, usedBlobs, unusedBytes, duplicateBytes, trees, data }: PackFacts): Pick<PackDecision, 'action' | 'reason'> {
  if (usedBlobs === 0) return size === undefined ? { action: 'forget', reason: 'is not there, and nothing in it is needed' } : { action: 'remove', reason: duplicateBytes > 0 && unusedBytes === 0 ? 'all of it is in other packs, too' : 'nothing in it is needed' };
  if (trees && data) return { action: 'repack', reason: 'mixes trees and data' };
  return { action: 'keep', reason: unusedBytes + duplicateBytes === 0 ? 'all of it is needed' : 'little in it is not needed' };
}

const waste = (pack: PackFacts): number => pack.unusedBytes + pack.duplicateBytes;
const share = (pack: PackFacts): number => waste(pack) / (waste(pack) + pack.usedBytes);

/** Moves out of the packs with the most waste, trees first since they are read by everyone, until little enough is left. */
function chooseRepack(packs: readonly PackDecision[], maxUnused: MaxUnused): readonly PackDecision[] {
  const used = packs.reduce((sum, pack) => sum + pack.usedBytes, 0);
  const allowed = allowedWaste(maxUnused, used);
  const kept = packs.filter((pack) => pack.action === 'keep' && waste(pack) > 0);
  let left = kept.reduce((sum, pack) => sum + waste(pack), 0);
  const repack = new Set<PackDecision>();
  for (const pack of kept.toSorted((a, b) => Number(b.trees) - Number(a.trees) || share(b) - share(a) || (a.id < b.id ? -1 : 1))) {
    if (left <= allowed) break;
    repack.add(pack);
    left -= waste(pack);
  }
  return packs.map((pack) => (repack.has(pack) ? { ...pack, action: 'repack', reason: `${percent(share(pack))} of it is not needed` } : pack));
}

/** restic's meaning of a percentage: of what there will be, needed and not. */
function allowedWaste(max: MaxUnused, used: number): number {
  if (max.kind === 'unlimited') return Number.POSITIVE_INFINITY;
  if (max.kind === 'bytes') return max.bytes;
  return max.percent >= 100 ? Number.POSITIVE_INFINITY : (max.percent / (100 - max.percent)) * used;
}

function percent(value: number): string {
  return value > 0 && value < 0.01 ? 'under 1 %' : `${Math.round(value * 100)} %`;
}

function mergeSmall(packs: readonly PackDecision[]): readonly PackDecision[] {
  const isSmall = (pack: PackDecision): boolean => (pack.action === 'keep' || pack.action === 'repack') && pack.size !== undefined && pack.size < SMALL_BYTES;
  const small = { trees: packs.filter((pack) => isSmall(pack) && pack.trees), data: packs.filter((pack) => isSmall(pack) && pack.data) };
  return packs.map((pack) => {
    const fellows = pack.trees ? small.trees : small.data;
    if (pack.action !== 'keep' || !isSmall(pack) || fellows.length < SMALL_PACKS) return pack;
    return { ...pack, action: 'repack', reason: `is one of ${fellows.length} small packs` };
  });
}

/** In the order of what moving them is worth, until the limit; the others wait for the next time. */
function limitRepack(packs: readonly PackDecision[], maxRepack: number | undefined): readonly PackDecision[] {
  if (maxRepack === undefined) return packs;
  let moved = 0;
  const chosen = new Set<PackDecision>();
  for (const pack of packs.filter(({ action }) => action === 'repack').toSorted((a, b) => Number(b.trees) - Number(a.trees) || share(b) - share(a))) {
    if (moved + pack.usedBytes > maxRepack) continue;
    moved += pack.usedBytes;
    chosen.add(pack);
  }
  return packs.map((pack) => (pack.action === 'repack' && !chosen.has(pack) ? { ...pack, action: 'keep', reason: `${pack.reason}, but more may not be moved at once` } : pack));
}
