/** Bytes at the socket, as a hosting company counts them: with TLS, what went over the wire and not what was in it. */
import type { Socket } from 'node:net';

/** Shared by the connections of one run: give it as `meter` of their target. */
export class TrafficMeter {
  readonly #open = new Set<Socket>();
  #received = 0;
  #sent = 0;

  /** Counts what this TCP or Unix socket moves, from its first byte to its last, also when TLS was put over it. */
  watch(socket: Socket): void {
    this.#open.add(socket);
    socket.once('close', () => {
      if (!this.#open.delete(socket)) return;
      this.add(socket.bytesRead, socket.bytesWritten);
    });
  }

  /** Adds what was counted elsewhere, such as by a process of its own. */
  add(received: number, sent: number): void {
    this.#received += received;
    this.#sent += sent;
  }

  /** Bytes from the server until now. */
  get received(): number {
    return [...this.#open].reduce((sum, socket) => sum + socket.bytesRead, this.#received);
  }

  /** Bytes to the server until now. */
  get sent(): number {
    return [...this.#open].reduce((sum, socket) => sum + socket.bytesWritten, this.#sent);
  }
}
