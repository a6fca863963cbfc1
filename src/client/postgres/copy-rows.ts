/** The frame stripper and row fingerprint of `assembly/copy-rows.ts`, with its memory. One for each connection that copies. */
import { wasmBytes } from './copy-rows-wasm.ts';

/** Order of rows does not matter: `sum` is the exact sum of XXH64(row without its newline, seed 0) over all rows, 32 hex digits. */
export interface StreamFingerprint {
  readonly rows: number;
  readonly sum: string;
}

/** How many bytes go into `input` at once. */
export const INPUT_BYTES = 512 * 1024;

type Numeric = (...values: number[]) => number;

let compiled: WebAssembly.Module | undefined;

export class CopyRows {
  /** Where the socket reads to. */
  readonly input: Uint8Array;
  readonly #memory: Uint8Array;
  readonly #inputAt: number;
  readonly #outputAt: number;
  readonly #call: (name: string, ...values: number[]) => number;
  readonly #big: (name: string) => bigint;

  constructor() {
    compiled ??= new WebAssembly.Module(wasmBytes);
    const { exports } = new WebAssembly.Instance(compiled, { env: { abort: () => undefined } });
    // The exports of a module that we compiled: its functions are what assembly/copy-rows.ts says.
    this.#call = (name, ...values) => (exports[name] as Numeric)(...values);
    this.#big = (name) => BigInt.asUintN(64, (exports[name] as () => bigint)());
    this.#memory = new Uint8Array((exports['memory'] as WebAssembly.Memory).buffer);
    this.#inputAt = this.#call('inputAt');
    this.#outputAt = this.#call('outputAt');
    this.input = this.#memory.subarray(this.#inputAt, this.#inputAt + INPUT_BYTES);
  }

  begin(): void {
    this.#call('begin');
  }

  /**
   * Takes the CopyData frames among the first `length` bytes of `input`, preceded by `carry` (at most 64 KiB).
   * `payload` is valid until the next call; `consumed` counts from the first byte of the carry.
   */
  strip(length: number, carry: Uint8Array): { payload: Uint8Array; consumed: number } {
    const at = this.#inputAt - carry.length;
    this.#memory.set(carry, at);
    const bytes = this.#call('strip', at, length + carry.length);
    return { payload: this.#memory.subarray(this.#outputAt, this.#outputAt + bytes), consumed: this.#call('consumed') };
  }

  /** Counts COPY text that has no frames. */
  text(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; at += INPUT_BYTES) {
      const piece = bytes.subarray(at, at + INPUT_BYTES);
      this.input.set(piece);
      this.#call('hashRows', this.#inputAt, piece.length);
    }
  }

  /** What was counted since `begin`; undefined while a row is not ended. */
  fingerprint(): StreamFingerprint | undefined {
    if (this.#call('unfinished') !== 0) return undefined;
    const hex = (name: string): string => this.#big(name).toString(16).padStart(16, '0');
    return { rows: Number(this.#big('rows')), sum: hex('sumHigh') + hex('sumLow') };
  }
}
