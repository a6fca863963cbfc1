// asc: -O3 --runtime stub --enable simd --initialMemory 21
/**
 * Takes the CopyData frames off a COPY text stream, counts the rows and sums up XXH64(row without its newline, seed 0) to
 * 128 bits. In one pass over memory that the socket reads into, because this loop sees every byte of a database.
 *
 * Memory: IN at 128 KiB (512 KiB, written by the socket; up to 64 KiB before it for what was left over), OUT at 640 KiB.
 */
const IN: usize = 0x20000;
const OUT: usize = 0xa0000;
const P1: u64 = 0x9e3779b185ebca87;
const P2: u64 = 0xc2b2ae3d27d4eb4f;
const P3: u64 = 0x165667b19e3779f9;
const P4: u64 = 0x85ebca77c2b2ae63;
const P5: u64 = 0x27d4eb2f165667c5;
const NEWLINE: u8 = 10;

let needed: i32 = 0; // bytes of the current frame's payload that are still to come
let used: i32 = 0;
let rowCount: u64 = 0;
let low: u64 = 0;
let high: u64 = 0;
// The row that goes on from the chunk before.
let open: bool = false;
let v1: u64 = 0;
let v2: u64 = 0;
let v3: u64 = 0;
let v4: u64 = 0;
let openLength: u64 = 0;
let held: i32 = 0; // bytes in HOLD, fewer than 32
const HOLD: usize = 0x8000;

export function inputAt(): usize { return IN; }
export function outputAt(): usize { return OUT; }
export function consumed(): i32 { return used; }
export function rows(): u64 { return rowCount; }
export function sumLow(): u64 { return low; }
export function sumHigh(): u64 { return high; }
/** Is a row begun that no newline has ended? */
export function unfinished(): bool { return open || needed > 0; }

export function begin(): void {
  needed = 0;
  used = 0;
  rowCount = 0;
  low = 0;
  high = 0;
  open = false;
}

/** Takes frames from `at`; stops before the first that is not CopyData, or not there with its five bytes of head. Gives the length at OUT. */
export function strip(at: usize, length: i32): i32 {
  let from = at;
  const end = at + length;
  let to = OUT;
  if (needed > 0) {
    const n = min<i32>(needed, length);
    copy(to, from, n);
    hashRows(to, n);
    to += n;
    from += n;
    needed -= n;
  }
  while (from + 5 <= end && load<u8>(from) == 0x64) {
    const payload = <i32>bswap<u32>(load<u32>(from, 1)) - 4;
    from += 5;
    const n = min<i32>(payload, <i32>(end - from));
    const newlines = copy(to, from, n);
    if (n == payload && !open && newlines == 1 && load<u8>(to + n - 1) == NEWLINE) add(hash(to, n - 1));
    else hashRows(to, n);
    to += n;
    from += n;
    needed = payload - n;
    if (needed > 0) break;
  }
  used = <i32>(from - at);
  return <i32>(to - OUT);
}

/** The same for text without frames. */
export function hashRows(at: usize, length: i32): void {
  let from = at;
  const end = at + length;
  while (from < end) {
    const stop = find(from, end);
    const n = <i32>(stop - from);
    if (stop == end) {
      if (!open) start();
      update(from, n);
      return;
    }
    if (open) {
      update(from, n);
      add(finish());
    } else add(hash(from, n));
    from = stop + 1;
  }
}

@inline
function add(value: u64): void {
  rowCount++;
  low += value;
  if (low < value) high++;
}

/** Copies whole blocks of 16, beyond the end too, where nothing is yet; counts the newlines within. */
@inline
function copy(to: usize, from: usize, length: i32): i32 {
  const newline = i8x16.splat(NEWLINE);
  let count = 0;
  let i = 0;
  for (; i + 16 <= length; i += 16) {
    const block = v128.load(from + i);
    v128.store(to + i, block);
    count += popcnt<i32>(i8x16.bitmask(i8x16.eq(block, newline)));
  }
  if (i < length) {
    const block = v128.load(from + i);
    v128.store(to + i, block);
    count += popcnt<i32>(i8x16.bitmask(i8x16.eq(block, newline)) & ((1 << (length - i)) - 1));
  }
  return count;
}

@inline
function find(from: usize, end: usize): usize {
  const newline = i8x16.splat(NEWLINE);
  let at = from;
  while (at + 16 <= end) {
    const mask = i8x16.bitmask(i8x16.eq(v128.load(at), newline));
    if (mask != 0) return at + ctz<i32>(mask);
    at += 16;
  }
  while (at < end && load<u8>(at) != NEWLINE) at++;
  return at;
}

@inline
function round(accumulator: u64, input: u64): u64 {
  return rotl<u64>(accumulator + input * P2, 31) * P1;
}

@inline
function merge(accumulator: u64, value: u64): u64 {
  return (accumulator ^ round(0, value)) * P1 + P4;
}

function hash(at: usize, length: i32): u64 {
  let from = at;
  const end = at + length;
  let h: u64;
  if (length >= 32) {
    let a: u64 = P1 + P2;
    let b: u64 = P2;
    let c: u64 = 0;
    let d: u64 = 0 - P1;
    const limit = end - 32;
    do {
      a = round(a, load<u64>(from));
      b = round(b, load<u64>(from, 8));
      c = round(c, load<u64>(from, 16));
      d = round(d, load<u64>(from, 24));
      from += 32;
    } while (from <= limit);
    h = rotl<u64>(a, 1) + rotl<u64>(b, 7) + rotl<u64>(c, 12) + rotl<u64>(d, 18);
    h = merge(merge(merge(merge(h, a), b), c), d);
  } else h = P5;
  return last(h + <u64>length, from, end);
}

@inline
function last(start: u64, at: usize, end: usize): u64 {
  let h = start;
  let from = at;
  while (from + 8 <= end) {
    h = rotl<u64>(h ^ round(0, load<u64>(from)), 27) * P1 + P4;
    from += 8;
  }
  if (from + 4 <= end) {
    h = rotl<u64>(h ^ (<u64>load<u32>(from) * P1), 23) * P2 + P3;
    from += 4;
  }
  while (from < end) {
    h = rotl<u64>(h ^ (<u64>load<u8>(from) * P5), 11) * P1;
    from++;
  }
  h = (h ^ (h >> 33)) * P2;
  h = (h ^ (h >> 29)) * P3;
  return h ^ (h >> 32);
}

function start(): void {
  open = true;
  v1 = P1 + P2;
  v2 = P2;
  v3 = 0;
  v4 = 0 - P1;
  openLength = 0;
  held = 0;
}

@inline
function block(at: usize): void {
  v1 = round(v1, load<u64>(at));
  v2 = round(v2, load<u64>(at, 8));
  v3 = round(v3, load<u64>(at, 16));
  v4 = round(v4, load<u64>(at, 24));
}

function update(at: usize, length: i32): void {
  let from = at;
  const end = at + length;
  openLength += <u64>length;
  if (held > 0) {
    while (held < 32 && from < end) store<u8>(HOLD + held++, load<u8>(from++));
    if (held < 32) return;
    block(HOLD);
    held = 0;
  }
  while (from + 32 <= end) {
    block(from);
    from += 32;
  }
  while (from < end) store<u8>(HOLD + held++, load<u8>(from++));
}

function finish(): u64 {
  let h: u64;
  if (openLength >= 32) {
    h = rotl<u64>(v1, 1) + rotl<u64>(v2, 7) + rotl<u64>(v3, 12) + rotl<u64>(v4, 18);
    h = merge(merge(merge(merge(h, v1), v2), v3), v4);
  } else h = P5;
  open = false;
  return last(h + openLength, HOLD, HOLD + held);
}
