/** Asks for the password once more: who can type it has kept it. */
import { timingSafeEqual } from 'node:crypto';
import { createInterface } from 'node:readline/promises';
import { Writable } from 'node:stream';
import { HoldfastError } from '../base/errors.ts';
import type { Secret } from '../base/secret.ts';
import type { Session } from './session.ts';

const TRIES = 3;

/** True when it was typed right, false when nobody is at a terminal to type it. Throws `not-confirmed` after three wrong ones. */
export async function retypePassword(session: Session, password: Secret): Promise<boolean> {
  if (!process.stdin.isTTY || session.options.json) return false;
  session.progress.clear();
  for (let left = TRIES; left > 0; left--) {
    if (sameText(await askHidden(session, 'Type the password of the repository once more, from where you keep it: '), password.reveal())) return true;
    if (left > 1) process.stderr.write('That is not it. Try again.\n');
  }
  throw new HoldfastError('not-confirmed', 'the password was not typed as the repository has it', {
    hint: 'The repository is made and works with the password of this host, but if only this host knows it, both are lost together. Write it down, then run `holdfast key sheet`.',
  });
}

async function askHidden(session: Session, question: string): Promise<string> {
  process.stderr.write(question);
  // What is typed goes nowhere.
  const prompt = createInterface({ input: process.stdin, output: new Writable({ write: (_, __, done) => done() }), terminal: true });
  try {
    return await prompt.question('', { signal: session.context.signal });
  } finally {
    prompt.close();
    process.stderr.write('\n');
  }
}

function sameText(typed: string, wanted: string): boolean {
  const [a, b] = [Buffer.from(typed), Buffer.from(wanted)];
  return a.length === b.length && timingSafeEqual(a, b);
}
