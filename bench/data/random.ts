/** Numbers and words that are the same in every run: a benchmark compares tools on equal data, today and next year. */
import { createCipheriv, createHash } from 'node:crypto';

/** A small generator (sfc32), seeded with a name. */
export class Random {
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  constructor(seed: string) {
    const hash = createHash('sha256').update(seed).digest();
    this.#a = hash.readInt32LE(0);
    this.#b = hash.readInt32LE(4);
    this.#c = hash.readInt32LE(8);
    for (let i = 0; i < 12; i++) this.uint32();
  }

  uint32(): number {
    const sum = (this.#a + this.#b + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = ((this.#c << 21) | (this.#c >>> 11)) + sum;
    return sum >>> 0;
  }

  /** From 0 up to, but not including, 1. */
  share(): number {
    return this.uint32() / 2 ** 32;
  }

  /** A whole number, both ends included. */
  between(least: number, most: number): number {
    return least + Math.floor(this.share() * (most - least + 1));
  }

  /** Small values are as frequent as large ones, order by order: the way sizes of files lie. */
  size(least: number, most: number): number {
    return Math.round(least * (most / least) ** this.share());
  }

  pick(words: readonly string[]): string {
    return words[Math.floor(this.share() * words.length)] ?? '';
  }

  /** As `pick`, the first ones much more often: the way words lie in a text. */
  pickEarly(words: readonly string[]): string {
    return words[Math.floor(this.share() ** 3 * words.length)] ?? '';
  }

  hex(digits: number): string {
    let text = '';
    while (text.length < digits) text += this.uint32().toString(16).padStart(8, '0');
    return text.slice(0, digits);
  }
}

const SYLLABLES = 'ba be bi bo ca ce co da de di do fa fe fo ga ge go ha he hi ho ka ke ki la le li lo ma me mi mo na ne no pa pe po ra re ri ro sa se si so ta te ti to va ve vi wa we za zo tion ment ness ing er ed ly ent al ure'.split(' ');

/** Some thousand words of one to four syllables. */
export const WORDS: readonly string[] = makeWords();

function makeWords(): readonly string[] {
  const random = new Random('words');
  return Array.from({ length: 6000 }, (_, index) => Array.from({ length: random.between(1, index < 100 ? 2 : 4) }, () => random.pick(SYLLABLES)).join(''));
}

/** Turns of phrase, of two to six words: people and programs repeat themselves. */
export const PHRASES: readonly string[] = makePhrases();

function makePhrases(): readonly string[] {
  const random = new Random('phrases');
  return Array.from({ length: 4000 }, () => Array.from({ length: random.between(2, 6) }, () => random.pickEarly(WORDS)).join(' '));
}

/** Bytes that do not compress. */
export function noise(seed: string, length: number): Buffer {
  const key = createHash('sha256').update(seed).digest();
  return createCipheriv('aes-256-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(length));
}
