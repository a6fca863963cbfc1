/** Trees and their nodes (restic design.rst, "Trees and Data"): one JSON document a folder, nodes in byte order of their names. */
import type { Metadata } from '../entry.ts';
import type { RawName } from '../../base/raw-name.ts';
import { isUtf8 } from 'node:buffer';
import { goName, goString, parseGoName } from './go-json.ts';
import { toGoMode } from './go-mode.ts';
import { formatTime } from './go-time.ts';
import { isObject } from './json-shape.ts';
import { checkNodes, type NodeType, type TreeNode } from './tree-shape.ts';

export type { NodeType, TreeNode };

/**
 * The nodes of a tree blob, in byte order of their names. Keys that are not known are passed over, as restic does. Throws Error for
 * what no program writes that means well: names that lead elsewhere or occur twice, wrong types, ids that are none.
 */
export function parseTree(bytes: Uint8Array): readonly TreeNode[] {
  const document: unknown = JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8'));
  if (!isObject(document) || !Object.hasOwn(document, 'nodes')) throw new Error('a tree without nodes');
  const nodes = document['nodes'] ?? [];
  if (!Array.isArray(nodes)) throw new Error('the nodes of a tree are no list');
  return checkNodes(nodes);
}

export function nodeName(node: TreeNode): RawName {
  return parseGoName(node.name);
}

export function linkTarget(node: TreeNode): RawName {
  if (node.linktarget_raw !== undefined) return Buffer.from(node.linktarget_raw, 'base64').toString('latin1');
  return Buffer.from(node.linktarget ?? '', 'utf8').toString('latin1');
}

/** What a node says beside its metadata. */
export interface NodeBody {
  readonly type: NodeType;
  /** Ids of the data blobs, for files. */
  readonly content?: readonly string[];
  /** Bytes that were read, for files; the metadata's size is only what the file system promised. */
  readonly size?: number;
  readonly subtree?: string;
  readonly target?: RawName;
}

/** One node as JSON, fields in the order of restic's struct. */
export function encodeNode(name: RawName, metadata: Metadata, body: NodeBody): string {
  const mode = toGoMode(metadata.mode);
  const mtime = formatTime(metadata.mtimeNs);
  const ctime = metadata.ctimeNs === metadata.mtimeNs ? mtime : formatTime(metadata.ctimeNs);
  const atime = metadata.atimeNs === metadata.mtimeNs ? mtime : formatTime(metadata.atimeNs);
  let json = `{"name":${goName(name)},"type":"${body.type}"`;
  if (mode !== 0) json += `,"mode":${mode}`;
  json += `,"mtime":"${mtime}","atime":"${atime}","ctime":"${ctime}"${owner(metadata)}`;
  if (metadata.inode !== 0n) json += `,"inode":${metadata.inode}`;
  if (metadata.deviceId !== 0n) json += `,"device_id":${metadata.deviceId}`;
  if (body.type === 'file' && body.size) json += `,"size":${body.size}`;
  if (body.type !== 'dir' && metadata.links > 0 && body.type !== 'fifo' && body.type !== 'socket') json += `,"links":${metadata.links}`;
  if (body.target !== undefined) json += encodeTarget(body.target);
  json += encodeAttributes(metadata);
  if (metadata.device) json += `,"device":${metadata.device}`;
  json += body.content ? `,"content":${body.content.length ? `["${body.content.join('","')}"]` : '[]'}` : ',"content":null';
  return body.subtree === undefined ? `${json}}` : `${json},"subtree":"${body.subtree}"}`;
}

let lastOwner: readonly [number, number, string | undefined, string | undefined, string] = [-1, -1, undefined, undefined, ''];

function owner({ uid, gid, user, group }: Metadata): string {
  if (lastOwner[0] !== uid || lastOwner[1] !== gid || lastOwner[2] !== user || lastOwner[3] !== group) {
    const names = (user ? `,"user":${goString(user)}` : '') + (group ? `,"group":${goString(group)}` : '');
    lastOwner = [uid, gid, user, group, `,"uid":${uid},"gid":${gid}${names}`];
  }
  return lastOwner[4];
}

function encodeTarget(target: RawName): string {
  const bytes = Buffer.from(target, 'latin1');
  const text = target === '' ? '' : `,"linktarget":${goString(bytes.toString('utf8'))}`;
  return isUtf8(bytes) ? text : `${text},"linktarget_raw":"${bytes.toString('base64')}"`;
}

function encodeAttributes({ attributes }: Metadata): string {
  if (!attributes || attributes.length === 0) return '';
  const list = attributes.map(({ name, value }) => {
    const bytes = Buffer.from(value);
    return `{"name":${goString(name)},"value":${bytes.length ? `"${bytes.toString('base64')}"` : 'null'}}`;
  });
  return `,"extended_attributes":[${list.join(',')}]`;
}

/** A tree blob of nodes that are in byte order of their names already. */
export function encodeTree(nodes: readonly string[]): Buffer {
  return Buffer.from(`{"nodes":[${nodes.join(',')}]}\n`);
}
