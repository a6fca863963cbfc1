/** `backup --dry-run`: what a backup would move over the network, before it does. Nothing is written but the journal. */
import { HoldfastError, isHoldfastError, messageOf } from '../base/errors.ts';
import type { Repository } from '../repository/repository.ts';
import type { Estimate } from '../source/source.ts';
import type { Stack, Store } from '../stack/stack.ts';
import type { Context } from './context.ts';
import { sourceOf } from './open.ts';
import type { StorePart } from './part.ts';
import { previousManifest, previousSnapshot } from './previous.ts';
import type { MonthTraffic, TrafficJournal } from './traffic-journal.ts';

export interface EstimateOptions {
  readonly stack: Stack;
  readonly parts: readonly StorePart[];
  readonly repository: Repository;
  readonly frugal: boolean;
  readonly journal: TrafficJournal;
}

export type StoreEstimate =
  /** Without an estimate: it is not read over a network. */
  | { readonly store: string; readonly kind: string; readonly part: StorePart['part']; readonly estimate: Estimate | undefined }
  | { readonly store: string; readonly kind: string; readonly part: StorePart['part']; readonly error: HoldfastError };

export interface EstimateReport {
  readonly stores: readonly StoreEstimate[];
  /** With what the estimate itself has moved. */
  readonly month: MonthTraffic;
}

export async function estimateBackup(options: EstimateOptions, context: Context): Promise<EstimateReport> {
  const { stack, parts, journal } = options;
  const stores: StoreEstimate[] = [];
  for (const one of parts) stores.push(await estimateStore(one, options, context));
  const time = context.clock.now();
  const moved = stores.flatMap((one) => ('estimate' in one && one.estimate !== undefined ? [{ time: time.toISOString(), stack: stack.name, store: one.store, verb: 'estimate', ...one.estimate.spent }] : []));
  await journal.add(moved).catch(() => undefined);
  return { stores, month: await journal.month(stack.name, time) };
}

async function estimateStore({ store, part }: StorePart, { stack, repository, frugal }: EstimateOptions, context: Context): Promise<StoreEstimate> {
  const { clock, emit, signal } = context;
  const common = { store: store.name, kind: store.kind, part };
  try {
    const source = await sourceOf(store, clock);
    if (source.estimate === undefined) return { ...common, estimate: undefined };
    const snapshot = previousSnapshot(await repository.snapshots(), { stack, store, part, frugal });
    const previous = snapshot && (await previousManifest(repository, snapshot));
    const step = (sentence: string): void => emit({ type: 'step', store: store.name, sentence });
    return { ...common, estimate: await source.estimate({ store: store.name, startedAt: clock.now(), signal, part, frugal, previous, step, problem: () => undefined }) };
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    return { ...common, error: failureOf(store, error) };
  }
}

function failureOf(store: Store, error: unknown): HoldfastError {
  return isHoldfastError(error) ? error : new HoldfastError('internal', `${store.name} could not be measured: ${messageOf(error)}`, { cause: error });
}
