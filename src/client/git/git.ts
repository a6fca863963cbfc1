/** The few things that we ask of `git`, by the program of the system. */
import { spawn } from 'node:child_process';
import { hostname } from 'node:os';
import { HoldfastError, messageOf, systemCode } from '../../base/errors.ts';

interface Answer {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

async function git(folder: string, args: readonly string[]): Promise<Answer> {
  const child = spawn('git', ['-C', folder, ...args], { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, GIT_TERMINAL_PROMPT: '0', LC_ALL: 'C' } });
  const out = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) child[name].on('data', (text: Buffer) => (out[name] += text.toString()));
  const code = await new Promise<number>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (ended) => resolve(ended ?? -1));
  }).catch((error: unknown) => {
    const missing = systemCode(error) === 'ENOENT';
    throw new HoldfastError(missing ? 'program-missing' : 'program-failed', missing ? 'git is not installed here' : `git could not be started: ${messageOf(error)}`, { hint: 'Install the package git.', cause: error });
  });
  return { code, ...out };
}

async function must(folder: string, args: readonly string[], doing: string): Promise<string> {
  const { code, stdout, stderr } = await git(folder, args);
  if (code === 0) return stdout;
  throw new HoldfastError('program-failed', `git could not ${doing} in ${folder}: ${stderr.trim() || stdout.trim()}`);
}

/** Makes sure that the folder, which exists, lies in a work tree: makes it one when it does not. Throws `program-missing`, `program-failed`. */
export async function ensureWorkTree(folder: string): Promise<void> {
  const { code, stdout } = await git(folder, ['rev-parse', '--is-inside-work-tree']);
  if (code !== 0) await must(folder, ['init', '--quiet', '--initial-branch=main'], 'make a repository');
  else if (stdout.trim() !== 'true') throw new HoldfastError('target-failed', `${folder} lies inside of a git repository's own files`, { hint: 'Name a folder of its work tree.' });
}

/**
 * Commits these files of the folder, and nothing else that may be staged there. Answers the new commit, or undefined when none of them
 * has changed. Without an identity in git's settings the author is Holdfast on this host.
 */
export async function commitFiles(folder: string, files: readonly string[], message: string): Promise<string | undefined> {
  await must(folder, ['add', '--', ...files], 'add the files');
  const changed = await must(folder, ['status', '--porcelain', '--', ...files], 'look for changes');
  if (changed.trim() === '') return undefined;
  const known = (await git(folder, ['config', 'user.email'])).code === 0;
  const identity = known ? [] : ['-c', 'user.name=Holdfast', '-c', `user.email=holdfast@${hostname()}`];
  await must(folder, [...identity, 'commit', '--quiet', '--message', message, '--', ...files], 'commit');
  return (await must(folder, ['rev-parse', 'HEAD'], 'name the commit')).trim();
}

/** Pushes the branch that is checked out to where it goes. Throws `program-failed`; the commit stays. */
export async function push(folder: string): Promise<void> {
  await must(folder, ['push', '--quiet'], 'push');
}
