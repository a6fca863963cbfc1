/** pg_dump 18.3 as WASM (from @electric-sql/pglite-tools), in a worker, over a connection that we authenticated. */
import { MessageChannel, Worker, type MessagePort } from 'node:worker_threads';
import { HoldfastError, messageOf } from '../../base/errors.ts';
import { Connection } from './connection.ts';
import { describeTarget, type PostgresTarget } from './target.ts';
import { FrameReader, frame } from './wire.ts';

/** What the worker gets. `arrived[0]` counts the messages that were posted to it. */
export interface WasmDumpStart {
  readonly port: MessagePort;
  readonly arrived: Int32Array;
  readonly args: readonly string[];
  /** What a server says after authentication; libpq inside the worker gets it as answer to its startup message. */
  readonly greeting: Uint8Array;
}

/** Everything that comes until the server is ready for the next command, or why it does not come. */
export type WasmDumpReply = { readonly bytes: Uint8Array; readonly ready: boolean } | { readonly lost: string };

/** Runs pg_dump with these arguments and gives what it writes: a script, or with `-Fc` an archive. Throws `source-failed`. */
export async function wasmDump(target: PostgresTarget, args: readonly string[], signal: AbortSignal): Promise<Buffer> {
  await using connection = await Connection.connect(target);
  const greeting = await greetingOf(connection);
  const { port1, port2 } = new MessageChannel();
  const arrived = new Int32Array(new SharedArrayBuffer(4));
  const post = (reply: WasmDumpReply): void => {
    port1.postMessage(reply);
    Atomics.add(arrived, 0, 1);
    Atomics.notify(arrived, 0);
  };
  const frames = new FrameReader();
  const receive = (bytes: Uint8Array): void => {
    frames.push(bytes);
    let ready = false;
    for (let next = frames.next(); next !== undefined; next = frames.next()) ready = next.type === 'Z';
    post({ bytes: new Uint8Array(bytes), ready: ready && frames.peek() === undefined });
  };
  const release = connection.takeOver(new Uint8Array(), receive, (error) => post({ lost: messageOf(error) }));
  port1.on('message', (bytes: Uint8Array) => connection.socket.write(bytes));
  const worker = new Worker(new URL('./wasm-dump-worker.ts', import.meta.url), {
    workerData: { port: port2, arrived, args, greeting }, transferList: [port2], stdout: true, stderr: true,
  });
  let said = '';
  worker.stderr.on('data', (bytes: Buffer) => (said = (said + bytes.toString()).slice(-4000)));
  try {
    return await new Promise<Buffer>((resolve, reject) => {
      worker.once('message', (written: Uint8Array) => resolve(Buffer.from(written)));
      worker.once('error', reject);
      worker.once('exit', () => reject(new Error('pg_dump ended early')));
      signal.addEventListener('abort', () => reject(new HoldfastError('interrupted', 'Stopped while the schema was read.')), { once: true });
    });
  } catch (error) {
    if (error instanceof HoldfastError) throw error;
    throw new HoldfastError('source-failed', `pg_dump (WASM) could not read the schema of ${describeTarget(target)}: ${messageOf(error)} ${said.trim()}`, { cause: error });
  } finally {
    release();
    port1.close();
    connection.destroy();
    await worker.terminate();
  }
}

/** AuthenticationOk, the parameters that libpq wants to know, a key and ReadyForQuery. */
async function greetingOf(connection: Connection): Promise<Uint8Array> {
  const names = ['server_version', 'server_encoding', 'client_encoding', 'is_superuser', 'session_authorization', 'DateStyle', 'IntervalStyle', 'TimeZone', 'integer_datetimes', 'standard_conforming_strings', 'in_hot_standby', 'default_transaction_read_only'];
  const list = names.map((name) => `'${name}'`).join(', ');
  const rows = await connection.query<{ name: string; value: string | null }>(
    `SELECT name, pg_catalog.current_setting(name, true) AS value FROM (SELECT pg_catalog.unnest(ARRAY[${list}]) AS name) n`,
    'reading the settings of the session',
  );
  const parameters = rows.map(({ name, value }) => frame('S', Buffer.from(`${name}\0${value ?? ''}\0`)));
  return Buffer.concat([frame('R', new Uint8Array(4)), ...parameters, frame('K', new Uint8Array(8)), frame('Z', Buffer.from('I'))]);
}
