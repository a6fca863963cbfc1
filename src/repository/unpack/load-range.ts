import type { Core } from '../core.ts';
import type { PackRange } from './messages.ts';

/** A range for a thread: the path where threads can read the storage's files themselves, else the loaded bytes. */
export async function loadRange(core: Core, range: { readonly pack: string; readonly offset: number; readonly length: number }): Promise<PackRange> {
  const { pack, offset, length } = range;
  const file = { kind: 'pack', id: pack } as const;
  const path = core.storage.localPath?.(file);
  if (path !== undefined) return { pack, offset, length, path };
  return { pack, offset, length, bytes: await core.storage.load(file, { offset, length }) };
}
