/** Changes a tree and leaves every node that stays as it is byte for byte: other programs write fields that we do not know. */
import { JsonScan } from './json-scan.ts';

/** The nodes of a tree as they stand in it, in their order. Throws when it is none. */
export function rawNodes(tree: Buffer): readonly string[] {
  const scan = new JsonScan(tree);
  const nodes: string[] = [];
  scan.object((key) => {
    if (key === 'nodes') scan.array(() => void nodes.push(scan.raw().toString('utf8')));
    else scan.skip();
  });
  scan.end();
  return nodes;
}

/** The node of a folder with another tree. */
export function withSubtree(node: string, from: string | undefined, to: string): string {
  // A quote inside a string has a backslash before it, so this is the field and nothing else.
  const field = `"subtree":"${from ?? ''}"`;
  if (from !== undefined && node.includes(field)) return node.replace(field, `"subtree":"${to}"`);
  const fields: unknown = JSON.parse(node);
  return JSON.stringify({ ...(fields as object), subtree: to });
}
