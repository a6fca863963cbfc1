/** The lines of an `ssh_config` (ssh_config(5)): keywords with their arguments. Pure. */

export interface ConfigLine {
  /** In lower case, as keywords do not care. */
  readonly keyword: string;
  readonly args: readonly string[];
  /** Everything after the keyword, for those that take a command. */
  readonly rest: string;
  /** Where it stands, for people: `FILE:LINE`. */
  readonly at: string;
  /** What an `Include` brought, already read; empty for other keywords. */
  readonly included: readonly ConfigLine[];
}

const KEYWORD = /^([A-Za-z][\w-]*)(?:\s*=\s*|\s+|$)(.*)$/s;

export function parseConfig(text: string, file: string): readonly ConfigLine[] {
  return text.split('\n').flatMap((line, index) => {
    const [, keyword, rest] = KEYWORD.exec(line.trim()) ?? [];
    if (keyword === undefined || rest === undefined) return [];
    return [{ keyword: keyword.toLowerCase(), args: splitArguments(rest), rest, at: `${file}:${index + 1}`, included: [] }];
  });
}

/** Splits at spaces; quotes hold together, `\` protects a quote, another `\` or a space, and `#` begins a comment. */
export function splitArguments(text: string): readonly string[] {
  const found: string[] = [];
  let word: string | undefined;
  let quote: string | undefined;
  for (let at = 0; at < text.length; at++) {
    const char = text[at] ?? '';
    const following = text[at + 1] ?? '';
    if (char === '\\' && (following === '"' || following === "'" || following === '\\' || (quote === undefined && following === ' '))) {
      word = (word ?? '') + following;
      at++;
    } else if (quote !== undefined) {
      if (char === quote) quote = undefined;
      else word = (word ?? '') + char;
    } else if (char === '"' || char === "'") {
      quote = char;
      word ??= '';
    } else if (/\s/.test(char)) {
      if (word !== undefined) found.push(word);
      word = undefined;
    } else if (char === '#' && word === undefined) {
      break;
    } else {
      word = (word ?? '') + char;
    }
  }
  if (word !== undefined) found.push(word);
  return found;
}
