/** `find`: which versions of a path exist, in which snapshots, from when to when. */
import { HoldfastError } from '../base/errors.ts';
import { toText, type RawName } from '../base/raw-name.ts';
import { findById, type FoundPath, type Repository, type Snapshot } from '../repository/repository.ts';
import type { Context } from './context.ts';
import { byStore } from './standing.ts';

export interface FindRequest {
  /** As people write them, see `matcher`. */
  readonly patterns: readonly string[];
  readonly ignoreCase: boolean;
  /** Only these, by store or by the beginning of an id; none: all. */
  readonly stores: readonly string[];
  readonly ids: readonly string[];
  readonly oldest: Date | undefined;
  readonly newest: Date | undefined;
}

/** Snapshots that are searched together: of one store, or of one host and its paths for those of other programs. */
export interface SearchedGroup {
  readonly name: string;
  /** Oldest first. */
  readonly snapshots: readonly Snapshot[];
}

/** Throws `snapshot-missing`. */
export function groupsToSearch(snapshots: readonly Snapshot[], { stores, ids }: Pick<FindRequest, 'stores' | 'ids'>): readonly SearchedGroup[] {
  const named = new Set(ids.map((id) => (id === 'latest' ? snapshots.at(-1) : findById(snapshots, id))));
  const chosen = ids.length === 0 ? snapshots : snapshots.filter((snapshot) => named.has(snapshot));
  const groups = byStore(chosen, { stores });
  const unknown = stores.find((store) => !groups.some((group) => group.store === store));
  if (unknown !== undefined) throw new HoldfastError('snapshot-missing', `there is no snapshot of ${unknown} here`, { hint: 'List them with `holdfast snapshots`.' });
  const several = new Set(groups.map(({ stack }) => stack)).size > 1;
  const ofStores = groups.map((group) => ({ name: several ? `${group.store} of ${group.stack}` : group.store, snapshots: group.snapshots }));
  return stores.length > 0 ? ofStores : [...ofStores, ...foreign(chosen, new Set(groups.flatMap((group) => group.snapshots)))];
}

function foreign(snapshots: readonly Snapshot[], known: ReadonlySet<Snapshot>): readonly SearchedGroup[] {
  const groups = new Map<string, Snapshot[]>();
  for (const snapshot of snapshots) {
    if (known.has(snapshot)) continue;
    const name = `${snapshot.hostname ?? ''}:${snapshot.paths.join(', ')}`;
    groups.set(name, [...(groups.get(name) ?? []), snapshot]);
  }
  return [...groups].map(([name, own]) => ({ name, snapshots: own }));
}

/** Every path that matches, group by group, in the order of the trees. */
export async function* findPaths(groups: readonly SearchedGroup[], request: FindRequest, repository: Repository, { signal }: Context): AsyncGenerator<FoundPath & { readonly group: string }> {
  const matches = matcher(request.patterns, request.ignoreCase);
  await using _lock = await repository.lockForReading('files');
  for (const { name, snapshots } of groups) {
    for await (const found of repository.find({ snapshots, matches, oldest: request.oldest, newest: request.newest, signal })) yield { ...found, group: name };
  }
}

/**
 * A pattern without a slash is compared with names (`*.jpg`); one that begins with a slash with the whole path; any other with the
 * end of it (`photos/*.jpg`). `*` and `?` stay within a name, `**` crosses folders, `[a-z]` is one of these.
 */
export function matcher(patterns: readonly string[], ignoreCase: boolean): (path: RawName, name: RawName) => boolean {
  const expressions = patterns.map((pattern) => ({ whole: pattern.includes('/'), expression: expressionOf(pattern, ignoreCase) }));
  return (path, name) => expressions.some(({ whole, expression }) => expression.test(toText(whole ? path : name)));
}

function expressionOf(pattern: string, ignoreCase: boolean): RegExp {
  const anywhere = pattern.includes('/') && !pattern.startsWith('/');
  const source = pattern.replace(/(.)\/$/, '$1').replace(/\*\*\/|\*\*|\*|\?|\[[^\]/]+\]|[\\^$.|+(){}[\]]/g, translate);
  try {
    return new RegExp(`^${anywhere ? '(?:.*/)?' : ''}${source}$`, ignoreCase ? 'isu' : 'su');
  } catch (error) {
    throw new HoldfastError('usage', `'${pattern}' is no pattern`, { hint: 'Use *, **, ? and [a-z]; a backslash before them is not needed in quotes.', cause: error });
  }
}

function translate(sign: string): string {
  switch (sign) {
    case '**/':
      return '(?:.*/)?';
    case '**':
      return '.*';
    case '*':
      return '[^/]*';
    case '?':
      return '[^/]';
    default: {
      if (sign.length === 1) return `\\${sign}`;
      const [, not, signs = ''] = /^\[([!^]?)(.*)\]$/s.exec(sign) ?? [];
      return `[${not === '' ? '' : '^/'}${signs.replaceAll(/[\\[^]/g, '\\$&')}]`;
    }
  }
}
