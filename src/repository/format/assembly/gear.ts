// asc: -O3 --runtime stub --importMemory --sharedMemory --initialMemory 1 --maximumMemory 65536 --enable threads,simd
//
// The inner loop of the chunker for streams: a gear hash (h = 2h + T[byte], as in FastCDC, Xia et al., USENIX ATC 2016), over memory
// that is shared with the pipeline. A byte has left the 64-bit hash after 64 steps, so nothing need be taken out. Four
// streams, 4 KiB apart, are rolled in one loop, because each step waits for the one before. The caller has put the table T
// of 256 uint64 into memory at 5120, see chunker.ts.

const TABLE: usize = 5120;
const SPAN: i32 = 4096;

@inline
function roll(hash: u64, at: usize, offset: usize): u64 {
  return (hash << 1) + load<u64>(TABLE + (<usize>load<u8>(at + offset) << 3));
}

/** Hash of the 64 bytes before `at`. */
function warm(at: usize): u64 {
  let hash: u64 = 0;
  for (let q = at - 64; q < at; q++) hash = roll(hash, q, 0);
  return hash;
}

/** The first place in the span behind `start` where the hash of the 64 bytes before it has no bit of the mask set; it is known that there is one. */
function find(base: usize, start: usize, mask: u64): i32 {
  let hash = warm(start);
  let q = start;
  do hash = roll(hash, q++, 0); while ((hash & mask) != 0);
  return <i32>(q - base);
}

/**
 * The smallest length p with from <= p <= to where the hash of the 64 bytes before base + p has no bit of the mask set,
 * or 0 when there is none. Needs from >= 64.
 */
export function scan(base: usize, from: i32, to: i32, mask: u64): i32 {
  let at = from;
  let d0 = warm(base + at);
  if ((d0 & mask) == 0) return from;
  while (at + 4 * SPAN <= to) {
    const start = base + at;
    let d1 = warm(start + SPAN), d2 = warm(start + 2 * SPAN), d3 = warm(start + 3 * SPAN);
    let f1: u32 = 0, f2: u32 = 0, f3: u32 = 0;
    let q = start;
    const end = q + SPAN;
    while (q < end) {
      d0 = roll(d0, q, 0);
      d1 = roll(d1, q, SPAN);
      d2 = roll(d2, q, 2 * SPAN);
      d3 = roll(d3, q, 3 * SPAN);
      q++;
      if ((d0 & mask) == 0) return <i32>(q - base);
      f1 |= u32((d1 & mask) == 0);
      f2 |= u32((d2 & mask) == 0);
      f3 |= u32((d3 & mask) == 0);
    }
    if (f1) return find(base, start + SPAN, mask);
    if (f2) return find(base, start + 2 * SPAN, mask);
    if (f3) return find(base, start + 3 * SPAN, mask);
    at += 4 * SPAN;
    d0 = d3;
  }
  let p = base + at;
  const end = base + to;
  while (p < end) {
    d0 = roll(d0, p++, 0);
    if ((d0 & mask) == 0) return <i32>(p - base);
  }
  return 0;
}
