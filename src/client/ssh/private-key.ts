/** Private keys in all formats that OpenSSH's tools write: its own, PEM, and PKCS 8. */
import { createPrivateKey } from 'node:crypto';
import ssh2 from 'ssh2';
import type { ParsedKey } from 'ssh2';
import { messageOf } from '../../base/errors.ts';
import type { Secret } from '../../base/secret.ts';

/** Why a key cannot be used, completing "the key …", and what to do. */
export interface KeyProblem {
  readonly says: string;
  readonly hint: string;
}

const LOCKED: KeyProblem = { says: 'needs a passphrase', hint: 'Add `passphrase:` to the repository, or put the key into the agent with ssh-add.' };
const WRONG: KeyProblem = { says: 'does not open with the given passphrase', hint: 'Check `passphrase:` of the repository.' };

/** Opens a key; a passphrase that it does not need does no harm. */
export function unlockKey(content: Buffer, passphrase: Secret | undefined): ParsedKey | KeyProblem {
  const text = content.toString('latin1');
  const pkcs8 = /-----BEGIN (ENCRYPTED )?PRIVATE KEY-----/.test(text) ? fromPkcs8(content, passphrase) : content;
  if (!Buffer.isBuffer(pkcs8)) return pkcs8;
  const parsed = ssh2.utils.parseKey(pkcs8, passphrase?.reveal());
  if (!(parsed instanceof Error)) {
    const [key] = Array.isArray(parsed) ? parsed : [parsed];
    return key ?? unusable('it is empty');
  }
  const said = messageOf(parsed);
  if (/no passphrase given/.test(said)) return LOCKED;
  return passphrase !== undefined && /passphrase|integrity|decrypt|Malformed/i.test(said) ? WRONG : unusable(said);
}

/** ssh2 does not know this format; OpenSSL does, and writes the ones that ssh2 knows. */
function fromPkcs8(content: Buffer, passphrase: Secret | undefined): Buffer | KeyProblem {
  if (passphrase === undefined && content.includes('BEGIN ENCRYPTED')) return LOCKED;
  try {
    const key = createPrivateKey({ key: content, format: 'pem', ...(passphrase !== undefined && { passphrase: passphrase.reveal() }) });
    if (key.asymmetricKeyType === 'rsa') return Buffer.from(key.export({ type: 'pkcs1', format: 'pem' }));
    if (key.asymmetricKeyType === 'ec') return Buffer.from(key.export({ type: 'sec1', format: 'pem' }));
    return unusable(`PKCS 8 with a key of the type ${key.asymmetricKeyType ?? 'unknown'}`);
  } catch (error) {
    return passphrase !== undefined && /decrypt|bad password|maybe wrong/i.test(messageOf(error)) ? WRONG : unusable(messageOf(error));
  }
}

function unusable(why: string): KeyProblem {
  return { says: `cannot be used (${why})`, hint: 'Make one that OpenSSH and Holdfast can use: ssh-keygen -t ed25519' };
}
