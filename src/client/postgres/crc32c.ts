/** CRC-32C as servers and storages use it (RFC 3720, appendix B.4). */
import { wasmBytes } from './crc32c-wasm.ts';

const INPUT_BYTES = 512 * 1024;

interface Core {
  readonly input: Uint8Array;
  readonly update: (state: number, length: number) => number;
}

let core: Core | undefined;

function open(): Core {
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(wasmBytes), { env: { abort: () => undefined } });
  // The exports of a module that we compiled: its functions are what assembly/crc32c.ts says.
  const { memory, inputAt, install, update } = exports as { memory: WebAssembly.Memory; inputAt: () => number; install: () => void; update: Core['update'] };
  install();
  return { input: new Uint8Array(memory.buffer, inputAt(), INPUT_BYTES), update };
}

/** Over bytes that come in pieces. */
export class Crc32c {
  #state = -1;

  update(bytes: Uint8Array): void {
    core ??= open();
    for (let at = 0; at < bytes.length; at += INPUT_BYTES) {
      const piece = bytes.subarray(at, at + INPUT_BYTES);
      core.input.set(piece);
      this.#state = core.update(this.#state, piece.length);
    }
  }

  /** Eight hex digits, the first byte first in the order in which a server writes it: least significant first. */
  digest(): string {
    const bytes = Buffer.alloc(4);
    bytes.writeInt32LE(~this.#state);
    return bytes.toString('hex');
  }
}
