/** The tables that a part of a database store is about, by patterns. */
import { didYouMean } from '../../../base/did-you-mean.ts';
import { HoldfastError } from '../../../base/errors.ts';
import type { CatalogTable } from '../catalog.ts';

/** `schema.table` or `table` of any schema, each with `*` for any letters. */
function matcher(pattern: string): (name: string) => boolean {
  const whole = pattern.includes('.') ? pattern : `*.${pattern}`;
  const expression = new RegExp(`^${whole.split('*').map((part) => part.replaceAll(/[\\^$.|?+()[\]{}]/g, '\\$&')).join('.*')}$`, 's');
  return (name) => expression.test(name);
}

/** Collects over the databases of a store which patterns found something. */
export class TableChoice {
  readonly #patterns: readonly { readonly text: string; readonly matches: (name: string) => boolean }[];
  readonly #found = new Set<string>();
  readonly #names: string[] = [];

  constructor(patterns: readonly string[]) {
    this.#patterns = patterns.map((text) => ({ text, matches: matcher(text) }));
  }

  /** A partition belongs to a pattern that names it or a table that it is a partition of. */
  of(tables: readonly CatalogTable[]): readonly CatalogTable[] {
    return tables.filter(({ schema, name, above }) => {
      const names = [`${schema}.${name}`, ...above];
      this.#names.push(...names);
      const matching = this.#patterns.filter(({ matches }) => names.some(matches));
      for (const { text } of matching) this.#found.add(text);
      return matching.length > 0;
    });
  }

  /** Throws `source-missing` naming each pattern that found nothing, with the table that may be meant. */
  refuseUnused(store: string): void {
    const unused = this.#patterns.filter(({ text }) => !this.#found.has(text)).map(({ text }) => {
      const near = didYouMean(text.includes('.') ? text : `public.${text}`, [...new Set(this.#names)]);
      return `${text}${near === undefined ? '' : ` (did you mean ${near}?)`}`;
    });
    if (unused.length === 0) return;
    throw new HoldfastError('source-missing', `The store ${store} has no table ${unused.join(', and none ')}.`, {
      hint: 'Name tables as schema.table, with * for any letters.',
    });
  }
}
