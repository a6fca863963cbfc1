/** From what somebody asks for to everything that a connection needs: the request, `ssh_config` and the defaults together. */
import { spawnSync } from 'node:child_process';
import * as os from 'node:os';
import { HoldfastError } from '../../base/errors.ts';
import type { Secret } from '../../base/secret.ts';
import { settingsFor, type SshSettings } from './config.ts';
import { readSshConfig } from './config-read.ts';
import type { HostName } from './known-hosts.ts';
import { connectionTokens, expandPath, expandTokens, type LocalFacts } from './token.ts';

/** What is asked for; what is left out, `ssh_config` says. */
export interface SshRequest {
  /** A host name, or an alias of `ssh_config`. */
  readonly host: string;
  readonly port?: number | undefined;
  readonly user?: string | undefined;
  /** The one private key to use. */
  readonly identityFile?: string | undefined;
  readonly passphrase?: Secret | undefined;
  readonly password?: Secret | undefined;
  readonly knownHostsFile?: string | undefined;
  readonly configFile?: string | undefined;
  /** Hosts to go through, as `ProxyJump` has them. */
  readonly proxyJump?: string | undefined;
}

export interface SshTarget {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  /** How the host is looked for in `known_hosts`. */
  readonly name: HostName;
  readonly knownHostsFiles: readonly string[];
  /** `StrictHostKeyChecking`, when it asks for less than we do. */
  readonly laxChecking: string | undefined;
  readonly identities: readonly IdentityFile[];
  /** No other keys of the agent than those of the identities. */
  readonly identitiesOnly: boolean;
  readonly agent: string | undefined;
  readonly passphrase: Secret | undefined;
  readonly password: Secret | undefined;
  readonly timeoutMs: number;
  readonly keepaliveMs: number;
  readonly keepaliveCount: number;
  readonly family: 4 | 6 | undefined;
  readonly bindAddress: string | undefined;
  /** How it is reached when not directly. */
  readonly jump: SshRequest | undefined;
  readonly command: string | undefined;
}

export interface IdentityFile {
  readonly path: string;
  /** Asked for by name, so that it is an error when it cannot be used; the usual names need not exist. */
  readonly asked: 'explicitly' | 'by ssh_config' | 'by its usual name';
}

/** Seconds that a server has to answer, and to finish the login, when `ConnectTimeout` says nothing. */
const TIMEOUT_SECONDS = 30;
/** A dead connection is noticed after three of these; OpenSSH would wait for the kernel to notice. */
const KEEPALIVE_SECONDS = 15;
const USUAL_KEYS = ['id_rsa', 'id_ecdsa', 'id_ed25519'];
const KNOWN_HOSTS = ['~/.ssh/known_hosts', '~/.ssh/known_hosts2'];
const SYSTEM_KNOWN_HOSTS = ['/etc/ssh/ssh_known_hosts', '/etc/ssh/ssh_known_hosts2'];

/** `user@host`, with the port when it is an unusual one. */
export function describeTarget({ user, host, port }: Pick<SshTarget, 'user' | 'host' | 'port'>): string {
  const name = host.includes(':') ? `[${host}]` : host;
  return port === 22 ? `${user}@${name}` : `${user}@${name}:${port}`;
}

/** Throws `config` when `ssh_config` cannot be read or understood. */
export async function resolveTarget(request: SshRequest): Promise<SshTarget> {
  const local = localFacts();
  const lines = await readSshConfig(request.configFile, local);
  const { host, user, port } = request;
  return toTarget(request, local, settingsFor(lines, { host, user, port, localUser: local.user, succeeds }));
}

export function localFacts(): LocalFacts {
  const { username, uid, homedir } = os.userInfo();
  return { user: username, uid, home: process.env['HOME'] ?? homedir, hostName: os.hostname(), environment: process.env };
}

function succeeds(command: string): boolean {
  return spawnSync('/bin/sh', ['-c', command], { stdio: 'ignore' }).status === 0;
}

function toTarget(request: SshRequest, local: LocalFacts, settings: SshSettings): SshTarget {
  const [host, port, user] = [settings.hostName, settings.port ?? 22, settings.user ?? local.user];
  const alias = settings.hostKeyAlias;
  const tokens = connectionTokens(local, { original: request.host, host, port, user, alias, jump: settings.proxyJump });
  const path = (value: string, keyword: string): string => expandPath(value, local, tokens, keyword);
  const jump = jumpOf(settings.proxyJump, request);
  return {
    host, port, user, jump,
    name: { host, port, alias },
    knownHostsFiles: knownHostsFiles(request, settings).filter((file) => file !== 'none').map((file) => path(file, 'UserKnownHostsFile')),
    laxChecking: ['no', 'off', 'accept-new'].includes(settings.strictHostKeyChecking ?? '') ? settings.strictHostKeyChecking : undefined,
    identities: identities(request, settings, (value) => path(value, 'IdentityFile')),
    identitiesOnly: request.identityFile !== undefined || settings.identitiesOnly,
    agent: agentOf(settings.identityAgent, local, (value) => path(value, 'IdentityAgent')),
    passphrase: request.passphrase, password: request.password,
    timeoutMs: (settings.connectTimeout || TIMEOUT_SECONDS) * 1000,
    keepaliveMs: (settings.serverAliveInterval || KEEPALIVE_SECONDS) * 1000, keepaliveCount: settings.serverAliveCountMax ?? 3,
    family: settings.addressFamily === 'inet' ? 4 : settings.addressFamily === 'inet6' ? 6 : undefined,
    bindAddress: settings.bindAddress,
    command: settings.proxyCommand === undefined || jump !== undefined ? undefined : expandTokens(settings.proxyCommand, tokens, 'ProxyCommand'),
  };
}

function knownHostsFiles(request: SshRequest, settings: SshSettings): readonly string[] {
  if (request.knownHostsFile !== undefined) return [request.knownHostsFile];
  return [...(settings.userKnownHostsFiles ?? KNOWN_HOSTS), ...(settings.globalKnownHostsFiles ?? SYSTEM_KNOWN_HOSTS)];
}

function identities({ identityFile }: SshRequest, { identityFiles }: SshSettings, expand: (value: string) => string): readonly IdentityFile[] {
  if (identityFile !== undefined) return [{ path: identityFile, asked: 'explicitly' }];
  if (identityFiles.length === 0) return USUAL_KEYS.map((name) => ({ path: expand(`~/.ssh/${name}`), asked: 'by its usual name' }));
  return identityFiles.filter((file) => file.toLowerCase() !== 'none').map((file) => ({ path: expand(file), asked: 'by ssh_config' }));
}

function agentOf(setting: string | undefined, local: LocalFacts, expand: (value: string) => string): string | undefined {
  if (setting?.toLowerCase() === 'none') return undefined;
  if (setting === undefined || setting === 'SSH_AUTH_SOCK') return local.environment['SSH_AUTH_SOCK'] || undefined;
  return setting.startsWith('$') && !setting.startsWith('${') ? local.environment[setting.slice(1)] || undefined : expand(setting);
}

/**
 * The last of the hosts in `ProxyJump` is the one that reaches the target; those before it are how it is reached itself.
 * A jump host logs in with the keys that `ssh_config` has for it: it never gets the password of the target.
 */
function jumpOf(setting: string | undefined, request: SshRequest): SshRequest | undefined {
  const via = request.proxyJump ?? setting;
  if (via === undefined) return undefined;
  const hosts = via.split(',').map((host) => host.trim());
  const { user, host, port } = parseJump(hosts.at(-1) ?? '');
  // `Host *` with a ProxyJump means the jump host, too, which cannot be its own.
  if (host === request.host) return undefined;
  const before = hosts.slice(0, -1).join(',');
  const { configFile, knownHostsFile, passphrase } = request;
  return { host, user, port, configFile, knownHostsFile, passphrase, proxyJump: before === '' ? undefined : before };
}

/** `[user@]host[:port]` or `ssh://[user@]host[:port]`. */
function parseJump(text: string): { readonly user: string | undefined; readonly host: string; readonly port: number | undefined } {
  const match = /^(?:ssh:\/\/)?(?:(.+)@)?(\[[^\]]+\]|[^:@/]+)(?::(\d{1,5}))?\/?$/.exec(text);
  const [, user, host, port] = match ?? [];
  if (host === undefined) throw new HoldfastError('config', `ProxyJump of ssh_config cannot be '${text}'`, { hint: 'Write user@host:port.' });
  return { user, host: host.replace(/^\[(.*)\]$/, '$1'), port: port === undefined ? undefined : Number(port) };
}
