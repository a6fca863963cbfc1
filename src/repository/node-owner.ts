import type { Accounts } from '../base/accounts.ts';
import type { TreeNode } from './format/tree.ts';

/** Whom a restored node belongs to: the numbers it was recorded with or, by name, those of the accounts of that name where they exist here. */
export function ownerOf(node: TreeNode, accounts: Accounts, byName: boolean): { readonly uid: number; readonly gid: number } {
  return {
    uid: (byName && node.user !== undefined ? accounts.userNumber(node.user) : undefined) ?? node.uid ?? 0,
    gid: (byName && node.group !== undefined ? accounts.groupNumber(node.group) : undefined) ?? node.gid ?? 0,
  };
}
