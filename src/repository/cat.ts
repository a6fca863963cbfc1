/** Shows the files of a repository as they are inside: how tools and people read the format. */
import { HoldfastError, messageOf } from '../base/errors.ts';
import type { BlobIndex } from './blob-index.ts';
import { BlobReader } from './blob-reader.ts';
import { listIds, loadChecked, loadDocument, loadKeyFile, type Core, type DocumentKind } from './core.ts';
import { encodeDocument } from './format/documents.ts';
import { isId } from './format/json-shape.ts';
import { readPackHeader } from './index-loader.ts';
import type { FileKind } from '../storage/storage.ts';

export const CAT_KINDS = ['config', 'masterkey', 'snapshot', 'index', 'key', 'lock', 'pack', 'tree', 'blob'] as const;
export type CatKind = (typeof CAT_KINDS)[number];

/** The one file whose id begins so. */
async function complete(core: Core, kind: FileKind, prefix: string): Promise<string> {
  const ids = (await listIds(core.storage, kind)).filter((id) => id.startsWith(prefix));
  const [id, ...others] = ids;
  if (id !== undefined && others.length === 0) return id;
  throw new HoldfastError('file-missing', `${ids.length === 0 ? `there is no ${kind}` : `${ids.length} files of the kind ${kind} have an id`} that begins with '${prefix}'`, {
    hint: 'Give more digits of the id.',
  });
}

/** Bytes to print: JSON, or the plaintext of a blob. */
export async function catFile(core: Core, index: () => Promise<BlobIndex>, kind: CatKind, id: string): Promise<Buffer> {
  switch (kind) {
    case 'config':
      return json(core.config);
    case 'masterkey':
      return json({ mac: { k: core.key.macK.toString('base64'), r: core.key.macR.toString('base64') }, encrypt: core.key.encrypt.toString('base64') });
    case 'key':
      return json(await loadKeyFile(core.storage, await complete(core, 'key', id)));
    case 'snapshot':
    case 'index':
    case 'lock':
      return await documentFile(core, kind, await complete(core, kind, id));
    case 'pack': {
      const pack = await complete(core, 'pack', id);
      const { length: size } = await loadChecked(core.storage, 'pack', pack);
      return json({ id: pack, size, blobs: await readPackHeader(core, pack, size) });
    }
    case 'tree':
      return await new BlobReader(core, await index()).read(blobId(id), 'tree');
    case 'blob': {
      const known = await index();
      return await new BlobReader(core, known).read(blobId(id), known.has(blobId(id), 'data') ? 'data' : 'tree');
    }
  }
}

async function documentFile(core: Core, kind: DocumentKind, id: string): Promise<Buffer> {
  const text = await loadDocument(core, kind, id);
  try {
    return json(JSON.parse(text));
  } catch (error) {
    throw new HoldfastError('repository-damaged', `${kind} ${id.slice(0, 10)} in ${core.storage.location} is not understood: ${messageOf(error)}`, { cause: error });
  }
}

/** Blobs are found by their whole id only: the index is a table of hashes. */
function blobId(id: string): string {
  const whole: boolean = isId(id);
  if (!whole) throw new HoldfastError('usage', `'${id}' is no id of a blob`, { hint: 'Give all 64 digits; `holdfast cat snapshot` and `cat tree` show ids.' });
  return id;
}

function json(value: unknown): Buffer {
  return Buffer.from(`${JSON.stringify(JSON.parse(encodeDocument(value)), undefined, 2)}\n`);
}
