/** `wal follow`: shows what the follower tells, as a line that is drawn anew, as plain lines or as JSON lines. */
import type { Clock } from '../base/clock.ts';
import { HoldfastError } from '../base/errors.ts';
import { formatLsn, parseLsn } from '../client/postgres/replication/lsn.ts';
import type { OperationEvent } from '../operation/event.ts';
import type { FollowReport } from '../operation/wal/follow.ts';
import type { WalEvent } from '../operation/wal/event.ts';
import { formatBytes, formatMoment, formatSeconds, painter, plural, printable } from './render/text.ts';
import { Session, type CommonOptions } from './session.ts';

interface Options extends CommonOptions {
  readonly once?: boolean;
  readonly untilLsn?: string;
  readonly newSlot?: boolean;
}

export async function runFollow(name: string | undefined, options: Options): Promise<void> {
  await using session = new Session(options);
  const [{ followWal }, { chooseCluster, targetOf }] = await Promise.all([import('../operation/wal/follow.ts'), import('../operation/wal/open.ts')]);
  const until = options.untilLsn === undefined ? undefined : parseLsn(options.untilLsn);
  if (options.untilLsn !== undefined && until === undefined) throw new HoldfastError('usage', `'${options.untilLsn}' is no position in a log`, { hint: 'Write it like 16/B374D848.' });
  const stack = await session.stack();
  const store = chooseCluster(stack, name);
  const target = await targetOf(store);
  const { clock } = session;
  const display = options.json ? new JsonLines(clock) : process.stderr.isTTY ? new StatusLine(store.name, clock) : new PlainLines(store.name, clock);
  const repository = await session.open(await session.place());
  const emit = (event: OperationEvent): void => display.listen(event);
  const report = await followWal({ stack: stack.name, store, target, repository, once: options.once ?? false, until, newSlot: options.newSlot ?? false }, { ...session.context, emit }).finally(() => display.clear());
  session.answer({ kind: 'ended', store: store.name, ...documentOf(report) }, [endLine(store.name, report)]);
}

function documentOf({ stored, ...rest }: FollowReport): object {
  return { ...rest, stored: stored === undefined ? undefined : formatLsn(stored) };
}

function endLine(store: string, { stored, bytes, flushes, ended, timeline, added }: FollowReport): string {
  if (stored === undefined) return `${printable(store)}: ended before anything came.`;
  const what = bytes === 0 ? 'nothing new came' : `${formatBytes(bytes)} came, stored in ${plural(flushes, 'step')} as ${formatBytes(added)}`;
  return `${printable(store)}: ${ended === 'stopped' ? 'stopped; ' : ''}all log up to ${formatLsn(stored)} on timeline ${timeline} is stored (${what}).`;
}

interface Display {
  listen(event: OperationEvent): void;
  clear(): void;
}

class JsonLines implements Display {
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  listen(event: OperationEvent): void {
    const time = this.#clock.now().toISOString();
    if (event.type === 'wal') process.stdout.write(`${JSON.stringify({ time, store: event.store, ...event.wal })}\n`);
    else if (event.type === 'step') process.stdout.write(`${JSON.stringify({ time, store: event.store, kind: 'note', sentence: event.sentence })}\n`);
  }

  clear(): void {
    // Nothing is ever left half drawn.
  }
}

/** What a person should read; undefined for what only moves a status line. */
function sentenceOf(wal: WalEvent): string | undefined {
  switch (wal.kind) {
    case 'connected':
      return `following PostgreSQL ${wal.server} from ${wal.from} on timeline ${wal.timeline}, ${wal.because}`;
    case 'timeline':
      return `the server has gone over from timeline ${wal.from} to ${wal.to} at ${wal.at}; following`;
    case 'retry':
      return `${wal.sentence}; trying again in ${formatSeconds(wal.waitMs / 1000)}`;
    case 'warning':
    case 'note':
      return wal.sentence;
    default:
      return undefined;
  }
}

/** For logs: what happens, and once after each connection that log is stored; no line for each step. */
class PlainLines implements Display {
  readonly #store: string;
  readonly #clock: Clock;
  #toldStored = false;

  constructor(store: string, clock: Clock) {
    this.#store = store;
    this.#clock = clock;
  }

  listen(event: OperationEvent): void {
    if (event.type === 'step') this.#print(event.sentence);
    if (event.type !== 'wal') return;
    const { wal } = event;
    const sentence = sentenceOf(wal);
    if (sentence !== undefined) this.#print(`${wal.kind === 'warning' ? 'WARNING: ' : ''}${sentence}`);
    if (wal.kind === 'connected' || wal.kind === 'retry') this.#toldStored = false;
    if (wal.kind !== 'stored' || this.#toldStored) return;
    this.#toldStored = true;
    this.#print(`stored up to ${wal.until}`);
  }

  #print(sentence: string): void {
    process.stderr.write(`${formatMoment(this.#clock.now())} ${printable(`${this.#store}: ${sentence}`)}\n`);
  }

  clear(): void {
    // Nothing is ever left half drawn.
  }
}

class StatusLine implements Display {
  readonly #store: string;
  readonly #clock: Clock;
  readonly #paint = painter(process.stderr);
  #position: Extract<WalEvent, { kind: 'position' }> | undefined;
  #stored: Extract<WalEvent, { kind: 'stored' }> | undefined;
  #storedAt: Date | undefined;
  #visible = false;

  constructor(store: string, clock: Clock) {
    this.#store = store;
    this.#clock = clock;
  }

  listen(event: OperationEvent): void {
    const sentence = event.type === 'step' ? event.sentence : event.type === 'wal' ? sentenceOf(event.wal) : undefined;
    if (sentence !== undefined) {
      this.clear();
      const mark = event.type === 'wal' && event.wal.kind === 'warning' ? this.#paint('red', '!') : event.type === 'wal' && event.wal.kind === 'retry' ? this.#paint('yellow', '!') : ' ';
      process.stderr.write(`${mark} ${formatMoment(this.#clock.now())} ${printable(sentence)}\n`);
    }
    if (event.type === 'wal' && event.wal.kind === 'position') this.#position = event.wal;
    if (event.type === 'wal' && event.wal.kind === 'stored') [this.#stored, this.#storedAt] = [event.wal, this.#clock.now()];
    this.#draw();
  }

  clear(): void {
    if (this.#visible) process.stderr.write('\r\x1b[2K');
    this.#visible = false;
  }

  #draw(): void {
    const parts = [printable(this.#store)];
    if (this.#position !== undefined) parts.push(`received ${this.#position.received}`);
    if (this.#stored !== undefined && this.#storedAt !== undefined) parts.push(`stored ${this.#stored.until} at ${formatMoment(this.#storedAt).slice(11)}`);
    if (this.#position?.lagBytes !== undefined) parts.push(`the server keeps ${formatBytes(this.#position.lagBytes)}`);
    const width = Math.max(20, (process.stderr.columns || 80) - 1);
    process.stderr.write(`\r\x1b[2K${parts.join('  ').slice(0, width)}`);
    this.#visible = true;
  }
}
