/** A storage that fails when told to: for tests of everything that must survive failures. */
import { HoldfastError } from '../base/errors.ts';
import type { FileKind, Storage, StoredFile } from './storage.ts';

export type Call = 'save' | 'load' | 'list' | 'size' | 'remove';

export interface Faults {
  /** Fails the n-th call (from 1) of a method, counted for one kind of file or for all. */
  failOn(call: Call, nth: number, options?: { readonly kind?: FileKind; readonly error?: Error }): void;
  /** Flips one bit of what `load` answers for this file. */
  corrupt(id: string, byte: number): void;
  readonly calls: readonly { readonly call: Call; readonly file: Partial<StoredFile> }[];
}

interface Plan {
  readonly call: Call;
  readonly kind: FileKind | undefined;
  readonly error: Error;
  left: number;
}

/** The same storage with faults that the test decides. */
export function faulty(storage: Storage): Storage & { readonly faults: Faults } {
  const plans: Plan[] = [];
  const corruptions = new Map<string, number>();
  const calls: { call: Call; file: Partial<StoredFile> }[] = [];
  const step = (call: Call, file: Partial<StoredFile>): void => {
    calls.push({ call, file });
    for (const plan of plans) {
      if (plan.call !== call || (plan.kind !== undefined && plan.kind !== file.kind)) continue;
      if (--plan.left === 0) throw plan.error;
    }
  };
  const faults: Faults = {
    calls,
    failOn: (call, nth, options = {}) => {
      const error = options.error ?? new HoldfastError('storage-failed', `the test lets ${call} fail`);
      plans.push({ call, kind: options.kind, error, left: nth });
    },
    corrupt: (id, byte) => corruptions.set(id, byte),
  };
  return {
    faults,
    location: `faulty ${storage.location}`,
    save: async (file, bytes) => {
      step('save', file);
      await storage.save(file, bytes);
    },
    load: async (file, range) => {
      step('load', file);
      const bytes = await storage.load(file, range);
      const at = (corruptions.get(file.id) ?? -1) - (range?.offset ?? 0);
      if (at >= 0 && at < bytes.length) bytes[at] = (bytes[at] ?? 0) ^ 1;
      return bytes;
    },
    list: (kind) => {
      step('list', { kind });
      return storage.list(kind);
    },
    size: async (file) => {
      step('size', file);
      return await storage.size(file);
    },
    remove: async (file) => {
      step('remove', file);
      await storage.remove(file);
    },
  };
}
