/** Where a secret is to be found. The configuration holds references only; a secret is read when it is needed. */
import { execFile } from 'node:child_process';
import { open } from 'node:fs/promises';
import { homedir } from 'node:os';
import { resolve } from 'node:path';
import { promisify } from 'node:util';
import { HoldfastError, messageOf, systemCode } from '../base/errors.ts';
import { Secret } from '../base/secret.ts';

export type SecretReference =
  | { readonly from: 'env'; readonly name: string }
  /** The path is absolute. */
  | { readonly from: 'file'; readonly path: string }
  /** libpq's own file; the Postgres client reads it. */
  | { readonly from: 'pgpass' }
  | { readonly from: 'exec'; readonly command: string; readonly folder: string };

/** What may be written where a secret is wanted; for messages. */
export const SECRET_FORMS = 'env:NAME, file:PATH, pgpass or exec:COMMAND';

const EXPOSING_BITS = 0o077;

/** The reference that this text stands for, or undefined when it is none. Paths are relative to `folder`. */
export function parseSecretReference(text: string, folder: string): SecretReference | undefined {
  if (text === 'pgpass') return { from: 'pgpass' };
  const [, from, rest = ''] = /^(env|file|exec):(.+)$/s.exec(text) ?? [];
  if (from === 'env') return /^[A-Za-z_]\w*$/.test(rest) ? { from, name: rest } : undefined;
  if (from === 'file') return { from, path: resolvePath(folder, rest) };
  return from === 'exec' ? { from, command: rest, folder } : undefined;
}

/** The reference of a text that the schema has accepted already. */
export function checkedReference(text: string, folder: string): SecretReference {
  const reference = parseSecretReference(text, folder);
  if (reference === undefined) throw new HoldfastError('internal', 'the schema accepted what is no reference to a secret');
  return reference;
}

/** An absolute path: `~/` is the home of the user, anything else is relative to `folder`. */
export function resolvePath(folder: string, path: string): string {
  return path === '~' || path.startsWith('~/') ? resolve(homedir(), `.${path.slice(1)}`) : resolve(folder, path);
}

/** For people and messages; holds nothing secret. */
export function formatSecretReference(reference: SecretReference): string {
  switch (reference.from) {
    case 'env':
      return `env:${reference.name}`;
    case 'file':
      return `file:${reference.path}`;
    case 'pgpass':
      return 'pgpass';
    case 'exec':
      return `exec:${reference.command}`;
  }
}

/**
 * Fetches the secret. Undefined only for `pgpass`, which the Postgres client looks up itself. Throws `secret-missing`, or
 * `secret-exposed` when its file can be read by others.
 */
export async function resolveSecret(
  reference: SecretReference,
  environment: Readonly<Record<string, string | undefined>> = process.env,
): Promise<Secret | undefined> {
  switch (reference.from) {
    case 'env':
      return fromEnvironment(reference.name, environment);
    case 'file':
      return fromFile(reference.path);
    case 'pgpass':
      return undefined;
    case 'exec':
      return fromCommand(reference.command, reference.folder);
  }
}

function fromEnvironment(name: string, environment: Readonly<Record<string, string | undefined>>): Secret {
  const value = environment[name];
  if (value !== undefined && value !== '') return new Secret(value);
  throw new HoldfastError('secret-missing', `the environment variable ${name} is ${value === '' ? 'empty' : 'not set'}`, {
    hint: `Set ${name}, or change the reference env:${name} in holdfast.yaml.`,
  });
}

async function fromFile(path: string): Promise<Secret> {
  try {
    await using file = await open(path, 'r');
    const { mode } = await file.stat();
    // Asked of the open file, so that what is checked is what is read.
    if ((mode & EXPOSING_BITS) !== 0) {
      throw new HoldfastError('secret-exposed', `others than its owner can use the secret file ${path}`, {
        hint: `Run: chmod 600 ${quoteForShell(path)}`,
      });
    }
    return notEmpty(await file.readFile('utf8'), `the secret file ${path} is empty`);
  } catch (error) {
    if (error instanceof HoldfastError) throw error;
    const why = systemCode(error) === 'ENOENT' ? 'does not exist' : `cannot be read: ${messageOf(error)}`;
    throw new HoldfastError('secret-missing', `the secret file ${path} ${why}`, {
      hint: 'Create it with mode 600 and the secret on its first line, or change the reference in holdfast.yaml.',
      cause: error,
    });
  }
}

async function fromCommand(command: string, folder: string): Promise<Secret> {
  try {
    const { stdout } = await promisify(execFile)('/bin/sh', ['-c', command], { cwd: folder, timeout: 60_000 });
    return notEmpty(stdout, `the command for a secret printed nothing: ${command}`);
  } catch (error) {
    if (error instanceof HoldfastError) throw error;
    // The error of execFile carries what was printed; only the number goes on, for the output may hold the secret.
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'a signal';
    throw new HoldfastError('secret-missing', `the command for a secret ended with ${code}: ${command}`, {
      hint: 'Run it by hand: it must print the secret and end with 0.',
    });
  }
}

/** The text without the newline that editors and `echo` put at its end. */
function notEmpty(text: string, otherwise: string): Secret {
  const value = text.replace(/\r?\n$/, '');
  if (value === '') throw new HoldfastError('secret-missing', otherwise);
  return new Secret(value);
}

function quoteForShell(text: string): string {
  return /^[\w./-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`;
}
