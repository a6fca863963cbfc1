/** What a program of WASM writes into a file, byte by byte, whatever the package around it makes of the file. */

interface Memory {
  readonly buffer: ArrayBuffer;
}

interface Imports {
  readonly env?: { readonly memory?: Memory };
  readonly wasi_snapshot_preview1: { fd_write: (fd: number, vectors: number, count: number, written: number) => number };
}

interface Loaded {
  readonly instance: { readonly exports: { readonly memory?: Memory } };
}

/** The one function of the platform that programs are loaded with. */
interface Loader {
  instantiate(bytes: Uint8Array, imports: Imports): Promise<Loaded>;
}

/**
 * Watches the programs that are loaded from now on in this thread. The function that is returned gives all that was written to the last
 * file that begins with `magic`, in the order of the writes; undefined when there was none.
 */
export function keepWrites(magic: string): () => Uint8Array | undefined {
  let watched: number | undefined;
  const kept: Buffer[] = [];
  const keep = (memory: Memory, fd: number, vectors: number, count: number): void => {
    const view = new DataView(memory.buffer);
    for (let n = 0; n < count; n++) {
      const [at, length] = [view.getUint32(vectors + 8 * n, true), view.getUint32(vectors + 8 * n + 4, true)];
      const bytes = Buffer.from(memory.buffer, at, length);
      if (fd !== watched && bytes.subarray(0, magic.length).equals(Buffer.from(magic))) {
        watched = fd;
        kept.length = 0;
      }
      if (fd === watched) kept.push(Buffer.from(bytes)); // a copy: the memory is used again
    }
  };
  const loader = WebAssembly as unknown as Loader;
  const instantiate = loader.instantiate.bind(loader);
  loader.instantiate = async (bytes, imports) => {
    const wasi = imports.wasi_snapshot_preview1;
    const write = wasi.fd_write;
    let memory: Memory | undefined;
    wasi.fd_write = (fd, vectors, count, written) => {
      if (memory !== undefined) keep(memory, fd, vectors, count);
      return write(fd, vectors, count, written);
    };
    const loaded = await instantiate(bytes, imports);
    memory = loaded.instance.exports.memory ?? imports.env?.memory;
    return loaded;
  };
  return () => (watched === undefined ? undefined : Buffer.concat(kept));
}
