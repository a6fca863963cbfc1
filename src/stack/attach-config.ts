/** The `holdfast.yaml` of a host that has only the repository: the one that the snapshots carry, pointing to where the repository is now. */
import { isMap, parseDocument, type Document } from 'yaml';
import { formatAddress } from '../storage/place.ts';
import { parseConfig } from './config.ts';
import { formatSecretReference } from './secret-reference.ts';
import { CONFIG_FILE, type RepositoryPlace, type Stack } from './stack.ts';
import { renderConfig, renderRepository } from './write-config.ts';

export interface AttachedConfig {
  readonly text: string;
  readonly stack: Stack;
  /** The name that the repository has in it. */
  readonly repository: string;
  /** What a person should look at: paths that mean another place here, repositories that may not be reached. */
  readonly notes: readonly string[];
}

/**
 * The configuration of a stack for `folder`, from the text that a snapshot carries (undefined: none does) and the folder
 * that its relative paths counted from. The attached repository comes first, so it is the one that is used.
 */
export function attachConfig(found: { readonly folder: string; readonly text: string } | undefined, stack: string, place: RepositoryPlace, folder: string): AttachedConfig {
  if (!found) {
    const bare: Stack = { name: stack, folder, stores: [], repositories: [place] };
    return { text: renderConfig(bare), stack: bare, repository: place.name, notes: [`no snapshot carries a ${CONFIG_FILE}, so the stores have to be declared anew; their files can be restored with --snapshot, --path and --into`] };
  }
  const document = parseDocument(found.text);
  const before = parseConfig(found.text, `${found.folder}/${CONFIG_FILE}`);
  const name = putFirst(document, before, place, folder);
  const text = document.toString({ lineWidth: 0 });
  const here = parseConfig(text, `${folder}/${CONFIG_FILE}`);
  return { text, stack: here, repository: name, notes: [...movedStores(before, here), ...otherRepositories(here, name)] };
}

/** Puts the repository before the others; one at the same address is replaced by it and keeps its name. */
function putFirst(document: Document, before: Stack, place: RepositoryPlace, folder: string): string {
  const same = before.repositories.find((one) => formatAddress(one.place) === formatAddress(place.place));
  const taken = before.repositories.map(({ name }) => name);
  const name = same?.name ?? (taken.includes(place.name) ? `${place.name}-attached` : place.name);
  const repositories = document.get('repositories');
  if (!isMap(repositories)) return name;
  const wanted = parseDocument(renderRepository(place, folder).join('\n')).contents;
  // An entry of the old host says more than an address can (limits, credentials by reference); only the password is where we were told.
  if (same) document.setIn(['repositories', name, 'password'], formatSecretReference(place.password));
  // Its path may have been relative to the old folder.
  if (same && place.place.kind === 'local') document.setIn(['repositories', name, 'path'], place.place.path);
  const entry = same ? repositories.get(name, true) : wanted;
  repositories.delete(name);
  repositories.items.unshift(document.createPair(name, entry));
  return name;
}

function movedStores(before: Stack, here: Stack): readonly string[] {
  return here.stores.flatMap((store) => {
    const old = before.stores.find(({ name }) => name === store.name);
    if (store.kind !== 'directory' || old?.kind !== 'directory' || store.path === old.path) return [];
    return [`${store.name} was ${old.path} and is ${store.path} here: its path is relative to ${CONFIG_FILE}`];
  });
}

function otherRepositories(here: Stack, attached: string): readonly string[] {
  return here.repositories.flatMap(({ name, place }) =>
    name === attached || place.kind !== 'local' ? [] : [`the repository ${name} was the folder ${place.path} of the old host; take it out if it is not here`],
  );
}
