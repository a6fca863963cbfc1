/** `known_hosts` as sshd(8) describes it under SSH_KNOWN_HOSTS FILE FORMAT, and the judgement of a host's key by it. Pure. */
import { createHmac } from 'node:crypto';
import { keyType } from './host-key.ts';
import { matchesList } from './pattern.ts';

export interface KnownHost {
  readonly marker: 'revoked' | 'cert-authority' | undefined;
  /** Comma-separated patterns, or one hashed name. */
  readonly hosts: string;
  readonly type: string;
  readonly key: Buffer;
  /** Where it stands, for people: `FILE:LINE`. */
  readonly at: string;
}

/** The name under which a host is looked for. */
export interface HostName {
  readonly host: string;
  readonly port: number;
  /** `HostKeyAlias`: looked for as it is, without a port. */
  readonly alias?: string | undefined;
}

export type Judgement =
  | { readonly kind: 'known'; readonly entry: KnownHost }
  | { readonly kind: 'revoked'; readonly entry: KnownHost }
  /** Keys of the same type are known, and this is none of them. */
  | { readonly kind: 'changed'; readonly entries: readonly KnownHost[] }
  | { readonly kind: 'unknown'; readonly others: readonly KnownHost[]; readonly authorities: readonly KnownHost[] };

const LINE = /^(?:@(?<marker>[\w-]+)\s+)?(?<hosts>\S+)\s+(?<type>[a-z][\w.@-]*)\s+(?<key>[A-Za-z0-9+/]+={0,2})(?:\s|$)/;

/** Lines that cannot be understood are passed over, as OpenSSH does: they vouch for nobody. */
export function parseKnownHosts(text: string, file: string): readonly KnownHost[] {
  return text.split('\n').flatMap((line, index) => {
    const { marker, hosts, type, key } = LINE.exec(line.trim())?.groups ?? {};
    if (hosts === undefined || type === undefined || key === undefined || hosts.startsWith('#')) return [];
    if (marker !== undefined && marker !== 'revoked' && marker !== 'cert-authority') return [];
    const bytes = Buffer.from(key, 'base64');
    return keyType(bytes) === type ? [{ marker, hosts, type, key: bytes, at: `${file}:${index + 1}` }] : [];
  });
}

/** How the name stands in `known_hosts`: `host`, or `[host]:port` when the port is another than 22. */
export function lookupName({ host, port, alias }: HostName): string {
  const name = (alias ?? host).toLowerCase();
  return alias !== undefined || port === 22 ? name : `[${name}]:${port}`;
}

/** A line for `known_hosts`. */
export function formatKnownHost(name: HostName, key: Buffer): string {
  return `${lookupName(name)} ${keyType(key)} ${key.toString('base64')}`;
}

/** The types of the keys that are known for this host, whoever's they are; to ask for those first. */
export function knownTypes(entries: readonly KnownHost[], name: HostName): ReadonlySet<string> {
  const known = (at: HostName): readonly KnownHost[] => entriesOf(entries, lookupName(at)).filter(({ marker }) => marker === undefined);
  const found = known(name);
  return new Set((found.length > 0 ? found : known({ ...name, port: 22 })).map(({ type }) => type));
}

/** Is this the key of the host? A host that is not known by its port is looked for without it, as OpenSSH does. */
export function judgeHostKey(entries: readonly KnownHost[], name: HostName, key: Buffer): Judgement {
  const judgement = judge(entriesOf(entries, lookupName(name)), key);
  if (judgement.kind !== 'unknown' || name.port === 22 || name.alias !== undefined) return judgement;
  const withoutPort = judge(entriesOf(entries, lookupName({ ...name, port: 22 })), key);
  return withoutPort.kind === 'known' || withoutPort.kind === 'revoked' ? withoutPort : judgement;
}

function judge(entries: readonly KnownHost[], key: Buffer): Judgement {
  const same = entries.filter((entry) => entry.key.equals(key));
  const revoked = same.find(({ marker }) => marker === 'revoked');
  if (revoked) return { kind: 'revoked', entry: revoked };
  const known = same.find(({ marker }) => marker === undefined);
  if (known) return { kind: 'known', entry: known };
  const plain = entries.filter(({ marker }) => marker === undefined);
  const changed = plain.filter(({ type }) => type === keyType(key));
  if (changed.length > 0) return { kind: 'changed', entries: changed };
  return { kind: 'unknown', others: plain, authorities: entries.filter(({ marker }) => marker === 'cert-authority') };
}

function entriesOf(entries: readonly KnownHost[], name: string): readonly KnownHost[] {
  return entries.filter(({ hosts }) => (hosts.startsWith('|') ? matchesHash(name, hosts) : matchesList(name, hosts.toLowerCase().split(','))));
}

/** `|1|salt|HMAC-SHA1 of the name`, both in base64: what HashKnownHosts and `ssh-keygen -H` write. */
function matchesHash(name: string, hashed: string): boolean {
  const [, version, salt, digest] = hashed.split('|');
  if (version !== '1' || salt === undefined || digest === undefined) return false;
  return createHmac('sha1', Buffer.from(salt, 'base64')).update(name).digest().equals(Buffer.from(digest, 'base64'));
}
