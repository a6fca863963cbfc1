/** File modes: restic stores Go's `fs.FileMode`, the file system gives POSIX `st_mode`. */

const TYPE = 0o170000;
const TYPES: ReadonlyMap<number, number> = new Map([
  [0o040000, 2 ** 31],
  [0o120000, 2 ** 27],
  [0o060000, 2 ** 26],
  [0o020000, 2 ** 26 + 2 ** 21],
  [0o010000, 2 ** 25],
  [0o140000, 2 ** 24],
]);
const SPECIAL: readonly (readonly [number, number])[] = [[0o4000, 2 ** 23], [0o2000, 2 ** 22], [0o1000, 2 ** 20]];

export function toGoMode(mode: number): number {
  let go = (mode & 0o777) + (TYPES.get(mode & TYPE) ?? 0);
  for (const [posix, bit] of SPECIAL) if (mode & posix) go += bit;
  return go;
}

/** Permission bits with setuid, setgid and sticky: what `chmod` takes. */
export function permissionsOf(goMode: number): number {
  let mode = goMode % 0o1000;
  for (const [posix, bit] of SPECIAL) if (Math.floor(goMode / bit) % 2 === 1) mode |= posix;
  return mode;
}

const LETTERS: Readonly<Record<string, string>> = { dir: 'd', symlink: 'l', fifo: 'p', socket: 's', dev: 'b', chardev: 'c' };

/** A Go mode as `ls -l` shows it: `drwxr-sr-x`. */
export function modeText(type: string, goMode: number): string {
  const mode = permissionsOf(goMode);
  const triple = (shift: number, special: number, letter: string): string => {
    const bits = (mode >> shift) & 7;
    const execute = (bits & 1) !== 0;
    const last = mode & special ? (execute ? letter : letter.toUpperCase()) : execute ? 'x' : '-';
    return `${bits & 4 ? 'r' : '-'}${bits & 2 ? 'w' : '-'}${last}`;
  };
  return `${LETTERS[type] ?? '-'}${triple(6, 0o4000, 's')}${triple(3, 0o2000, 's')}${triple(0, 0o1000, 't')}`;
}
