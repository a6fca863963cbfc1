/** Walks JSON text in bytes without making objects of it. Every method begins at `position` and leaves it behind what it has read. */

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;
const OPEN_ARRAY = 0x5b;
const CLOSE_ARRAY = 0x5d;
const ZERO = 0x30;
const MAX_DEPTH = 64;
const LITERAL = /^(?:true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)$/;

const HEX = new Uint8Array(256).fill(255);
for (let i = 0; i < 16; i++) {
  HEX[i.toString(16).charCodeAt(0)] = i;
  HEX[i.toString(16).toUpperCase().charCodeAt(0)] = i;
}

export class JsonScan {
  position = 0;
  readonly #bytes: Buffer;
  #depth = 0;
  /** Keys that were met before, by length and first and last byte: most keys are one of a dozen, and need no new string. */
  readonly #keys = new Map<number, string>();
  readonly #words = new Uint32Array(8);

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  error(what: string): Error {
    return new Error(`${what}, at byte ${this.position}`);
  }

  /** An object; `field` is called behind each colon and must read the value. */
  object(field: (key: string) => void): void {
    this.#open(OPEN_OBJECT, 'an object');
    if (!this.#closes(CLOSE_OBJECT)) {
      do {
        this.#space();
        const key = this.#key();
        this.#space();
        if (this.#bytes[this.position] !== COLON) throw this.error('no colon where one was expected');
        this.position++;
        this.#space();
        field(key);
      } while (this.#another(CLOSE_OBJECT));
    }
    this.#depth--;
  }

  /** An array, or null, which Go writes for an empty one; `element` must read one value. */
  array(element: () => void): void {
    if (this.#bytes[this.position] === 0x6e) return this.skip();
    this.#open(OPEN_ARRAY, 'an array');
    if (!this.#closes(CLOSE_ARRAY)) {
      do {
        this.#space();
        element();
      } while (this.#another(CLOSE_ARRAY));
    }
    this.#depth--;
  }

  /** Nothing but white space may be left. */
  end(): void {
    this.#space();
    if (this.position !== this.#bytes.length) throw this.error('something behind the end of the document');
  }

  isString(): boolean {
    return this.#bytes[this.position] === QUOTE;
  }

  isNumber(): boolean {
    return HEX[this.#bytes[this.position] ?? 0] !== 255;
  }

  text(): string {
    const start = this.position;
    const escaped = this.#string();
    const raw = this.#bytes.toString('utf8', start, this.position);
    if (!escaped) return raw.slice(1, -1);
    const text: unknown = JSON.parse(raw);
    return String(text);
  }

  /** One of these texts of plain characters. */
  oneOf<T extends string>(...texts: readonly T[]): T {
    for (const text of texts) {
      const end = this.position + 1 + text.length;
      if (!this.isString() || this.#bytes[end] !== QUOTE || !this.#equals(this.position + 1, text)) continue;
      this.position = end + 1;
      return text;
    }
    // It may be written with escapes.
    const text = this.text();
    const found = texts.find((one) => one === text);
    if (found === undefined) throw this.error(`'${text.slice(0, 20)}' where only ${texts.join(' or ')} may stand`);
    return found;
  }

  uint32(): number {
    const bytes = this.#bytes;
    const start = this.position;
    let value = 0;
    for (;;) {
      const digit = (bytes[this.position] ?? 0) - ZERO;
      if (digit < 0 || digit > 9) break;
      value = value * 10 + digit;
      this.position++;
      if (value > 0xffffffff) throw this.error('a number beyond 32 bits');
    }
    const next = bytes[this.position];
    const leading = bytes[start] === ZERO && this.position - start > 1;
    if (this.position === start || leading || next === 0x2e || next === 0x65 || next === 0x45) throw this.error('no whole number where one was expected');
    return value;
  }

  /** 64 hex digits as 8 words in memory order. */
  hexInto(words: Uint32Array): void {
    const bytes = this.#bytes;
    let at = this.position;
    if (bytes[at++] !== QUOTE) throw this.error('no id where one was expected');
    for (let word = 0; word < 8; word++) {
      let value = 0;
      for (let shift = 0; shift < 32; shift += 8) {
        const high = HEX[bytes[at] ?? 0] ?? 255;
        const low = HEX[bytes[at + 1] ?? 0] ?? 255;
        if ((high | low) > 15) throw this.error('an id that is not 64 hex digits');
        value |= ((high << 4) | low) << shift;
        at += 2;
      }
      words[word] = value;
    }
    if (bytes[at++] !== QUOTE) throw this.error('an id that is not 64 hex digits');
    this.position = at;
  }

  hexId(): string {
    const start = this.position + 1;
    this.hexInto(this.#words);
    return this.#bytes.toString('latin1', start, start + 64).toLowerCase();
  }

  /** Passes over any value, and gives its bytes. */
  raw(): Buffer {
    const start = this.position;
    this.skip();
    return this.#bytes.subarray(start, this.position);
  }

  /** Passes over any value. */
  skip(): void {
    const first = this.#bytes[this.position];
    if (first === OPEN_OBJECT) this.object(() => this.skip());
    else if (first === OPEN_ARRAY) this.array(() => this.skip());
    else if (first === QUOTE) this.text();
    else this.#literal();
  }

  #literal(): void {
    const start = this.position;
    while (isLiteralByte(this.#bytes[this.position] ?? 0)) this.position++;
    const text = this.#bytes.toString('latin1', start, Math.min(this.position, start + 400));
    if (!LITERAL.test(text)) throw this.error('no value where one was expected');
  }

  #open(bracket: number, what: string): void {
    if (this.position === 0) this.#space();
    if (this.#bytes[this.position] !== bracket) throw this.error(`not ${what} where one was expected`);
    if (++this.#depth > MAX_DEPTH) throw this.error(`nested more than ${MAX_DEPTH} deep`);
    this.position++;
  }

  #closes(bracket: number): boolean {
    this.#space();
    if (this.#bytes[this.position] !== bracket) return false;
    this.position++;
    return true;
  }

  #another(bracket: number): boolean {
    if (this.#closes(bracket)) return false;
    if (this.#bytes[this.position] !== COMMA) throw this.error('neither a comma nor the end where one was expected');
    this.position++;
    return true;
  }

  #space(): void {
    const bytes = this.#bytes;
    for (;;) {
      const byte = bytes[this.position];
      if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) return;
      this.position++;
    }
  }

  #key(): string {
    const start = this.position;
    if (this.#string()) {
      this.position = start;
      return this.text();
    }
    const length = this.position - start - 2;
    const bytes = this.#bytes;
    if (length === 0 || length > 32) return bytes.toString('utf8', start + 1, this.position - 1);
    const hash = (length << 16) | ((bytes[start + 1] ?? 0) << 8) | (bytes[start + length] ?? 0);
    const known = this.#keys.get(hash);
    if (known !== undefined && this.#equals(start + 1, known)) return known;
    const key = bytes.toString('utf8', start + 1, this.position - 1);
    if (this.#keys.size < 64) this.#keys.set(hash, key);
    return key;
  }

  #equals(at: number, ascii: string): boolean {
    for (let i = 0; i < ascii.length; i++) if (this.#bytes[at + i] !== ascii.charCodeAt(i)) return false;
    return true;
  }

  /** Passes over a string; answers whether it has escapes. */
  #string(): boolean {
    const bytes = this.#bytes;
    if (bytes[this.position] !== QUOTE) throw this.error('no string where one was expected');
    let escaped = false;
    for (let at = this.position + 1; ; at++) {
      const byte = bytes[at];
      if (byte === QUOTE) {
        this.position = at + 1;
        return escaped;
      }
      if (byte === undefined || byte < 0x20) throw this.error('a string that does not end');
      if (byte === BACKSLASH) {
        escaped = true;
        at++;
      }
    }
  }
}

function isLiteralByte(byte: number): boolean {
  return (byte >= 0x61 && byte <= 0x7a) || (byte >= ZERO && byte <= 0x39) || byte === 0x2d || byte === 0x2b || byte === 0x2e || byte === 0x45;
}
