/**
 * Who may import whom. This is the one place; `docs/architecture.md` shows the same table and a test keeps them equal.
 * A folder may import the folders above it, never those below, and across a border only the files that are its face.
 */

export interface FolderRule {
  readonly folder: string;
  readonly holds: string;
  /** File stems (from the folder, without `.ts`) that other folders may import; undefined means any file. */
  readonly face?: readonly string[];
  /** More file stems that only tests of other folders may import. */
  readonly testFace?: readonly string[];
  /** The npm packages that may be imported in this folder. */
  readonly packages: readonly string[];
}

/** The order of the house, from the ground up. Only folders that exist have a line. */
export const FOLDERS: readonly FolderRule[] = [
  { folder: 'base', holds: 'errors, clock, secret, files: what everything stands on', packages: ['koffi'] },
  { folder: 'client', holds: 'protocols we speak, with no opinion about backups', packages: ['pg', '@electric-sql/pglite-tools', 'ssh2', '@aws-sdk/client-s3', '@smithy/node-http-handler', 'age-encryption'] },
  {
    folder: 'storage',
    holds: 'where the files of a repository live',
    face: ['storage', 'open', 'place', 'conformance'],
    testFace: ['memory', 'faulty', 'suite'],
    packages: ['@aws-sdk/client-s3'],
  },
  {
    folder: 'repository',
    holds: "restic's format, and the only code that knows it",
    face: ['repository', 'entry'],
    packages: ['sodium-native'],
  },
  {
    folder: 'source',
    holds: 'what can be backed up',
    face: ['source', 'open', 'prove', 'export', 'cluster/wal-archive', 'cluster/manifest', 'cluster/extract-base', 'cluster/ownership', 'cluster/in-place', 'cluster/own-config'],
    testFace: ['suite', 'memory'],
    packages: ['zod'],
  },
  { folder: 'policy', holds: 'pure decisions with reasons', packages: [] },
  {
    folder: 'stack',
    holds: 'what we were asked to protect',
    face: ['config', 'stack', 'secret-reference', 'write-config', 'attach-config'],
    packages: ['yaml', 'zod'],
  },
  { folder: 'operation', holds: 'the verbs: where stack, source and repository meet', packages: [] },
  { folder: 'cli', holds: 'one file a command: parse, call the operation, render', packages: ['commander', 'pg'] },
];

/** Packages that tests may import anywhere. */
export const TEST_PACKAGES: readonly string[] = ['vitest', 'fast-check', 'pg'];

/** Folders whose files compute and decide only: no files, no network, no processes, no threads, no timers. */
export const PURE_FOLDERS: readonly string[] = ['src/repository/format/', 'src/policy/'];

export const IMPURE_MODULES: readonly string[] = [
  'fs', 'net', 'tls', 'http', 'https', 'http2', 'dgram', 'dns', 'child_process', 'worker_threads', 'timers', 'os', 'readline',
];

/** The table as Markdown, as it stands in `docs/architecture.md`. */
export function renderTable(): string {
  const lines = FOLDERS.map(({ folder, holds, face, packages }) => {
    const shown = face === undefined ? 'any file' : face.map((stem) => `\`${stem}\``).join(', ');
    const allowed = packages.length === 0 ? '' : packages.map((name) => `\`${name}\``).join(', ');
    return `| \`${folder}/\` | ${holds} | ${shown} | ${allowed} |`;
  });
  return ['| folder | holds | face | npm packages |', '| --- | --- | --- | --- |', ...lines].join('\n');
}
