/**
 * What verifications have found: sealed documents in a folder of their own, which other programs do not look at. A proof is about
 * one snapshot of this repository; it is not copied along.
 */
import { HoldfastError, isHoldfastError, messageOf } from '../base/errors.ts';
import { Semaphore } from '../base/semaphore.ts';
import { listIds, loadDocument, saveDocument, type Core } from './core.ts';
import { encodeDocument } from './format/documents.ts';
import { parseTime } from './format/go-time.ts';
import type { Snapshot } from './snapshot.ts';

export interface ProofDocument {
  /** Id of the snapshot, and of its tree: tags may be changed, which gives a snapshot another id. */
  readonly snapshot: string;
  readonly tree: string;
  /** RFC 3339; when the verification ended. */
  readonly time: string;
  readonly program: string;
  readonly hostname: string;
  readonly seconds: number;
  readonly state: 'proven' | 'failed';
  readonly files: number;
  /** Bytes of the files. */
  readonly bytes: number;
  /** Of tables, rows …: what the manifest counts. */
  readonly counts: Readonly<Record<string, number>>;
  /** What differed; at most 100. */
  readonly problems: readonly { readonly subject: string; readonly message: string }[];
}

export interface Proof extends ProofDocument {
  readonly id: string;
}

export interface Proofs {
  readonly proofs: readonly Proof[];
  /** Ids of proofs that cannot be read. They prove nothing. */
  readonly unreadable: readonly string[];
}

/** All proofs, oldest first. */
export async function listProofs(core: Core): Promise<Proofs> {
  const proofs: Proof[] = [];
  const unreadable: string[] = [];
  const turns = new Semaphore(core.storage.parallel ?? 1);
  const load = async (id: string): Promise<void> => {
    try {
      proofs.push({ ...parseProof(await loadDocument(core, 'proof', id)), id });
    } catch (error) {
      // It was removed since it was listed, along with its snapshot.
      if (isHoldfastError(error, 'file-missing')) return;
      if (!isHoldfastError(error, 'repository-damaged')) throw error;
      unreadable.push(id);
    }
  };
  await Promise.all((await listIds(core.storage, 'proof')).map((id) => turns.run(() => load(id))));
  return { proofs: proofs.sort((a, b) => Number(parseTime(a.time) - parseTime(b.time)) || (a.id < b.id ? -1 : 1)), unreadable };
}

function parseProof(json: string): ProofDocument {
  try {
    const { snapshot, tree, time, state, ...rest } = JSON.parse(json) as Partial<ProofDocument>;
    if (typeof snapshot !== 'string' || typeof tree !== 'string' || typeof time !== 'string') throw new Error('it lacks fields');
    if (state !== 'proven' && state !== 'failed') throw new Error('its state is not known');
    parseTime(time);
    const { program = '', hostname = '', seconds = 0, files = 0, bytes = 0, counts = {}, problems = [] } = rest;
    return { snapshot, tree, time, program, hostname, seconds, state, files, bytes, counts, problems };
  } catch (error) {
    throw new HoldfastError('repository-damaged', `a proof is not understood: ${messageOf(error)}`, { cause: error });
  }
}

export async function saveProof(core: Core, proof: ProofDocument): Promise<string> {
  return await saveDocument(core, 'proof', encodeDocument(proof));
}

/** The proofs that speak of this snapshot: by its id, or by the one that it had before its tags were changed. */
export function proofsOf(proofs: readonly Proof[], { id, original, tree }: Pick<Snapshot, 'id' | 'original' | 'tree'>): readonly Proof[] {
  return proofs.filter((proof) => proof.snapshot === id || (original !== undefined && proof.snapshot === original && proof.tree === tree));
}
