/** `%h` and friends, `~` and `${NAME}` in values of `ssh_config` (ssh_config(5), TOKENS and ENVIRONMENT VARIABLES). Pure. */
import { hash } from 'node:crypto';
import { HoldfastError } from '../../base/errors.ts';

/** Who and where we are. */
export interface LocalFacts {
  readonly user: string;
  readonly uid: number;
  /** Absolute, without a slash at its end. */
  readonly home: string;
  readonly hostName: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/** What is connected to. */
export interface RemoteFacts {
  /** As the user wrote it. */
  readonly original: string;
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly alias?: string | undefined;
  readonly jump?: string | undefined;
}

/** Replaces `%` tokens. Throws `config` for one that is not known, naming what the value is of. */
export function expandTokens(value: string, tokens: Readonly<Record<string, string>>, subject: string): string {
  return value.replaceAll(/%(.?)/gs, (_all, letter: string) => {
    if (letter === '%') return '%';
    const found = tokens[letter];
    if (found === undefined) throw new HoldfastError('config', `${subject} has '%${letter}', which is not known there`, { hint: 'ssh_config(5) lists what may stand there under TOKENS.' });
    return found;
  });
}

export function connectionTokens(local: LocalFacts, remote: RemoteFacts): Readonly<Record<string, string>> {
  const jump = remote.jump ?? '';
  return {
    d: local.home, h: remote.host, i: String(local.uid), j: jump, k: remote.alias ?? remote.original, L: local.hostName.split('.')[0] ?? '', l: local.hostName,
    n: remote.original, p: String(remote.port), r: remote.user, u: local.user,
    C: hash('sha1', `${local.hostName}${remote.host}${remote.port}${remote.user}${jump}`, 'hex'),
  };
}

/** A path with `~`, `${NAME}` and tokens replaced. Throws `config` for a variable that is not set. */
export function expandPath(value: string, local: LocalFacts, tokens: Readonly<Record<string, string>>, subject: string): string {
  const home = value === '~' || value.startsWith('~/') ? local.home + value.slice(1) : value;
  const filled = home.replaceAll(/\$\{(\w+)\}/g, (_all, name: string) => {
    const found = local.environment[name];
    if (found === undefined) throw new HoldfastError('config', `${subject} needs the environment variable ${name}, which is not set`, { hint: 'Set it for whoever runs this, or write the path out.' });
    return found;
  });
  return expandTokens(filled, tokens, subject);
}
