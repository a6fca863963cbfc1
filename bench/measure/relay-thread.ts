/** The thread of a relay: says its port, and adds up what the server sends. */
import { connect, createServer } from 'node:net';
import { parentPort, workerData } from 'node:worker_threads';

interface Task {
  readonly target: number;
  readonly counter: BigInt64Array;
}

const { target, counter } = workerData as Task;
const server = createServer((near) => {
  const far = connect(target, '127.0.0.1');
  for (const [socket, other] of [[near, far], [far, near]] as const) socket.on('error', () => undefined).once('close', () => other.destroy());
  far.on('data', (chunk: Buffer) => void Atomics.add(counter, 0, BigInt(chunk.length)));
  near.pipe(far);
  far.pipe(near);
});
server.listen(0, '127.0.0.1', () => {
  const address = server.address();
  parentPort?.postMessage(typeof address === 'object' && address !== null ? address.port : 0);
});
