/** A way to the server for a program of its own, such as pg_dump, on which its bytes can be counted. */
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { once } from 'node:events';
import type { PostgresTarget } from './target.ts';
import type { TrafficMeter } from './traffic.ts';

export interface Relay extends AsyncDisposable {
  /** The same server by the way of the relay. The name stays, so certificates are checked against it. */
  readonly target: PostgresTarget;
}

/**
 * Listens on the loopback interface for one program and passes bytes on unread: TLS goes from end to end. Of a Unix socket, over which
 * nothing goes through a network, there is none: the server would see another peer. A program takes `address` before `host`.
 */
export async function openRelay(target: PostgresTarget, meter: TrafficMeter): Promise<Relay | undefined> {
  if (target.host.startsWith('/')) return undefined;
  const sockets = new Set<Socket>();
  const listener = createServer((near) => {
    const far = connect({ host: target.address ?? target.host, port: target.port });
    meter.watch(far);
    for (const [socket, other] of [[near, far], [far, near]] as const) {
      sockets.add(socket);
      socket.on('error', () => other.destroy());
      socket.once('close', () => {
        sockets.delete(socket);
        other.destroy();
      });
      socket.pipe(other);
    }
  });
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const { port } = listener.address() as AddressInfo;
  return {
    target: { ...target, address: '127.0.0.1', port, others: undefined },
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => void listener.close(() => resolve()));
    },
  };
}
