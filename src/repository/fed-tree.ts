/** The nodes of a folder that feeds itself, by path, until its trees can be written. */
import type { RawName } from '../base/raw-name.ts';
import type { Metadata } from './entry.ts';

type Pending = string | undefined | Promise<string | undefined>;

export interface FedFolder {
  readonly nodes: ReadonlyMap<RawName, Pending>;
  readonly folders: ReadonlyMap<RawName, FedSubfolder>;
}

export interface FedSubfolder extends FedFolder {
  readonly metadata: Metadata;
}

interface Growing {
  readonly metadata: Metadata;
  readonly nodes: Map<RawName, Pending>;
  readonly folders: Map<RawName, Growing>;
}

export class FedTree {
  readonly #root: { readonly nodes: Map<RawName, Pending>; readonly folders: Map<RawName, Growing> } = { nodes: new Map(), folders: new Map() };

  get root(): FedFolder {
    return this.#root;
  }

  addFolder(path: RawName, metadata: Metadata): void {
    const [parent, name] = this.#place(path);
    parent.folders.set(name, { metadata, nodes: new Map(), folders: new Map() });
  }

  add(path: RawName, node: Pending): void {
    const [parent, name] = this.#place(path);
    parent.nodes.set(name, node);
  }

  /** Forgets everything, when all of it was read. */
  async clear(): Promise<void> {
    const { nodes, folders } = this.#root;
    const all = function* (folder: FedFolder): Generator<Pending> {
      yield* folder.nodes.values();
      for (const child of folder.folders.values()) yield* all(child);
    };
    await Promise.all([...all(this.#root)].map(async (node) => await node));
    nodes.clear();
    folders.clear();
  }

  /** Refuses names that would lead out of the folder, or hide one another. */
  #place(path: RawName): readonly [Pick<Growing, 'nodes' | 'folders'>, RawName] {
    const parts = path.split('/');
    const name = parts.pop() ?? '';
    if ([...parts, name].some((part) => part === '' || part === '.' || part === '..' || part.includes('\0'))) throw new Error(`'${path}' is no path within the folder`);
    let folder: Pick<Growing, 'nodes' | 'folders'> = this.#root;
    for (const part of parts) {
      const next = folder.folders.get(part);
      if (next === undefined) throw new Error(`'${path}' has come before its folder`);
      folder = next;
    }
    if (folder.nodes.has(name) || folder.folders.has(name)) throw new Error(`'${path}' has come twice`);
    return [folder, name];
  }
}
