/** Shows what goes on: one line that is drawn anew on a terminal, plain lines elsewhere. It only listens to events. */
import type { OperationEvent } from '../../operation/event.ts';
import type { Clock } from '../../base/clock.ts';
import { formatBytes, formatCount, painter, printable } from './text.ts';

const REDRAW_MS = 100;

export interface Progress {
  listen(event: OperationEvent): void;
  /** Clears the line, so that something else can be printed. */
  clear(): void;
}

export const silentProgress: Progress = { listen: () => undefined, clear: () => undefined };

interface State {
  store: string;
  step: string;
  bytes: number;
  files: number;
  total: number | undefined;
  startedMs: number;
}

export function createProgress(stream: NodeJS.WriteStream, clock: Clock): Progress {
  return stream.isTTY ? new TerminalProgress(stream, clock) : new PlainProgress(stream);
}

/** Problems and steps as lines; no numbers, since nobody watches. */
class PlainProgress implements Progress {
  readonly #stream: NodeJS.WriteStream;

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream;
  }

  listen(event: OperationEvent): void {
    if (event.type === 'problem') this.#stream.write(`${problemLine(event)}\n`);
  }

  clear(): void {
    // Nothing is ever left half drawn.
  }
}

function problemLine({ store, problem }: Extract<OperationEvent, { type: 'problem' }>): string {
  return printable(`${store}: ${problem.subject} ${problem.message}`);
}

class TerminalProgress implements Progress {
  readonly #stream: NodeJS.WriteStream;
  readonly #clock: Clock;
  readonly #state: State = { store: '', step: '', bytes: 0, files: 0, total: undefined, startedMs: 0 };
  #drawnMs = 0;
  #visible = false;

  constructor(stream: NodeJS.WriteStream, clock: Clock) {
    this.#stream = stream;
    this.#clock = clock;
  }

  listen(event: OperationEvent): void {
    const state = this.#state;
    switch (event.type) {
      case 'store-started':
        Object.assign(state, { store: event.store, step: '', bytes: 0, files: 0, total: undefined, startedMs: this.#clock.elapsedMs() });
        break;
      case 'step':
        state.step = event.sentence;
        break;
      case 'progress':
        state.bytes += event.bytes;
        state.files += event.files;
        state.total = event.totalBytes ?? state.total;
        break;
      case 'problem':
        this.clear();
        this.#stream.write(`${painter(this.#stream)('yellow', '!')} ${problemLine(event)}\n`);
        break;
      case 'store-finished':
        this.clear();
        return;
      // A follower has a display of its own.
      case 'wal':
        return;
    }
    this.#draw();
  }

  clear(): void {
    if (this.#visible) this.#stream.write('\r\x1b[2K');
    this.#visible = false;
  }

  #draw(): void {
    const now = this.#clock.elapsedMs();
    if (now - this.#drawnMs < REDRAW_MS) return;
    this.#drawnMs = now;
    const width = Math.max(20, (this.#stream.columns || 80) - 1);
    const line = this.#line(now);
    this.#stream.write(`\r\x1b[2K${line.length > width ? `${line.slice(0, width - 1)}…` : line}`);
    this.#visible = true;
  }

  #line(now: number): string {
    const { store, step, bytes, files, total, startedMs } = this.#state;
    const parts: string[] = [];
    if (store !== '') parts.push(printable(store));
    if (bytes > 0) parts.push(total ? `${formatBytes(bytes)} of ${formatBytes(total)}` : formatBytes(bytes));
    if (files > 0) parts.push(`${formatCount(files)} files`);
    const seconds = (now - startedMs) / 1000;
    if (bytes > 0 && seconds > 0.5) parts.push(`${formatBytes(bytes / seconds)}/s`);
    if (step !== '') parts.push(printable(step));
    return parts.join('  ');
  }
}
