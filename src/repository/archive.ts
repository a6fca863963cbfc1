/**
 * Archives a tree of entries: contents through the pipeline, trees from the leaves up, index last. The caller writes the
 * snapshot after that, so that it never refers to what is not there. Dying anywhere before leaves whole packs, which the next
 * run takes up (index-loader.ts).
 */
import type { Clock } from '../base/clock.ts';
import { collectWhenGrown } from '../base/garbage.ts';
import { Semaphore } from '../base/semaphore.ts';
import type { RawName } from '../base/raw-name.ts';
import type { BlobIndex } from './blob-index.ts';
import { BlobReader } from './blob-reader.ts';
import type { Core } from './core.ts';
import type { Cut, DirectoryEntry, Entry, FedDirectoryEntry, FedFile, FileEntry, KeptContent, Metadata, Problem } from './entry.ts';
import { FedTree, type FedFolder } from './fed-tree.ts';
import { formatTime } from './format/go-time.ts';
import { encodeNode, nodeName, type TreeNode } from './format/tree.ts';
import type { Compression } from './packer.ts';
import { PackStore } from './pack-store.ts';
import { Pipeline, type GatheredFile } from './pipeline/pipeline.ts';
import type { FileContent } from './pipeline/file-table.ts';
import { TreeWriter } from './tree-writer.ts';

export interface ArchiveOptions {
  readonly root: DirectoryEntry;
  /** Contents of the kind `stream` that are read at once. */
  readonly parallel: number;
  /** The tree of an earlier snapshot of the same store: files that have not changed since are not read. */
  readonly previousTree: string | undefined;
  /** Entries that can only be made after all others were read; they are added to the root. */
  closing(): Promise<readonly Entry[]>;
  readonly compression: Compression;
  /** For small archives that a long-lived process makes again and again: a third of the memory, one thread. */
  readonly sparing?: boolean | undefined;
  readonly signal: AbortSignal;
  readonly clock: Clock;
  problem(problem: Problem): void;
  /** Bytes of content that were read or found unchanged, and files that are done, since the last call. */
  progress(bytes: number, files: number): void;
}

export interface ArchiveCounts {
  filesNew: number;
  filesChanged: number;
  filesUnmodified: number;
  dirsNew: number;
  dirsChanged: number;
  dirsUnmodified: number;
  totalFiles: number;
  totalBytes: number;
}

export interface ArchiveResult extends Readonly<ArchiveCounts> {
  readonly tree: string;
  readonly dataBlobs: number;
  readonly treeBlobs: number;
  /** Bytes of new blobs before and after compression and encryption. */
  readonly dataAdded: number;
  readonly dataAddedPacked: number;
}

export interface StoredArchive extends ArchiveResult {
  /** Ids of the index files that were written. */
  readonly indexFiles: readonly string[];
}

type Pending = string | undefined | Promise<string | undefined>;

/** After this time the walk lets the event loop deliver what the threads report. */
const YIELD_MS = 15;

class ArchiveRun {
  readonly counts: ArchiveCounts = {
    filesNew: 0, filesChanged: 0, filesUnmodified: 0, dirsNew: 0, dirsChanged: 0, dirsUnmodified: 0, totalFiles: 0, totalBytes: 0,
  };
  readonly #options: ArchiveOptions;
  readonly #index: BlobIndex;
  readonly #blobs: BlobReader;
  readonly #pipeline: Pipeline;
  readonly #trees: TreeWriter;
  readonly #streams: Semaphore;
  #yielded: number;
  /** Trees of the previous snapshot that content is taken over from. */
  readonly #treesBefore = new Map<string, Promise<Nodes | undefined>>();

  constructor(core: Core, index: BlobIndex, options: ArchiveOptions, pipeline: Pipeline, trees: TreeWriter) {
    this.#options = options;
    this.#index = index;
    this.#blobs = new BlobReader(core, index);
    this.#pipeline = pipeline;
    this.#trees = trees;
    this.#streams = new Semaphore(options.parallel);
    this.#yielded = options.clock.elapsedMs();
  }

  /** Archives everything; answers the id of the root's tree. */
  async run(): Promise<string> {
    const { root, previousTree, closing } = this.#options;
    const previous = await this.#previousNodes(previousTree);
    const nodes = await this.#nodesOf(await root.children(), previous);
    this.#pipeline.flush();
    await this.#pipeline.settled(Promise.all([...nodes.values()].map((node) => Promise.resolve(node))));
    const closed = await this.#nodesOf(await closing(), previous);
    return await this.#pipeline.settled(this.#saveTree(new Map([...nodes, ...closed])));
  }

  /** Hands in every entry; the nodes of those whose content is still being read are promises, which never reject. */
  async #nodesOf(entries: readonly Entry[], previous: Nodes | undefined): Promise<Map<RawName, Pending>> {
    const nodes = new Map<RawName, Pending>();
    for (const entry of entries) {
      const before = previous?.get(entry.name);
      if (entry.type === 'file') {
        await this.#pipeline.ready();
        nodes.set(entry.name, this.#fileNode(entry, before));
      } else if (entry.type === 'dir') {
        nodes.set(entry.name, (await this.#folderNode(entry, before)).node);
      } else if (entry.type === 'fed-dir') {
        nodes.set(entry.name, await this.#fedNode(entry, before));
      } else {
        const target = entry.type === 'symlink' ? { target: entry.target } : {};
        nodes.set(entry.name, encodeNode(entry.name, entry.metadata, { type: entry.type, ...target }));
      }
      await this.#breathe();
    }
    return nodes;
  }

  /** Hands in everything below a folder. The node is wrapped, so that awaiting the walk does not await the contents. */
  async #folderNode(entry: DirectoryEntry, before: TreeNode | undefined): Promise<{ readonly node: Pending }> {
    const previousTree = before?.type === 'dir' ? before.subtree : undefined;
    const nodes = await this.#nodesOf(await entry.children(), await this.#previousNodes(previousTree));
    return { node: this.#finishFolder(entry, nodes, previousTree) };
  }

  async #finishFolder(entry: FolderEntry, nodes: ReadonlyMap<RawName, Pending>, previousTree: string | undefined): Promise<string | undefined> {
    try {
      const subtree = await this.#saveTree(nodes);
      this.#countFolder(subtree, previousTree);
      return encodeNode(entry.name, entry.metadata, { type: 'dir', subtree });
    } catch (error) {
      this.#pipeline.fail(error);
      return undefined;
    }
  }

  /** A folder that feeds itself. Its path is taken to be right below the root, as that of all stores is. */
  async #fedNode(entry: FedDirectoryEntry, before: TreeNode | undefined): Promise<Pending> {
    const fed = new FedTree();
    const counted = (path: RawName): Promise<TreeNode | undefined> => this.#previousFile(`/${entry.name}/${path}`);
    const counts = { ...this.counts };
    const feeding = entry.feed({
      restart: async () => {
        this.#pipeline.flush();
        await this.#pipeline.settled(fed.clear());
        Object.assign(this.counts, counts);
      },
      folder: (path, metadata) => fed.addFolder(path, metadata),
      add: (path, { ...child }) => {
        if (child.type === 'symlink') fed.add(path, encodeNode(child.name, child.metadata, { type: 'symlink', target: child.target }));
        else fed.add(path, counted(path).then((node) => this.#fileNode(child, node)));
        return this.#pipeline.crowded ? this.#pipeline.ready() : undefined;
      },
      open: (path, metadata, cut) => this.#openFed(fed, path, metadata, { cut, before: counted }),
    });
    await this.#pipeline.settled(feeding);
    this.#pipeline.flush();
    return await this.#pipeline.settled(this.#finishFed(entry, fed.root, before?.type === 'dir' ? before.subtree : undefined));
  }

  #openFed(fed: FedTree, path: RawName, metadata: Metadata, { cut, before }: { readonly cut: Cut; before(path: RawName): Promise<TreeNode | undefined> }): FedFile {
    const entry: FileEntry = { type: 'file', name: path.slice(path.lastIndexOf('/') + 1), metadata, content: { from: 'bytes', bytes: EMPTY } };
    const file = cut === 'by-length' ? this.#pipeline.gather(path) : this.#streamed(path);
    return {
      write: (bytes) => file.write(bytes),
      end: () => {
        const closed = file.end();
        fed.add(path, before(path).then((node) => this.#whenRead(entry, node, file.content)));
        return this.#pipeline.crowded ? Promise.resolve(closed).then(() => this.#pipeline.ready()) : closed;
      },
    };
  }

  #streamed(path: RawName): GatheredFile {
    const stream = this.#pipeline.openStream(path);
    const { promise: content, resolve } = Promise.withResolvers<FileContent | undefined>();
    const end = (): Promise<void> => {
      stream.end().then(resolve, (error: unknown) => this.#pipeline.fail(error));
      return stream.close();
    };
    return { write: (bytes) => stream.sink.write(bytes), end, content };
  }

  /** Trees from the leaves up. What is still being read is waited for here, folder by folder. */
  async #finishFed(entry: FedDirectoryEntry | FolderEntry, folder: FedFolder, previousTree: string | undefined): Promise<Pending> {
    const before = await this.#previousNodes(previousTree);
    const nodes = new Map<RawName, Pending>(folder.nodes);
    for (const [name, child] of folder.folders) nodes.set(name, await this.#finishFed({ name, metadata: child.metadata }, child, before?.get(name)?.subtree));
    return await this.#finishFolder(entry, nodes, previousTree);
  }

  async #saveTree(nodes: ReadonlyMap<RawName, Pending>): Promise<string> {
    // Names are one character a byte, so the order of strings is the order of bytes that restic demands.
    const names = [...nodes.keys()].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
    const encoded: string[] = [];
    for (const name of names) {
      const pending = nodes.get(name);
      const node = typeof pending === 'string' ? pending : await pending;
      if (node !== undefined) encoded.push(node);
    }
    return await this.#trees.save(encoded);
  }

  #fileNode(entry: FileEntry, before: TreeNode | undefined): Pending {
    const { name, metadata, content } = entry;
    if (content.from === 'path') {
      const { size } = metadata;
      if (before?.content && this.#isUnchanged(entry, before)) {
        this.counts.filesUnmodified++;
        this.#countFile(size);
        this.#options.progress(size, 1);
        return encodeNode(name, metadata, { type: 'file', content: before.content, size });
      }
      return this.#whenRead(entry, before, this.#pipeline.readFile(content.path, size, metadata.mtimeNs));
    }
    if (content.from === 'previous') return this.#keep(entry, content);
    return this.#whenRead(entry, before, this.#streams.run(() => this.#writeStream(entry)));
  }

  /** Takes the content of the previous snapshot over when every blob of it is still there. */
  async #keep(entry: FileEntry, content: KeptContent): Promise<string | undefined> {
    const before = await this.#previousFile(content.path).catch((error: unknown) => {
      this.#pipeline.fail(error);
      return undefined;
    });
    if (before?.content?.every((id) => this.#index.has(id, 'data')) !== true) return this.#fileNode({ ...entry, content: content.otherwise }, before);
    content.kept();
    const size = before.size ?? 0;
    this.counts.filesUnmodified++;
    this.#countFile(size);
    this.#options.progress(0, 1);
    return encodeNode(entry.name, entry.metadata, { type: 'file', content: before.content, size });
  }

  /** A file of the previous snapshot; undefined when there is none, or a folder on the way is gone from the repository. */
  async #previousFile(path: RawName): Promise<TreeNode | undefined> {
    let found: TreeNode | undefined;
    let tree = this.#options.previousTree;
    for (const name of path.split('/').filter((part) => part !== '')) {
      found = (await this.#treeBefore(tree))?.get(name);
      tree = found?.subtree ?? undefined;
    }
    return found?.type === 'file' ? found : undefined;
  }

  /** Files of one folder are asked for together: its tree is read once. */
  async #treeBefore(tree: string | undefined): Promise<Nodes | undefined> {
    if (tree === undefined) return undefined;
    const known = this.#treesBefore.get(tree) ?? this.#previousNodes(tree);
    this.#treesBefore.set(tree, known);
    return await known;
  }

  async #writeStream({ name, content }: FileEntry): Promise<FileContent | undefined> {
    try {
      this.#pipeline.failed.throwIfAborted();
      if (content.from === 'stream' && content.cut === 'by-length') {
        const file = this.#pipeline.gather(name, true);
        await content.write(file);
        await file.end();
        return await this.#pipeline.settled(file.content);
      }
      const stream = this.#pipeline.openStream(name);
      if (content.from === 'stream') await content.write(stream.sink);
      else if (content.from === 'bytes') await stream.sink.write(content.bytes);
      return await stream.end();
    } catch (error) {
      this.#pipeline.fail(error);
      return undefined;
    }
  }

  async #whenRead({ name, metadata }: FileEntry, before: TreeNode | undefined, reading: Promise<FileContent | undefined>): Promise<string | undefined> {
    const content = await reading;
    if (!content) return undefined;
    if (before === undefined) this.counts.filesNew++;
    else if (sameContent(before.content, content.blobs)) this.counts.filesUnmodified++;
    else this.counts.filesChanged++;
    this.#countFile(content.size);
    this.#options.progress(0, 1);
    return encodeNode(name, metadata, { type: 'file', content: content.blobs, size: content.size });
  }

  /** restic's rule: size, modification time, change time and inode are those of the earlier snapshot, and its blobs are still there. */
  #isUnchanged({ metadata }: FileEntry, before: TreeNode): boolean {
    return (
      before.type === 'file' &&
      (before.size ?? 0) === metadata.size &&
      before.inode === Number(metadata.inode) &&
      before.mtime === formatTime(metadata.mtimeNs) &&
      before.ctime === formatTime(metadata.ctimeNs) &&
      (before.content ?? []).every((id) => this.#index.has(id, 'data'))
    );
  }

  async #previousNodes(tree: string | undefined): Promise<Nodes | undefined> {
    if (tree === undefined || !this.#index.has(tree, 'tree')) return undefined;
    return new Map((await this.#blobs.tree(tree)).map((node) => [nodeName(node), node]));
  }

  #countFile(size: number): void {
    this.counts.totalFiles++;
    this.counts.totalBytes += size;
  }

  #countFolder(tree: string, previousTree: string | undefined): void {
    if (previousTree === undefined) this.counts.dirsNew++;
    else if (previousTree === tree) this.counts.dirsUnmodified++;
    else this.counts.dirsChanged++;
  }

  async #breathe(): Promise<void> {
    this.#pipeline.failed.throwIfAborted();
    if (this.#options.clock.elapsedMs() - this.#yielded < YIELD_MS) return;
    collectWhenGrown();
    await new Promise((resolve) => setImmediate(resolve));
    this.#yielded = this.#options.clock.elapsedMs();
  }
}

type Nodes = ReadonlyMap<RawName, TreeNode>;
type FolderEntry = Pick<DirectoryEntry, 'name' | 'metadata'>;

const EMPTY = new Uint8Array();

function sameContent(before: readonly string[] | null | undefined, now: readonly string[]): boolean {
  return before?.length === now.length && now.every((id, i) => before[i] === id);
}

/** Archives the tree below `root` and writes packs and index, and adds to `index` what is written; the snapshot is the caller's to write. */
export async function archive(core: Core, index: BlobIndex, options: ArchiveOptions): Promise<StoredArchive> {
  const packs = new PackStore(core, options.clock, index);
  const treePacks = { plain: 0, count: 0 };
  const trees = new TreeWriter(core, index, async (pack) => {
    treePacks.plain += pack.plainBytes;
    treePacks.count += pack.blobs;
    await packs.store(pack);
  });
  await using pipeline = new Pipeline({
    key: core.key, polynomial: core.polynomial, index, compression: options.compression, sparing: options.sparing, signal: options.signal,
    store: (pack) => packs.store(pack),
    problem: (problem) => options.problem(problem),
    progress: (bytes) => options.progress(bytes, 0),
  });
  const run = new ArchiveRun(core, index, options, pipeline, trees);
  try {
    const tree = await run.run();
    // The last packs of both kinds at once, then the index that names them.
    const [ended, flushed] = await Promise.allSettled([pipeline.end(), trees.flush()]);
    for (const part of [ended, flushed]) if (part.status === 'rejected') throw part.reason;
    await packs.writeIndex();
    return {
      tree, ...run.counts, dataBlobs: packs.blobs - treePacks.count, treeBlobs: treePacks.count,
      dataAdded: packs.plainBytes, dataAddedPacked: packs.packedBytes, indexFiles: packs.indexFiles,
    };
  } catch (error) {
    // What failed first is what to tell; later errors follow from it.
    const { failed } = pipeline;
    pipeline.fail(error);
    throw failed.reason;
  }
}
