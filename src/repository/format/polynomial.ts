/**
 * Polynomials over GF(2), a bit a coefficient, as restic's chunker uses them (github.com/restic/chunker, polynomials.go).
 * Only used when a repository is made or opened, so BigInt is fast enough.
 */
import { randomBytes } from 'node:crypto';

/** restic's polynomials have this degree: a digest of 53 bits. */
export const POLYNOMIAL_DEGREE = 53;

export function degree(p: bigint): number {
  return p === 0n ? -1 : p.toString(2).length - 1;
}

export function remainder(x: bigint, p: bigint): bigint {
  const top = degree(p);
  let rest = x;
  for (let d = degree(rest); d >= top; d = degree(rest)) rest ^= p << BigInt(d - top);
  return rest;
}

function multiplyModulo(a: bigint, b: bigint, p: bigint): bigint {
  const top = BigInt(degree(p));
  let product = 0n;
  let factor = a;
  for (let rest = b; rest > 0n; rest >>= 1n) {
    if (rest & 1n) product ^= factor;
    factor <<= 1n;
    if ((factor >> top) & 1n) factor ^= p;
  }
  return product;
}

function greatestCommonDivisor(a: bigint, b: bigint): bigint {
  let [x, y] = [a, b];
  while (y !== 0n) [x, y] = [y, remainder(x, y)];
  return x;
}

/** Ben-Or's test: x^(2^i) - x shares no factor with p for i up to half the degree. */
export function isIrreducible(p: bigint): boolean {
  let power = 2n;
  for (let i = 1; i <= Math.floor(degree(p) / 2); i++) {
    power = multiplyModulo(power, power, p);
    if (greatestCommonDivisor(p, power ^ 2n) !== 1n) return false;
  }
  return true;
}

/** A random irreducible polynomial of degree 53, so that chunk boundaries tell nothing to who does not hold the key. */
export function randomPolynomial(): bigint {
  const top = BigInt(POLYNOMIAL_DEGREE);
  for (;;) {
    const candidate = BigInt.asUintN(POLYNOMIAL_DEGREE, randomBytes(8).readBigUInt64LE()) | (1n << top) | 1n;
    if (isIrreducible(candidate)) return candidate;
  }
}

export interface RabinTables {
  /** Takes a byte out of the window after 64 more bytes: Rabin(b, 0 × 63). */
  readonly out: readonly bigint[];
  /** Reduction of the eight bits that overflow: ((b·x^53) mod p) | b << 53. */
  readonly mod: readonly bigint[];
  /** `out`, moved on by one step, so that one XOR does both. */
  readonly out2: readonly bigint[];
}

const WINDOW = 64;

/** The look-up tables of the rolling hash (chunker.go, fillTables). */
export function rabinTables(p: bigint): RabinTables {
  const append = (hash: bigint, byte: number): bigint => remainder((hash << 8n) | BigInt(byte), p);
  const top = BigInt(degree(p));
  const out: bigint[] = [];
  const mod: bigint[] = [];
  for (let b = 0; b < 256; b++) {
    let hash = append(0n, b);
    for (let i = 0; i < WINDOW - 1; i++) hash = append(hash, 0);
    out.push(hash);
    mod.push(remainder(BigInt(b) << top, p) | (BigInt(b) << top));
  }
  const out2 = out.map((hash) => BigInt.asUintN(64, hash << 8n) ^ (mod[Number(hash >> (top - 8n))] ?? 0n));
  return { out, mod, out2 };
}
