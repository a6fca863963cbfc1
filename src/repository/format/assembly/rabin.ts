// asc: -O3 --runtime stub --importMemory --sharedMemory --initialMemory 1 --maximumMemory 65536 --enable threads,simd
//
// The inner loop of restic's Rabin chunker, over memory that is shared with the pipeline. Four streams, 4 KiB apart, are
// rolled in one loop: each step waits for two table look-ups, and four of them overlap where one would stall.
// The caller has put two tables of 256 uint64 into memory: OUT2 at 1024 (what a byte that leaves the window takes away, moved
// on by one step) and MOD at 3072 (reduction by the polynomial), see rabin-tables.ts.

const OUT2: usize = 1024;
const MOD: usize = 3072;
const SPAN: i32 = 4096;

@inline
function reduce(digest: u64, entering: u64): u64 {
  return ((digest << 8) | entering) ^ load<u64>(MOD + ((<usize>(digest >> 45)) << 3));
}

@inline
function roll(digest: u64, entering: u64, leaving: usize): u64 {
  return reduce(digest, entering) ^ load<u64>(OUT2 + (leaving << 3));
}

/** Digest of the 64 bytes before `at`. */
function warm(at: usize): u64 {
  let digest: u64 = 0;
  for (let q = at - 64; q < at; q++) digest = reduce(digest, <u64>load<u8>(q));
  return digest;
}

/**
 * The smallest length p with from <= p <= to where the digest of the 64 bytes before base + p has no bit of the mask set,
 * or 0 when there is none. Needs from >= 64.
 */
export function scan(base: usize, from: i32, to: i32, mask: u64): i32 {
  let at = from;
  let d0 = warm(base + at);
  if ((d0 & mask) == 0) return from;
  while (at + 4 * SPAN <= to) {
    const start = base + at;
    let d1 = warm(start + SPAN), d2 = warm(start + 2 * SPAN), d3 = warm(start + 3 * SPAN);
    let h1: i32 = 0, h2: i32 = 0, h3: i32 = 0;
    let q = start - 64;
    const end = q + SPAN;
    while (q < end) {
      d0 = roll(d0, <u64>load<u8>(q, 64), <usize>load<u8>(q));
      d1 = roll(d1, <u64>load<u8>(q, 64 + SPAN), <usize>load<u8>(q, SPAN));
      d2 = roll(d2, <u64>load<u8>(q, 64 + 2 * SPAN), <usize>load<u8>(q, 2 * SPAN));
      d3 = roll(d3, <u64>load<u8>(q, 64 + 3 * SPAN), <usize>load<u8>(q, 3 * SPAN));
      q++;
      if ((d0 & mask) == 0) return <i32>(q + 64 - base);
      if ((d1 & mask) == 0) { if (h1 == 0) h1 = <i32>(q + 64 + SPAN - base); }
      if ((d2 & mask) == 0) { if (h2 == 0) h2 = <i32>(q + 64 + 2 * SPAN - base); }
      if ((d3 & mask) == 0) { if (h3 == 0) h3 = <i32>(q + 64 + 3 * SPAN - base); }
    }
    if (h1) return h1;
    if (h2) return h2;
    if (h3) return h3;
    at += 4 * SPAN;
    d0 = d3;
  }
  let p = base + at;
  const end = base + to;
  while (p < end) {
    d0 = roll(d0, <u64>load<u8>(p), <usize>load<u8>(p - 64));
    p++;
    if ((d0 & mask) == 0) return <i32>(p - base);
  }
  return 0;
}
