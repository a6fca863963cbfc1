/** A login on an SSH server, reached directly, through jump hosts or through a command. */
import { spawn } from 'node:child_process';
import * as fs from 'node:fs/promises';
import * as net from 'node:net';
import { Duplex } from 'node:stream';
import ssh2 from 'ssh2';
import type { Client } from 'ssh2';
import { HoldfastError, messageOf, systemCode } from '../../base/errors.ts';
import { Authentication } from './authentication.ts';
import { connectFailure, hostKeyRefused } from './failure.ts';
import { preferKnown } from './host-key.ts';
import { judgeHostKey, knownTypes, parseKnownHosts, type KnownHost } from './known-hosts.ts';
import { describeTarget, resolveTarget, type SshRequest, type SshTarget } from './target.ts';

/** More hosts on the way than anybody has: a loop. */
const MOST_JUMPS = 8;

/** AES-GCM first: it runs in OpenSSL, several times as fast as the others, which ssh2 computes in JavaScript or WASM. */
const CIPHERS = ['aes256-gcm@openssh.com', 'aes128-gcm@openssh.com', 'aes256-ctr', 'aes192-ctr', 'aes128-ctr', 'chacha20-poly1305@openssh.com'] as const;

export interface SshConnection {
  readonly target: SshTarget;
  readonly client: Client;
  /** Resolves when the connection is over, whoever ended it, with the reason where one is known. */
  readonly ended: Promise<Error | undefined>;
  /** Ends the connection and those that it goes through, at once. */
  close(): void;
}

/**
 * Connects and logs in. Throws `config` for a bad `ssh_config`; `storage-denied` when the login is refused, `secret-exposed` for a key that
 * others can read; `storage-failed` for the rest: transient when trying again may help, not so for a host key that is not
 * the known one. The signal gives up.
 */
export async function connectSsh(request: SshRequest, signal: AbortSignal, depth = 0): Promise<SshConnection> {
  const target = await resolveTarget(request);
  if (depth > MOST_JUMPS) throw new HoldfastError('config', `the jump hosts of ssh_config go in a circle at ${describeTarget(target)}`, { hint: 'Look at ProxyJump of the hosts on the way: `ssh -G HOST` shows each.' });
  // Before anything is connected: a socket that nobody reads from could fail unheard.
  const ready = { target, signal, authentication: await Authentication.prepare(target), known: await readKnownHosts(target) };
  signal.throwIfAborted();
  if (target.jump === undefined) return await shakeHands(await openSocket(target, signal), ready);
  const jump = await connectSsh(target.jump, signal, depth + 1);
  try {
    return await shakeHands(await forward(jump, target, signal), ready, jump);
  } catch (error) {
    jump.close();
    throw error;
  }
}

async function openSocket(target: SshTarget, signal: AbortSignal): Promise<Duplex> {
  if (target.command !== undefined) return commandSocket(target.command);
  const { host, port, family, bindAddress, timeoutMs } = target;
  return await new Promise((resolve, reject) => {
    const socket = net.connect({ host, port, ...(family !== undefined && { family }), ...(bindAddress !== undefined && { localAddress: bindAddress }) });
    // Small requests wait for an answer each: holding them back to fill a packet would cost 40 ms every time.
    socket.setNoDelay(true);
    const end = (error: Error): void => {
      finish();
      socket.destroy();
      reject(error);
    };
    const fail = (error: Error): void => end(connectFailure(target, error));
    const giveUp = (): void => end(asError(signal.reason));
    const timer = setTimeout(() => fail(Object.assign(new Error('no answer'), { code: 'ETIMEDOUT' })), timeoutMs);
    const finish = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', giveUp);
      socket.removeListener('error', fail);
    };
    signal.addEventListener('abort', giveUp);
    socket.once('error', fail);
    socket.once('connect', () => {
      finish();
      resolve(socket);
    });
    if (signal.aborted) giveUp();
  });
}

/** `ProxyCommand`: what the command reads and writes is the connection. */
function commandSocket(command: string): Duplex {
  const child = spawn('/bin/sh', ['-c', `exec ${command}`], { stdio: ['pipe', 'pipe', 'inherit'] });
  const duplex = Duplex.from({ readable: child.stdout, writable: child.stdin });
  duplex.once('close', () => child.kill());
  child.once('error', (error) => duplex.destroy(error));
  return duplex;
}

async function forward(jump: SshConnection, target: SshTarget, signal: AbortSignal): Promise<Duplex> {
  const through = `cannot reach ${describeTarget(target)} through ${describeTarget(jump.target)}`;
  return await new Promise((resolve, reject) => {
    const giveUp = (): void => reject(asError(signal.reason));
    const timer = setTimeout(() => reject(new HoldfastError('storage-failed', `${through}: there was no answer`, { hint: 'Check the address, the port and the firewalls between the two.', transient: true })), target.timeoutMs);
    signal.addEventListener('abort', giveUp);
    jump.client.forwardOut('127.0.0.1', 0, target.host, target.port, (error, stream) => {
      clearTimeout(timer);
      signal.removeEventListener('abort', giveUp);
      if (!error) resolve(stream);
      else reject(notForwarded(through, error));
    });
    if (signal.aborted) giveUp();
  });
}

/** The reasons of RFC 4254, 5.1: 1 is "prohibited", 2 is "connect failed". */
function notForwarded(through: string, error: Error): HoldfastError {
  const reason: unknown = Reflect.get(error, 'reason');
  if (reason === 1) return new HoldfastError('storage-failed', `${through}: the jump host does not allow it`, { hint: 'Its sshd_config needs AllowTcpForwarding yes, and PermitOpen for that host.', cause: error });
  const says = reason === 2 ? 'the jump host cannot connect to it' : messageOf(error);
  return new HoldfastError('storage-failed', `${through}: ${says}`, { hint: 'Is the SSH server behind it running, and are address and port right as the jump host sees them?', cause: error });
}

interface Prepared {
  readonly target: SshTarget;
  readonly signal: AbortSignal;
  readonly authentication: Authentication;
  readonly known: readonly KnownHost[];
}

async function shakeHands(sock: Duplex, { target, signal, authentication, known }: Prepared, jump?: SshConnection): Promise<SshConnection> {
  const client = new ssh2.Client();
  let reason: Error | undefined;
  let refusal: HoldfastError | undefined;
  const ended = new Promise<Error | undefined>((resolve) => client.once('close', () => {
    jump?.close();
    resolve(reason);
  }));
  // The socket itself: ssh2 would leave one open whose other end does not answer its goodbye.
  const close = (): void => {
    sock.destroy();
    jump?.close();
  };
  const { promise: aborted, reject: giveUp } = Promise.withResolvers<never>();
  const onAbort = (): void => giveUp(asError(signal.reason));
  signal.addEventListener('abort', onAbort);
  const greeted = new Promise<void>((resolve, reject) => {
    void ended.then(() => reject(refusal ?? connectFailure(target, reason ?? new Error('the connection ended'))));
    client.on('error', (error) => {
      // An agent that does not sign is no end: the next key is tried.
      if ('level' in error && error.level === 'agent') authentication.note(`the agent: ${messageOf(error)}`);
      else reason ??= error;
      if (reason === undefined) return;
      reject(refusal ?? (isRefusal(reason) ? authentication.refusal() : connectFailure(target, reason)));
      // Nothing goes on after an error, whether the other end notices or not.
      close();
    });
    client.once('ready', resolve);
    client.connect({
      sock, username: target.user, readyTimeout: target.timeoutMs,
      algorithms: { cipher: [...CIPHERS], serverHostKey: [...preferKnown(knownTypes(known, target.name))], compress: ['none'] },
      hostVerifier: (key: Buffer) => {
        const judgement = judgeHostKey(known, target.name, key);
        if (judgement.kind !== 'known') refusal = hostKeyRefused(target, key, judgement);
        return judgement.kind === 'known';
      },
      authHandler: (methodsLeft, partialSuccess, next) => {
        const method = authentication.next(methodsLeft, partialSuccess);
        // ssh2 takes `false` for "no more", which its types do not say.
        if (method === false) Reflect.apply(next, undefined, [false]);
        else next(method);
      },
    });
  });
  try {
    await Promise.race([greeted, aborted]);
    return { target, client, ended, close };
  } catch (error) {
    close();
    throw error;
  } finally {
    signal.removeEventListener('abort', onAbort);
    greeted.catch(() => undefined);
  }
}

function isRefusal(error: Error): boolean {
  return 'level' in error && error.level === 'client-authentication';
}

async function readKnownHosts(target: SshTarget): Promise<readonly KnownHost[]> {
  const entries: KnownHost[] = [];
  for (const file of target.knownHostsFiles) {
    try {
      entries.push(...parseKnownHosts(await fs.readFile(file, 'utf8'), file));
    } catch (error) {
      if (['ENOENT', 'ENOTDIR'].includes(systemCode(error) ?? '')) continue;
      throw new HoldfastError('storage-failed', `the known hosts in ${file} cannot be read: ${messageOf(error)}`, { hint: 'Check who may read that file.', cause: error });
    }
  }
  return entries;
}

function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error(messageOf(reason));
}
