/**
 * Runs in a worker thread: the WASM libpq is synchronous, so this thread sleeps until the main thread, which owns the
 * socket, has the server's answer. Only the public interface of the package is used.
 */
import { parentPort, receiveMessageOnPort, workerData, type MessagePort } from 'node:worker_threads';
import { pgDump } from '@electric-sql/pglite-tools/pg_dump';
import { keepWrites } from './wasm-writes.ts';
import type { WasmDumpReply, WasmDumpStart } from './wasm-dump.ts';

const SSL_REQUEST = 80877103;
const GSS_REQUEST = 80877104;
const PATIENCE_MS = 600_000;

const { port, arrived, args, greeting } = workerData as Omit<WasmDumpStart, 'port'> & { port: MessagePort };
let seen = 0;
let started = false;
let sent: Buffer = Buffer.alloc(0);

function receive(): WasmDumpReply {
  for (;;) {
    const message = receiveMessageOnPort(port);
    if (message !== undefined) {
      seen++;
      return message.message as WasmDumpReply;
    }
    const count = Atomics.load(arrived, 0);
    if (count === seen && Atomics.wait(arrived, 0, count, PATIENCE_MS) === 'timed-out') throw new Error('the server did not answer for ten minutes');
  }
}

function answer(): Buffer {
  const parts: Uint8Array[] = [];
  for (;;) {
    const reply = receive();
    if ('lost' in reply) throw new Error(reply.lost);
    parts.push(reply.bytes);
    if (reply.ready) return Buffer.concat(parts);
  }
}

/** The first message has no type byte. It is not passed on: the connection is past it. */
function greet(give: (bytes: Uint8Array) => void): void {
  if (sent.length < 8 || sent.length < sent.readInt32BE(0)) return;
  const code = sent.readInt32BE(4);
  sent = sent.subarray(sent.readInt32BE(0));
  started = code !== SSL_REQUEST && code !== GSS_REQUEST;
  give(started ? greeting : Buffer.from('N'));
}

function pass(bytes: Uint8Array, give: (bytes: Uint8Array) => void): void {
  sent = Buffer.concat([sent, bytes]); // a copy: `bytes` is a view on WASM memory
  if (!started) return greet(give);
  let end = 0;
  let wait = false;
  let goodbye = false;
  while (sent.length - end >= 5 && sent.length >= end + 1 + sent.readInt32BE(end + 1)) {
    const type = String.fromCharCode(sent[end] ?? 0);
    wait ||= 'QSF'.includes(type);
    goodbye ||= type === 'X';
    end += 1 + sent.readInt32BE(end + 1);
  }
  const out = sent.subarray(0, end);
  sent = sent.subarray(end);
  if (end === 0 || goodbye) return;
  port.postMessage(new Uint8Array(out));
  if (wait) give(answer());
}

const connection = {
  query: async () => ({ rows: [{ search_path: '""' }] }),
  exec: async () => [],
  execProtocolRawStream: (bytes: Uint8Array, { onRawData }: { onRawData(bytes: Uint8Array): void }) => pass(bytes, onRawData),
};
// pgDump asks for a PGlite but only calls the three functions above. It gives what pg_dump wrote as text, which an archive is not.
const archived = keepWrites('PGDMP');
const file = await pgDump({ pg: connection as never, args: [...args] });
parentPort?.postMessage(archived() ?? new Uint8Array(await file.arrayBuffer()));
