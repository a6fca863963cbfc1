/** A confirmation typed in words, before anything is replaced. */
import { createInterface } from 'node:readline/promises';
import { HoldfastError } from '../base/errors.ts';
import type { Session } from './session.ts';

/** Shows what will happen and asks for a word. Throws `not-confirmed`, also where nobody can answer. */
export async function confirmInWords(session: Session, lines: readonly string[], word: string, what = 'replaces what stands there now'): Promise<void> {
  session.progress.clear();
  process.stderr.write(lines.map((line) => `${line}\n`).join(''));
  const hint = 'Give --yes to go on without a question, --dry-run to see the plan only.';
  if (!process.stdin.isTTY || session.options.json) throw new HoldfastError('not-confirmed', `this ${what}, and nobody is here to confirm it`, { hint });
  const prompt = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const answer = await prompt.question(`Type ${word} to go on: `, { signal: session.context.signal });
    if (answer.trim() !== word) throw new HoldfastError('not-confirmed', `that was not ${word}; nothing was changed`, { hint });
  } finally {
    prompt.close();
  }
}
