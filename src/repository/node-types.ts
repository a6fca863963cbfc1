/** The type bits of `st_mode` for each type of node. */
import type { TreeNode } from './format/tree.ts';

export const NODE_MODES: Readonly<Record<TreeNode['type'], number>> = {
  file: 0o100000, dir: 0o040000, symlink: 0o120000, fifo: 0o010000, socket: 0o140000, dev: 0o060000, chardev: 0o020000, irregular: 0,
};
