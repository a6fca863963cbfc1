/** What the nodes of a tree must look like before anything is built from them. */
import type { RawName } from '../../base/raw-name.ts';
import { parseGoName } from './go-json.ts';
import { parseTime } from './go-time.ts';
import { isId, isObject, isUint, isUint32, type JsonObject } from './json-shape.ts';

export type NodeType = 'file' | 'dir' | 'symlink' | 'dev' | 'chardev' | 'fifo' | 'socket' | 'irregular';

/** A node as it was read. Names are decoded by `nodeName`, since most nodes of a tree are looked at by their JSON name only. */
export interface TreeNode {
  /** As quoted by Go; see `nodeName`. */
  readonly name: string;
  readonly type: NodeType;
  readonly mode?: number;
  readonly mtime?: string;
  readonly atime?: string;
  readonly ctime?: string;
  readonly uid?: number;
  readonly gid?: number;
  readonly user?: string;
  readonly group?: string;
  readonly inode?: number;
  readonly device_id?: number;
  readonly size?: number;
  readonly links?: number;
  readonly linktarget?: string;
  readonly linktarget_raw?: string;
  readonly extended_attributes?: readonly { readonly name: string; readonly value: string }[];
  readonly device?: number;
  readonly content?: readonly string[] | null;
  readonly subtree?: string;
}

const TYPES: ReadonlySet<unknown> = new Set<NodeType>(['file', 'dir', 'symlink', 'dev', 'chardev', 'fifo', 'socket', 'irregular']);

type Check = (value: unknown) => boolean;

const isText: Check = (value) => typeof value === 'string';
/** Numbers of 64 bits lose their last digits in JavaScript, which is no harm to what only tells files apart. */
const isWide: Check = (value) => typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= 2 ** 64;
const isIds: Check = (value) => Array.isArray(value) && value.every(isId);

/** Every field that may be missing. */
const FIELDS: Readonly<Record<Exclude<keyof TreeNode, 'name' | 'type'>, Check>> = {
  mode: isUint32, uid: isUint32, gid: isUint32, mtime: isTime, atime: isTime, ctime: isTime, user: isText, group: isText,
  inode: isWide, device_id: isWide, size: (value) => isUint(value), links: isWide, linktarget: isText, linktarget_raw: isText,
  extended_attributes: isAttributes, device: isWide, content: isIds, subtree: isId,
};
const CHECKS: ReadonlyMap<string, Check> = new Map(Object.entries(FIELDS));

/** Times that `parseTime` takes, told without the work of parsing them: there are three in every node. */
const USUAL_TIME = /^\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,9})?(?:Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)$/;

function isTime(value: unknown): boolean {
  if (typeof value !== 'string') return false;
  if (USUAL_TIME.test(value)) return true;
  try {
    parseTime(value);
    return true;
  } catch {
    return false;
  }
}

function isAttributes(value: unknown): boolean {
  return Array.isArray(value) && value.every((item) => isObject(item) && typeof item['name'] === 'string' && (typeof item['value'] === 'string' || (item['value'] ?? null) === null));
}

/** The nodes, checked, in byte order of their names. Throws Error. */
export function checkNodes(nodes: readonly unknown[]): readonly TreeNode[] {
  let last: RawName | undefined;
  let ordered = true;
  const checked = nodes.map((node) => {
    const name = checkName(node);
    if (last !== undefined && name <= last) ordered = false;
    last = name;
    return checkNode(node as JsonObject, name);
  });
  return ordered ? checked : inOrder(checked);
}

/** Order is not worth losing a folder for; two things of one name are. */
function inOrder(nodes: readonly TreeNode[]): readonly TreeNode[] {
  const byName = new Map(nodes.map((node) => [parseGoName(node.name), node]));
  if (byName.size < nodes.length) throw new Error('two nodes have the same name');
  return [...byName].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, node]) => node);
}

/** A name that leads elsewhere can only come from a program that means harm. */
function checkName(node: unknown): RawName {
  if (!isObject(node) || typeof node['name'] !== 'string' || !Object.hasOwn(node, 'name')) throw new Error('a node without a name');
  const name = parseGoName(node['name']);
  if (name === '' || name === '.' || name === '..' || name.includes('/') || name.includes('\0')) throw new Error(`it holds the impossible name '${node['name'].slice(0, 100)}'`);
  return name;
}

function checkNode(node: JsonObject, name: RawName): TreeNode {
  if (!TYPES.has(node['type'])) throw new Error(`its node '${name.slice(0, 100)}' has a type that is not known`);
  let nulls = false;
  for (const field in node) {
    const check = CHECKS.get(field);
    const value = node[field];
    if (value === null) nulls = true;
    else if (check !== undefined && !check(value)) throw new Error(`the field '${field}' of its node '${name.slice(0, 100)}' is not what it should be`);
  }
  // Some programs write null where restic writes nothing.
  return (nulls ? Object.fromEntries(Object.entries(node).filter(([field, value]) => value !== null || field === 'content')) : node) as unknown as TreeNode;
}
