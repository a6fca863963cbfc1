/** What every command needs: the configuration, the repository, a context, and a way to answer. */
import * as path from 'node:path';
import { systemClock, type Clock } from '../base/clock.ts';
import { HoldfastError, isHoldfastError } from '../base/errors.ts';
import type { Context } from '../operation/context.ts';
import type { Repository } from '../repository/repository.ts';
import type { RepositoryOptions } from '../operation/open.ts';
import type { RepositoryPlace, Stack } from '../stack/stack.ts';
import { parseTimeOption } from './amount.ts';
import { interruption } from './interrupt.ts';
import { createProgress, silentProgress, type Progress } from './render/progress.ts';

/** Options that every command takes. */
export interface CommonOptions {
  /** Where holdfast.yaml is looked for. */
  readonly chdir?: string;
  /** The name of a repository of holdfast.yaml, or a path. */
  readonly repository?: string;
  readonly passwordFile?: string;
  readonly json?: boolean;
  /** How long to wait for locks; only of commands that take one. */
  readonly wait?: string;
}

export class Session implements AsyncDisposable {
  readonly options: CommonOptions;
  readonly clock: Clock = systemClock;
  readonly progress: Progress;
  readonly context: Context;
  readonly #opened: Repository[] = [];

  constructor(options: CommonOptions) {
    this.options = options;
    this.progress = options.json ? silentProgress : createProgress(process.stderr, this.clock);
    this.context = { clock: this.clock, signal: interruption(), emit: (event) => this.progress.listen(event) };
  }

  get folder(): string {
    return path.resolve(this.options.chdir ?? '.');
  }

  /** Throws `no-config` and `config`. */
  async stack(): Promise<Stack> {
    const [{ findConfig }, { readConfig }] = await Promise.all([import('../stack/stack.ts'), import('../stack/config.ts')]);
    return await readConfig(await findConfig(this.folder));
  }

  /** The stack, when there is a holdfast.yaml and it is about the repository that is meant. Throws `config`. */
  async stackIfAny(): Promise<Stack | undefined> {
    const { looksLikeAddress } = await import('../storage/place.ts');
    if (this.options.repository !== undefined && looksLikeAddress(this.options.repository)) return undefined;
    try {
      return await this.stack();
    } catch (error) {
      if (isHoldfastError(error, 'no-config')) return undefined;
      throw error;
    }
  }

  /**
   * The repository that is meant: a name of holdfast.yaml, or a path with --password-file or HOLDFAST_PASSWORD, for which no
   * holdfast.yaml is needed.
   */
  async repository(): Promise<Repository> {
    return await this.open(await this.place());
  }

  /** Opens a repository and keeps it until the session ends. */
  async open(place: RepositoryPlace, options: RepositoryOptions = {}): Promise<Repository> {
    const { repositoryOf } = await import('../operation/open.ts');
    const { signal, emit } = this.context;
    const waiting = (sentence: string): void => emit({ type: 'step', store: undefined, sentence });
    const repository = await repositoryOf(place, this.clock, { signal, waiting, ...options });
    this.#opened.push(repository);
    this.#waitForLocks(repository);
    return repository;
  }

  /** Where the repository is that the options name; without --repository, the first of holdfast.yaml. */
  async place(wanted = this.options.repository): Promise<RepositoryPlace> {
    const [{ looksLikeAddress, parseAddress }, { chooseRepository }] = await Promise.all([import('../storage/place.ts'), import('../stack/stack.ts')]);
    if (wanted !== undefined && looksLikeAddress(wanted)) {
      return { name: wanted, place: parseAddress(wanted, this.folder), password: this.passwordReference(), cache: true };
    }
    const place = chooseRepository(await this.stack(), wanted);
    return this.options.passwordFile === undefined ? place : { ...place, password: this.passwordReference() };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const repository of this.#opened) await repository.close();
  }

  /** Where the password of a repository is that no holdfast.yaml declares. Throws `secret-missing`. */
  passwordReference(): { readonly from: 'file'; readonly path: string } | { readonly from: 'env'; readonly name: string } {
    const file = this.options.passwordFile;
    if (file !== undefined) return { from: 'file', path: path.resolve(this.folder, file) };
    if (process.env['HOLDFAST_PASSWORD'] !== undefined) return { from: 'env', name: 'HOLDFAST_PASSWORD' };
    throw new HoldfastError('secret-missing', 'the password of the repository is not given', { hint: 'Give --password-file FILE, or set HOLDFAST_PASSWORD.' });
  }

  #waitForLocks(repository: Repository): void {
    const { wait } = this.options;
    if (wait === undefined) return;
    repository.waitForLocks({
      ms: parseTimeOption('--wait', wait), signal: this.context.signal,
      waiting: (error) => this.context.emit({ type: 'step', store: undefined, sentence: `waiting: ${error.message}` }),
    });
  }

  /** Prints the answer: lines for people, or one JSON document. */
  answer(document: object, lines: readonly string[]): void {
    this.progress.clear();
    process.stdout.write(this.options.json ? `${JSON.stringify(document)}\n` : lines.map((line) => `${line}\n`).join(''));
  }
}
