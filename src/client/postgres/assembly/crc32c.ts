// asc: -O3 --runtime stub --initialMemory 9
/**
 * CRC-32C (Castagnoli, reflected 0x82f63b78), sixteen bytes a step, because the checksums of every file of a server are computed on the
 * way. Memory: 16 tables of 256 words at 0, IN at 64 KiB (512 KiB).
 */
const IN: usize = 0x10000;

export function inputAt(): usize { return IN; }

export function install(): void {
  for (let i: u32 = 0; i < 256; i++) {
    let crc = i;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
    store<u32>(i << 2, crc);
  }
  for (let i: u32 = 0; i < 256; i++) {
    let crc = load<u32>(i << 2);
    for (let table: u32 = 1; table < 16; table++) {
      crc = (crc >>> 8) ^ load<u32>((crc & 255) << 2);
      store<u32>((table << 10) + (i << 2), crc);
    }
  }
}

@inline
function at(table: u32, byte: u32): u32 { return load<u32>((table << 10) + ((byte & 255) << 2)); }

@inline
function word(table: u32, value: u32): u32 {
  return at(table + 3, value) ^ at(table + 2, value >>> 8) ^ at(table + 1, value >>> 16) ^ at(table, value >>> 24);
}

/** Goes on from `state` (all ones at the beginning) over the first `length` bytes of IN. */
export function update(state: u32, length: i32): u32 {
  let crc = state;
  let from = IN;
  const end = IN + length;
  while (from + 16 <= end) {
    crc = word(12, crc ^ load<u32>(from)) ^ word(8, load<u32>(from, 4)) ^ word(4, load<u32>(from, 8)) ^ word(0, load<u32>(from, 12));
    from += 16;
  }
  while (from < end) {
    crc = (crc >>> 8) ^ at(0, crc ^ load<u8>(from));
    from++;
  }
  return crc;
}
