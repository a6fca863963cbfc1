/** Keys of hosts as they go over the wire (RFC 4253, 6.6): a string with the type, then what the type says. Pure. */
import { hash } from 'node:crypto';

/** In the order of preference; SHA-1 signatures (`ssh-rsa`) are not taken, as OpenSSH takes none since 8.8. */
const ALGORITHMS = ['ssh-ed25519', 'ecdsa-sha2-nistp256', 'ecdsa-sha2-nistp384', 'ecdsa-sha2-nistp521', 'rsa-sha2-512', 'rsa-sha2-256'] as const;

export type HostKeyAlgorithm = (typeof ALGORITHMS)[number];

/** `ssh-ed25519`, `ssh-rsa` …; empty when the bytes are no key. */
export function keyType(key: Buffer): string {
  if (key.length < 4) return '';
  const length = key.readUInt32BE(0);
  return length > 64 || key.length < 4 + length ? '' : key.toString('latin1', 4, 4 + length);
}

/** `SHA256:…`, as `ssh-keygen -l` prints it. */
export function fingerprint(key: Buffer): string {
  return `SHA256:${hash('sha256', key, 'base64').replace(/=+$/, '')}`;
}

/** `ED25519`, `RSA`, `ECDSA`: as OpenSSH names types to people. */
export function typeName(type: string): string {
  return (/^(?:sk-)?(?:ssh|ecdsa)-(?:sha2-)?([a-z0-9]+)/.exec(type)?.[1] ?? type).replace(/^nistp\d+$/, 'ecdsa').replace(/^dss$/, 'dsa').toUpperCase();
}

/** The type of the key that signs with this algorithm. */
function typeOf(algorithm: HostKeyAlgorithm): string {
  return algorithm.startsWith('rsa-') ? 'ssh-rsa' : algorithm;
}

/**
 * The algorithms to offer, those of keys that are known first: a server with several keys then shows the one that can be
 * checked.
 */
export function preferKnown(knownTypes: ReadonlySet<string>): readonly HostKeyAlgorithm[] {
  const isKnown = (algorithm: HostKeyAlgorithm): boolean => knownTypes.has(typeOf(algorithm));
  return [...ALGORITHMS.filter(isKnown), ...ALGORITHMS.filter((algorithm) => !isKnown(algorithm))];
}
