/** Prints the demo's story, line by line as it happens. */
import { painter } from '../render/text.ts';
import type { Session } from '../session.ts';

export class Teller {
  readonly #session: Session;
  readonly #paint = painter(process.stdout);

  constructor(session: Session) {
    this.#session = session;
  }

  heading(text: string): void {
    this.#print(`\n${this.#paint('bold', text)}`);
  }

  line(text: string): void {
    this.#print(`  ${text}`);
  }

  blank(): void {
    this.#print('');
  }

  /** Does something that takes a while, and shows that it goes on. */
  async timed<T>(sentence: string, work: () => Promise<T>): Promise<T> {
    this.#session.context.signal.throwIfAborted();
    this.#session.context.emit({ type: 'step', store: undefined, sentence: `${sentence} …` });
    const result = await work();
    this.#session.context.signal.throwIfAborted();
    this.#session.progress.clear();
    return result;
  }

  /** What the story measured, for `--json`. */
  document(facts: object): void {
    if (this.#session.options.json) process.stdout.write(`${JSON.stringify(facts)}\n`);
  }

  #print(text: string): void {
    this.#session.progress.clear();
    if (!this.#session.options.json) process.stdout.write(`${text}\n`);
  }
}
