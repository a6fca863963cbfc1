/** Files of the age format (age-encryption.org/v1), with a passphrase or for public keys. */
import type { Encrypter } from 'age-encryption';
import { HoldfastError, messageOf } from '../../base/errors.ts';
import type { Secret } from '../../base/secret.ts';

/** Who may open it: who knows the passphrase, or who has the key of one of the recipients (`age1…`). */
export type AgeLock = { readonly passphrase: Secret } | { readonly recipients: readonly string[] };

/** Reads the lock, so that a mistake in it is told before anything is written. Throws `usage`. */
export async function ageEncrypter(lock: AgeLock): Promise<Encrypter> {
  const { Encrypter } = await import('age-encryption');
  const encrypter = new Encrypter();
  if ('passphrase' in lock) {
    encrypter.setPassphrase(lock.passphrase.reveal());
    return encrypter;
  }
  for (const recipient of lock.recipients) {
    try {
      encrypter.addRecipient(recipient);
    } catch (error) {
      throw new HoldfastError('usage', `'${recipient}' is no recipient of age: ${messageOf(error)}`, { hint: 'A recipient is a public key like age1…; `age-keygen` prints it.', cause: error });
    }
  }
  return encrypter;
}

/** The pieces as one age file. */
export async function* ageEncrypted(pieces: AsyncIterable<Uint8Array>, encrypter: Encrypter): AsyncGenerator<Uint8Array> {
  const source = pieces[Symbol.asyncIterator]();
  const stream = new ReadableStream<Uint8Array>({
    pull: async (controller) => {
      const next = await source.next();
      // A copy: the memory of a piece is used again.
      if (next.done === true) controller.close();
      else controller.enqueue(new Uint8Array(next.value));
    },
    cancel: async () => void (await source.return?.()),
  });
  const encrypted: AsyncIterable<Uint8Array> = await encrypter.encrypt(stream);
  yield* encrypted;
}
