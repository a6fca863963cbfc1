/** Which file of a repository lies where: restic's default layout, relative to the place of the repository. */
import type { FileKind, StoredFile } from './storage.ts';

const FOLDERS: Readonly<Record<Exclude<FileKind, 'config'>, string>> = {
  key: 'keys', snapshot: 'snapshots', index: 'index', lock: 'locks', pack: 'data', proof: 'proofs',
};

export const PACK_FOLDERS: readonly string[] = Array.from({ length: 256 }, (_, i) => i.toString(16).padStart(2, '0'));

const ID = /^[0-9a-f]{64}$/;

export function isId(name: string): boolean {
  return ID.test(name);
}

/** The folder of a kind; undefined for the config, which lies at the top. */
export function folderOf(kind: FileKind): string | undefined {
  return kind === 'config' ? undefined : FOLDERS[kind];
}

/** Every folder of an empty repository. */
export function allFolders(): readonly string[] {
  return [...Object.values(FOLDERS), ...PACK_FOLDERS.map((name) => `data/${name}`)];
}

/** The path of a file. Throws on a name that is no id, which would lead elsewhere. */
export function pathOf({ kind, id }: StoredFile): string {
  const folder = folderOf(kind);
  if (folder === undefined) return 'config';
  if (!isId(id)) throw new Error(`'${id}' is no id of a ${kind}`);
  return kind === 'pack' ? `${folder}/${id.slice(0, 2)}/${id}` : `${folder}/${id}`;
}

/** For messages: `pack 1a2b3c4d`, `config`. */
export function nameOf({ kind, id }: StoredFile): string {
  return kind === 'config' ? 'the config file' : `${kind} ${id.slice(0, 10)}`;
}
