import { inspect } from 'node:util';

/** A value that cannot print: not in a log, an error, JSON or the inspector. Only `reveal()` gives it out. */
export class Secret {
  readonly #value: string;

  constructor(value: string) {
    this.#value = value;
  }

  reveal(): string {
    return this.#value;
  }

  toString(): string {
    return '**redacted**';
  }

  toJSON(): string {
    return '**redacted**';
  }

  [inspect.custom](): string {
    return 'Secret(**redacted**)';
  }
}
