/** Private keys from files and from the agent, in the order in which they are offered. */
import * as fs from 'node:fs/promises';
import type { Duplex } from 'node:stream';
import ssh2 from 'ssh2';
import type { BaseAgent, GetStreamCallback, ParsedKey } from 'ssh2';
import { HoldfastError, messageOf, systemCode } from '../../base/errors.ts';
import { fingerprint } from './host-key.ts';
import type { IdentityFile, SshTarget } from './target.ts';

export interface AgentKey {
  readonly agent: BaseAgent<ParsedKey>;
  readonly key: ParsedKey;
  readonly comment: string;
}

/** Something to log in with. */
export type Identity =
  | { readonly from: 'agent'; readonly agentKey: AgentKey; readonly label: string }
  | { readonly from: 'file'; readonly file: IdentityFile; readonly bytes: Buffer; readonly label: string };

export interface Identities {
  readonly usable: readonly Identity[];
  /** What could not be used and why, for whoever is refused in the end. */
  readonly notes: readonly string[];
}

/**
 * What there is to offer: keys of the agent that are also named as files, its other keys, then files. Throws `storage-denied` or
 * `secret-exposed` when a key that was explicitly asked for cannot be read.
 */
export async function gatherIdentities(target: SshTarget): Promise<Identities> {
  const notes: string[] = [];
  const agentKeys = target.agent === undefined ? [] : await keysOfAgent(target.agent, notes);
  const [named, files]: [Identity[], Identity[]] = [[], []];
  for (const file of target.identities) {
    const bytes = await readKeyFile(file, notes);
    const held = agentKeys.find(({ key }) => bytes !== undefined && sameKey(key, bytes.publicKey));
    if (held) named.push({ from: 'agent', agentKey: held, label: `key ${file.path} from the agent` });
    else if (bytes?.isPublic) notes.push(`${file.path}: is a public key, and the agent does not hold the private one`);
    else if (bytes) files.push({ from: 'file', file, bytes: bytes.content, label: `key ${file.path}` });
  }
  const rest = target.identitiesOnly ? [] : agentKeys.filter((one) => !named.some((identity) => identity.from === 'agent' && identity.agentKey === one));
  return { usable: [...named, ...rest.map(fromAgent), ...files], notes };
}

function fromAgent(agentKey: AgentKey): Identity {
  return { from: 'agent', agentKey, label: `key ${fingerprint(agentKey.key.getPublicSSH())}${agentKey.comment === '' ? '' : ` (${agentKey.comment})`} from the agent` };
}

/** An agent that does not answer at all is left alone after this. */
const AGENT_MS = 5000;

async function keysOfAgent(path: string, notes: string[]): Promise<readonly AgentKey[]> {
  const agent = new WatchedAgent(path);
  return await new Promise((resolve) => {
    const timer = setTimeout(() => agent.hangUp(), AGENT_MS);
    agent.getIdentities((error, keys) => {
      clearTimeout(timer);
      if (error || !keys) notes.push(`the agent at ${path} does not answer`);
      resolve((keys ?? []).flatMap((key) => ('getPublicSSH' in key ? [{ agent, key, comment: key.comment }] : [])));
    });
  });
}

/** The agent, whose socket can be closed when it says nothing: it would keep the process alive. */
class WatchedAgent extends ssh2.OpenSSHAgent {
  #stream: Duplex | undefined;

  override getStream(cb: GetStreamCallback): void {
    super.getStream((error, stream) => {
      this.#stream = stream;
      cb(error, stream);
    });
  }

  hangUp(): void {
    this.#stream?.destroy();
  }
}

function sameKey(key: ParsedKey, publicKey: Buffer | undefined): boolean {
  return publicKey !== undefined && key.getPublicSSH().equals(publicKey);
}

interface KeyFile {
  readonly content: Buffer;
  /** The file holds nothing secret: it only says which key of the agent is meant. */
  readonly isPublic: boolean;
  /** Undefined for old formats that hide it behind the passphrase. */
  readonly publicKey: Buffer | undefined;
}

async function readKeyFile(file: IdentityFile, notes: string[]): Promise<KeyFile | undefined> {
  const give = (says: string, refusal: () => HoldfastError): undefined => {
    if (file.asked === 'explicitly') throw refusal();
    notes.push(`${file.path}: ${says}`);
    return undefined;
  };
  try {
    const content = await fs.readFile(file.path);
    const isPublic = /^(?:ssh|ecdsa|sk)-\S+ AAAA/.test(content.toString('latin1', 0, 100));
    if (!isPublic && (await isExposed(file.path))) {
      return give('others can read it, so it is not used', () => new HoldfastError('secret-exposed', `the private key ${file.path} can be read by others`, { hint: `Run: chmod 600 ${file.path}` }));
    }
    return { content, isPublic, publicKey: publicPart(content) ?? (await neighbour(file.path)) };
  } catch (error) {
    if (error instanceof HoldfastError) throw error;
    const missing = systemCode(error) === 'ENOENT';
    // The usual names are only tried; nobody said that they exist.
    if (missing && file.asked === 'by its usual name') return undefined;
    const says = missing ? 'there is no such file' : messageOf(error);
    return give(says, () => new HoldfastError('storage-denied', `the private key ${file.path} cannot be read: ${says}`, { hint: 'Check `identity:` of the repository, and as whom this runs.', cause: error }));
  }
}

/** As OpenSSH looks at it: a key of ours that group or others may read. */
async function isExposed(file: string): Promise<boolean> {
  const { uid, mode } = await fs.stat(file);
  return uid === process.getuid?.() && (mode & 0o077) !== 0;
}

async function neighbour(file: string): Promise<Buffer | undefined> {
  try {
    return publicPart(await fs.readFile(`${file}.pub`));
  } catch {
    // Without the public part the key is still used; only the agent cannot be asked for it by name.
    return undefined;
  }
}

const NEW_FORMAT = /-----BEGIN OPENSSH PRIVATE KEY-----([\s\S]+?)-----END/;
const MAGIC = Buffer.from('openssh-key-v1\0', 'latin1');

/** The public key in a `.pub` file, or in the unencrypted head of OpenSSH's own format (PROTOCOL.key). */
export function publicPart(content: Buffer): Buffer | undefined {
  const text = content.toString('latin1');
  const line = /^(?:ssh|ecdsa|sk)-\S+ ([A-Za-z0-9+/]+={0,2})/.exec(text)?.[1];
  if (line !== undefined) return Buffer.from(line, 'base64');
  const bytes = Buffer.from(NEW_FORMAT.exec(text)?.[1] ?? '', 'base64');
  if (!bytes.subarray(0, MAGIC.length).equals(MAGIC)) return undefined;
  let at = MAGIC.length;
  // Cipher, key derivation, its options; then how many keys there are, then the first of them.
  for (let field = 0; field < 3; field++) at += 4 + (at + 4 <= bytes.length ? bytes.readUInt32BE(at) : 0);
  at += 4;
  if (at + 4 > bytes.length) return undefined;
  const length = bytes.readUInt32BE(at);
  return at + 4 + length <= bytes.length ? bytes.subarray(at + 4, at + 4 + length) : undefined;
}
