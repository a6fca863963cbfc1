/**
 * The one error class and the closed table of its codes.
 *
 * Rules: throw what the caller must know. Wrap only to add a fact. Never log and go on. Partial success is a typed
 * result, not an error and not a log line. Rendering happens in `cli/` only.
 */

/** Exit numbers 3, 10, 11, 12 and 130 mean what they mean in restic. */
export const ERRORS = {
  internal: { exit: 1, means: 'A bug in Holdfast. Please report it with the cause that is printed.' },
  failed: { exit: 1, means: 'The operation could not be finished.' },
  interrupted: { exit: 130, means: 'Stopped by the user or by a signal. What was stored before stays usable.' },
  usage: { exit: 2, means: 'The command line cannot be understood.' },
  config: { exit: 2, means: 'holdfast.yaml cannot be understood; the message names line and column.' },
  'no-config': { exit: 2, means: 'There is no holdfast.yaml in this folder or above it.' },
  'secret-exposed': { exit: 2, means: 'A secret stands where others can read it.' },
  'secret-missing': { exit: 2, means: 'A secret that the configuration refers to cannot be had.' },
  'source-incomplete': { exit: 3, means: 'The backup was written, but some things of the source could not be read; each is named.' },
  'repository-missing': { exit: 10, means: 'There is no repository at this place.' },
  'repository-exists': { exit: 1, means: 'There is a repository already; it is left as it is.' },
  'repository-locked': { exit: 11, means: 'Another process holds a lock that excludes this operation.' },
  'lock-lost': { exit: 11, means: 'The lock of this operation could not be kept alive, so that others may have changed the repository; nothing more is written.' },
  'wrong-password': { exit: 12, means: 'No key of the repository opens with this password.' },
  'repository-format': { exit: 1, means: 'The repository uses something that this version does not know.' },
  'repository-damaged': { exit: 4, means: 'Stored data is not what was written: missing, cut short or changed.' },
  'snapshot-missing': { exit: 1, means: 'No snapshot answers to this name.' },
  'path-missing': { exit: 1, means: 'The snapshot holds no such path, store or table.' },
  'storage-full': { exit: 1, means: 'The place of the repository has no space left.' },
  'storage-failed': { exit: 1, means: 'The place of the repository could not be read or written.' },
  'storage-denied': { exit: 1, means: 'The place of the repository refuses the credentials, or what was asked with them.' },
  'storage-kept': { exit: 1, means: 'An object lock keeps the file from being removed or changed until its time has passed.' },
  'file-missing': { exit: 1, means: 'The storage has no such file.' },
  'source-missing': { exit: 1, means: 'What should be backed up is not there.' },
  'source-failed': { exit: 1, means: 'A store could not be read; nothing was recorded as its backup.' },
  'target-exists': { exit: 1, means: 'The target of a restore holds something already and nothing was overwritten.' },
  'target-failed': { exit: 1, means: 'The restored data could not be written.' },
  'target-full': { exit: 1, means: 'The target of a restore has no space left.' },
  'restore-unproven': { exit: 4, means: 'What was restored is not equal to what was backed up; the target was not put in place.' },
  'not-confirmed': { exit: 2, means: 'The operation replaces something and was not confirmed.' },
  'moment-uncovered': { exit: 1, means: 'What is stored does not reach the point in time that was asked for; the message names the nearest that it reaches.' },
  'wal-gap': { exit: 1, means: 'Write-ahead log is missing between two parts that are stored.' },
  'foreign-server': { exit: 1, means: 'The server is not the one, or not on the timeline, that the stored backups and write-ahead log come from.' },
  'slot-lost': { exit: 1, means: 'The replication slot is gone or invalid: the server no longer keeps the write-ahead log that is needed next.' },
  'missing-on-target': { exit: 1, means: 'Roles, extensions or tablespaces that a restore needs are not on the target; each is named, with what can be done.' },
  'database-unreachable': { exit: 1, means: 'The database server does not answer, or refuses the connection.' },
  'database-failed': { exit: 1, means: 'The database server refused a command.' },
  'program-missing': { exit: 1, means: 'A program that this needs is not installed.' },
  'program-failed': { exit: 1, means: 'A program that was started has failed.' },
} as const satisfies Record<string, { exit: number; means: string }>;

export type ErrorCode = keyof typeof ERRORS;

export interface ErrorFacts {
  /** What the user should do, as a whole sentence. */
  readonly hint?: string;
  readonly cause?: unknown;
  /** The same call may succeed later. */
  readonly transient?: boolean;
}

/** An error that a user can act on: a code of the table, a sentence, and what to do. */
export class HoldfastError extends Error {
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  readonly transient: boolean;

  constructor(code: ErrorCode, message: string, facts: ErrorFacts = {}) {
    super(message, facts.cause === undefined ? undefined : { cause: facts.cause });
    this.name = 'HoldfastError';
    this.code = code;
    this.hint = facts.hint;
    this.transient = facts.transient ?? false;
  }

  get exitCode(): number {
    return ERRORS[this.code].exit;
  }
}

/** Is this a HoldfastError, and of one of these codes (of any, when none is given)? */
export function isHoldfastError(error: unknown, ...codes: readonly ErrorCode[]): error is HoldfastError {
  return error instanceof HoldfastError && (codes.length === 0 || codes.includes(error.code));
}

/** The `code` of a system error (`ENOENT`, `ENOSPC` …), when there is one. */
export function systemCode(error: unknown): string | undefined {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return typeof code === 'string' ? code : undefined;
}

/**
 * What failed first. When a scope fails and what it held cannot be let go either (its storage is gone: the lock cannot be removed), the
 * language throws a SuppressedError around both; the first is what to tell, the other follows from it.
 */
export function firstError(error: unknown): unknown {
  return error instanceof SuppressedError ? firstError(error.suppressed) : error;
}

/** The message of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
