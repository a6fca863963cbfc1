/** What goes wrong on the way to an SSH server, as errors that a user can act on. They name hosts, users and keys, never a secret. */
import { HoldfastError, messageOf, systemCode } from '../../base/errors.ts';
import { fingerprint, keyType, typeName } from './host-key.ts';
import { formatKnownHost, lookupName, type Judgement } from './known-hosts.ts';
import { describeTarget, type SshTarget } from './target.ts';

interface Explanation {
  readonly says: string;
  readonly hint: string;
  readonly transient: boolean;
}

const NETWORK: Readonly<Record<string, Explanation>> = {
  ENOTFOUND: { says: 'the name of the host does not resolve', hint: 'Check the name; an alias of ssh_config must be there for the user who runs this.', transient: false },
  EAI_AGAIN: { says: 'the name of the host could not be looked up now', hint: 'The name server does not answer; check the network and try again.', transient: true },
  ECONNREFUSED: { says: 'the connection was refused', hint: 'Is the SSH server running, and does it listen at this address and port?', transient: true },
  ETIMEDOUT: { says: 'there was no answer', hint: 'Check the address, the port and the firewalls on the way.', transient: true },
  EHOSTUNREACH: { says: 'there is no way to the host', hint: 'Check the address and the network.', transient: true },
  ENETUNREACH: { says: 'there is no way to the network of the host', hint: 'Check the address and the network.', transient: true },
  ECONNRESET: { says: 'the server ended the connection', hint: 'It may have too many logins at once, or ban this address; look at its log.', transient: true },
  EPIPE: { says: 'the server ended the connection', hint: 'It may have too many logins at once, or ban this address; look at its log.', transient: true },
};

const LOST: Explanation = {
  says: 'the server ended the connection before the login was done', hint: 'It may have too many logins at once (MaxStartups), ban this address, or speak something else at this port; look at its log.', transient: true,
};

/** A connection that could not be made, for reasons of the network or of the protocol. */
export function connectFailure(target: SshTarget, error: unknown): HoldfastError {
  if (error instanceof HoldfastError) return error;
  const { says, hint, transient } = explain(target, error);
  return new HoldfastError('storage-failed', `cannot connect to ${describeTarget(target)}: ${says}`, { hint, transient, cause: error });
}

function explain(target: SshTarget, error: unknown): Explanation {
  const first = error instanceof AggregateError ? error.errors[0] : error;
  const known = NETWORK[systemCode(first) ?? ''];
  if (known) return known;
  const said = messageOf(first);
  if (/^Timed out while waiting for handshake/.test(said)) {
    return { says: `the login was not done after ${target.timeoutMs / 1000} seconds`, hint: 'Something may listen there that is no SSH server. ConnectTimeout of ssh_config sets how long is waited.', transient: true };
  }
  const unmatched = /no matching (.+)$/.exec(said)?.[1];
  if (unmatched !== undefined) {
    return { says: `the server and Holdfast have no ${unmatched} in common`, hint: 'The SSH server is too old or allows too little; its HostKeyAlgorithms, KexAlgorithms, Ciphers and MACs say what.', transient: false };
  }
  if (/before handshake|ended|Connection closed/i.test(said)) return LOST;
  if (/protocol version|Protocol|greeting|Bad packet length|identification/i.test(said)) {
    return { says: `what answers there is no SSH server (${said})`, hint: 'Check the port.', transient: false };
  }
  if (/too many authentication failures/i.test(said)) {
    return { says: 'the server ended the login after too many keys', hint: 'Name the one key with `identity:`, or set IdentitiesOnly in ssh_config.', transient: false };
  }
  return { says: said, hint: 'Try it with: ssh -v', transient: false };
}

/** A host that is not proven to be the one that is meant. */
export function hostKeyRefused(target: SshTarget, key: Buffer, judgement: Exclude<Judgement, { kind: 'known' }>): HoldfastError {
  const shown = `${typeName(keyType(key))} key ${fingerprint(key)}`;
  const who = describeTarget(target);
  const lax = target.laxChecking === undefined ? '' : `\nStrictHostKeyChecking ${target.laxChecking} of ssh_config is not obeyed: backups go to hosts that are known.`;
  const file = target.knownHostsFiles[0] ?? '~/.ssh/known_hosts';
  const line = formatKnownHost(target.name, key);
  switch (judgement.kind) {
    case 'revoked':
      return new HoldfastError('storage-failed', `THE KEY OF ${who} IS REVOKED: it shows the ${shown}, which ${judgement.entry.at} marks as @revoked`, {
        hint: 'Somebody may be standing in for the host. Ask who looks after it.',
      });
    case 'changed':
      return new HoldfastError('storage-failed', [
        `THE HOST KEY OF ${who} HAS CHANGED: it shows the ${shown}`,
        ...judgement.entries.map((entry) => `known is ${fingerprint(entry.key)} (${entry.at})`),
        'Either the host was set up anew, or somebody is standing in for it.',
      ].join('\n') + lax, { hint: `Ask who looks after the host. Only when the new key is right: ssh-keygen -R '${lookupName(target.name)}' -f ${file}, and add the line: ${line}` });
    case 'unknown':
      return new HoldfastError('storage-failed', `the host key of ${who} is not known: it shows the ${shown}${whyUnknown(judgement)}${lax}`, {
        hint: `Compare the fingerprint with what the host says (ssh-keygen -lf /etc/ssh/ssh_host_${typeName(keyType(key)).toLowerCase()}_key.pub). When it is right, add this line to ${file}: ${line}`,
      });
  }
}

function whyUnknown({ others, authorities }: Extract<Judgement, { kind: 'unknown' }>): string {
  const [other] = others;
  const [authority] = authorities;
  if (other) return `\nKnown is a key of another kind, which the host does not show: ${typeName(other.type)} ${fingerprint(other.key)} (${other.at})`;
  if (authority) return `\n${authority.at} vouches for it with a @cert-authority, but Holdfast cannot check certificates of hosts: it needs the host's own key`;
  return '';
}

/** A login that the server does not let in. `tried` is what was offered, in order. */
export function loginRefused(target: SshTarget, tried: readonly string[], accepted: readonly string[]): HoldfastError {
  const offered = tried.length === 0 ? ['there was nothing to offer: no key, no agent and no password'] : tried;
  const takes = accepted.length === 0 ? '' : `\nthe server takes: ${accepted.join(', ')}`;
  return new HoldfastError('storage-denied', `${describeTarget(target)} does not let us in:\n${offered.join('\n')}${takes}`, {
    hint: 'Put the public key into ~/.ssh/authorized_keys of that user, or name the right key with `identity:`; the log of the server says why it refuses.',
  });
}
