/** TLS as libpq does it: six modes, certificates in files, and the rules about who may read a key. */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { isIP } from 'node:net';
import { join } from 'node:path';
import { checkServerIdentity, getCACertificates, type PeerCertificate } from 'node:tls';
import { HoldfastError, messageOf } from '../../base/errors.ts';
import type { PostgresTarget } from './target.ts';

/** The ways to connect, in the order in which they are tried: with TLS (true) or in the clear. Nothing else goes over a Unix socket. */
export function tlsAttempts({ tls, host }: PostgresTarget): readonly boolean[] {
  if (tls === 'disable' || host.startsWith('/')) return [false];
  if (tls === 'allow') return [false, true];
  return tls === 'prefer' ? [true, false] : [true];
}

/** What node's TLS takes. Throws `config` or `secret-exposed` with the file that is at fault. */
export function tlsOptions(target: PostgresTarget): Record<string, unknown> {
  const authorities = authoritiesOf(target);
  const own = ownCertificate(target);
  const revoked = target.revoked ?? defaultFile(target, 'root.crl');
  const options = {
    ...own,
    ...(target.tlsVersion === undefined ? {} : { minVersion: target.tlsVersion }),
    ...(revoked === undefined || authorities === undefined ? {} : { crl: read('sslcrl', revoked) }),
    // The address may be given apart from the name that the certificate must carry.
    ...(target.address === undefined || isIP(target.host) !== 0 ? {} : { servername: target.host }),
  };
  // As libpq: a root certificate is checked against in every mode, and without one the weaker modes only encrypt.
  if (authorities === undefined) return { ...options, rejectUnauthorized: false };
  const byName = (_: string, certificate: PeerCertificate): Error | undefined => checkServerIdentity(target.host, certificate);
  const identity = target.tls === 'verify-full' ? byName : () => undefined;
  return { ...options, ca: authorities, checkServerIdentity: identity };
}

/** Undefined: nothing to check against, and nothing that must be. */
function authoritiesOf(target: PostgresTarget): string | string[] | undefined {
  const { rootCertificate, tls } = target;
  if (rootCertificate === 'system') {
    const weak = `sslmode=${tls} is too weak for sslrootcert=system: anybody can have a certificate of a public authority.`;
    if (tls !== 'verify-full') throw new HoldfastError('config', weak, { hint: 'Use sslmode=verify-full.' });
    const found = getCACertificates('system');
    return found.length > 0 ? found : getCACertificates('bundled');
  }
  const path = rootCertificate ?? defaultFile(target, 'root.crt');
  const mustCheck = tls === 'verify-ca' || tls === 'verify-full';
  // libpq passes over a file that is named and not there, unless it must check; but whoever names one wants the check.
  if (path !== undefined) return read('sslrootcert', path);
  if (!mustCheck) return undefined;
  throw new HoldfastError('config', `sslmode=${tls} needs the certificate of the server's authority, and there is none in ${join(target.home ?? '~', '.postgresql/root.crt')}.`, {
    hint: 'Name its file with sslrootcert=FILE, or trust the authorities of this system with sslrootcert=system and sslmode=verify-full.',
  });
}

function ownCertificate(target: PostgresTarget): Record<string, unknown> {
  const certificate = target.certificate ?? defaultFile(target, 'postgresql.crt');
  if (certificate === undefined) return {};
  const key = target.key ?? defaultFile(target, 'postgresql.key');
  if (key === undefined) throw new HoldfastError('config', `There is a client certificate, ${certificate}, and no key for it.`, { hint: 'Name its file with sslkey=FILE.' });
  const cert = read('sslcert', certificate);
  const text = read('sslkey', key);
  const { mode, uid } = statSync(key);
  // One that belongs to root may be read by its group, so that services can share it.
  if ((mode & (uid === 0 ? 0o037 : 0o077)) !== 0) {
    throw new HoldfastError('secret-exposed', `The key ${key} (sslkey) can be read by others: its mode is ${(mode & 0o777).toString(8).padStart(4, '0')}.`, { hint: `Run: chmod 600 ${key}` });
  }
  return { cert, key: text, ...(target.keyPassword === undefined ? {} : { passphrase: target.keyPassword.reveal() }) };
}

/** A file of ~/.postgresql, when it is there. */
function defaultFile({ home }: PostgresTarget, name: string): string | undefined {
  const path = home === undefined ? undefined : join(home, '.postgresql', name);
  return path !== undefined && existsSync(path) ? path : undefined;
}

function read(setting: string, path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new HoldfastError('config', `${setting}: ${path} cannot be read: ${messageOf(error)}`, { cause: error });
  }
}
