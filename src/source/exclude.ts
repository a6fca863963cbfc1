/** Which paths the user leaves out. */
import { fromText, type RawName } from '../base/raw-name.ts';

/**
 * A pattern without a slash is compared with each name (`*.tmp`, `node_modules`); one with a slash with the path below the
 * store's folder (`cache/*`, `/cache/**`). `*` stays within a name, `**` crosses folders, `?` is one character.
 */
export function excludes(patterns: readonly string[], folder: RawName): (path: RawName) => boolean {
  const names: RegExp[] = [];
  const paths: RegExp[] = [];
  for (const pattern of patterns.map(fromText)) {
    if (pattern.includes('/')) paths.push(expression(pattern.replace(/^\//, '')));
    else names.push(expression(pattern));
  }
  if (names.length === 0 && paths.length === 0) return () => false;
  return (path) => {
    const name = path.slice(path.lastIndexOf('/') + 1);
    const below = path.slice(folder.length).replace(/^\//, '');
    return names.some((regex) => regex.test(name)) || paths.some((regex) => regex.test(below));
  };
}

function expression(pattern: RawName): RegExp {
  const escaped = pattern.replace(/[.+^${}()|[\]\\]/g, '\\$&');
  const globbed = escaped.replace(/\*\*|\*|\?/g, (glob) => (glob === '**' ? '.*' : glob === '*' ? '[^/]*' : '[^/]'));
  return new RegExp(`^${globbed}$`, 's');
}
