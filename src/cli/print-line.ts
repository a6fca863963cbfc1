/** Prints a line as soon as the reader takes it: what lists millions of things must not keep them. */
export async function printLine(line: string): Promise<void> {
  await print(`${line}\n`);
}

async function print(text: string): Promise<void> {
  if (!process.stdout.write(text)) await new Promise((resolve) => process.stdout.once('drain', resolve));
}

/** One JSON document with a long list in it, whose items go out as they come. After an error it is not ended, and so no JSON. */
export class JsonList {
  readonly #open: string;
  #items = 0;

  /** What stands before the list, as in `{"entries":[`. */
  constructor(open: string) {
    this.#open = open;
  }

  async add(item: object): Promise<void> {
    await print((this.#items++ === 0 ? this.#open : ',') + JSON.stringify(item));
  }

  /** What stands behind it, as in `]}`. */
  async end(close: string): Promise<void> {
    await printLine((this.#items === 0 ? this.#open : '') + close);
  }
}
