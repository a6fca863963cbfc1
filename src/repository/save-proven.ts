/** Stores a file and reads it back from where it lies: it counts only when it is there as it was written. */
import { HoldfastError } from '../base/errors.ts';
import type { Call, Storage, StoredFile } from '../storage/storage.ts';

const READ_BYTES = 1 << 20;

/** Throws what `save` and `load` throw, and `storage-failed` when what was stored is not what was given; then nothing of it is left. */
export async function saveProven(storage: Storage, file: StoredFile, bytes: Uint8Array, call?: Call): Promise<void> {
  await storage.save(file, bytes, call);
  const same = storage.holds ? await storage.holds(file, bytes, call) : await loadsAs(storage, file, bytes);
  if (same) return;
  // What does not fit its name is of use to nobody, and a later run would stumble over it. That it cannot be removed adds nothing to the error.
  await storage.remove(file).catch(() => undefined);
  throw new HoldfastError('storage-failed', `${file.kind} ${file.id.slice(0, 10)} was written to ${storage.location} and reads back different`, {
    hint: 'The disk, the network or the memory of this host is at fault. Nothing was recorded; look at its logs before you try again.',
  });
}

async function loadsAs(storage: Storage, file: StoredFile, bytes: Uint8Array): Promise<boolean> {
  if ((await storage.size(file)) !== bytes.length) return false;
  for (let offset = 0; offset < bytes.length; offset += READ_BYTES) {
    const part = bytes.subarray(offset, offset + READ_BYTES);
    // A cache that has kept it since it was saved would only repeat what it was told.
    if (!(await storage.load(file, { offset, length: part.length }, { keep: false })).equals(part)) return false;
  }
  return true;
}
