/** OpenPGP with a passphrase (AES-256), by the `gpg` of the system: what it writes, every OpenPGP program opens. */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Writable } from 'node:stream';
import { HoldfastError, messageOf, systemCode } from '../../base/errors.ts';
import type { Secret } from '../../base/secret.ts';

/** The passphrase is stretched as far as the format allows; what is encrypted is compressed already or not on purpose. */
const FLAGS = [
  '--batch', '--no-tty', '--quiet', '--no-options', '--pinentry-mode', 'loopback', '--no-symkey-cache', '--passphrase-fd', '3',
  '--symmetric', '--cipher-algo', 'AES256', '--s2k-digest-algo', 'SHA512', '--s2k-count', '65011712', '--compress-algo', 'none', '--output', '-',
];

/** The pieces as one OpenPGP message. Throws `program-missing`, `program-failed`. */
export async function* gpgEncrypted(pieces: AsyncIterable<Uint8Array>, passphrase: Secret): AsyncGenerator<Uint8Array> {
  // A home of its own: nothing of the user's keys is read, and nothing is left there.
  const home = await mkdtemp(join(tmpdir(), 'holdfast-gpg-'));
  try {
    const child = spawn('gpg', ['--homedir', home, ...FLAGS], { stdio: ['pipe', 'pipe', 'pipe', 'pipe'] });
    const ended = endOf(child);
    const fed = feed(child, pieces, passphrase);
    fed.catch(() => child.kill());
    try {
      if (child.stdout) for await (const piece of child.stdout) yield piece as Buffer;
      await fed;
      await ended;
    } finally {
      child.kill();
      await ended.catch(() => undefined);
    }
  } finally {
    await rm(home, { recursive: true, force: true });
  }
}

async function feed(child: ChildProcess, pieces: AsyncIterable<Uint8Array>, passphrase: Secret): Promise<void> {
  const secret = child.stdio[3] as Writable;
  const input = child.stdin;
  if (!input) return;
  let broken: Error | undefined;
  // When gpg ends early, its exit and what it said are the reason to tell, not the broken pipe.
  for (const stream of [secret, input]) stream.on('error', (error) => (broken ??= error));
  secret.end(`${passphrase.reveal()}\n`);
  for await (const piece of pieces) {
    if (broken !== undefined || child.exitCode !== null) return;
    // Written before the next is asked for: the memory of a piece is used again.
    await new Promise<void>((resolve) => input.write(piece, () => resolve()));
  }
  input.end();
}

async function endOf(child: ChildProcess): Promise<void> {
  let said = '';
  child.stderr?.on('data', (text: Buffer) => (said = (said + text.toString()).slice(-2000)));
  const ending = new Promise<void>((resolve, reject) => {
    child.once('error', (error) => reject(systemCode(error) === 'ENOENT'
      ? new HoldfastError('program-missing', 'gpg is not installed here, and it is what makes files that OpenPGP programs open.', { hint: 'Install the package gnupg, or encrypt with age (--encrypt age).', cause: error })
      : new HoldfastError('program-failed', `gpg could not be started: ${messageOf(error)}`, { cause: error })));
    child.once('close', (code) => (code === 0 ? resolve() : reject(new HoldfastError('program-failed', `gpg ended with ${code ?? 'a signal'}: ${said.trim()}`))));
  });
  ending.catch(() => undefined);
  await ending;
}
