/** `wal status` and `wal slot drop`: what is stored, as tables that answer "to which moment can I go back?". */
import { HoldfastError } from '../base/errors.ts';
import { formatLsn } from '../client/postgres/replication/lsn.ts';
import type { ClusterStatus, WalStatus } from '../operation/wal/status.ts';
import type { BaseReach } from '../policy/wal-reach.ts';
import { confirmInWords } from './confirm.ts';
import { formatBytes, formatCount, formatMoment, painter, plural, printable, shortId, table } from './render/text.ts';
import { Session, type CommonOptions } from './session.ts';

interface Options extends CommonOptions {
  readonly verify?: boolean;
  readonly offline?: boolean;
}

export async function runStatus(name: string | undefined, options: Options): Promise<void> {
  await using session = new Session(options);
  const [{ walStatus }, { chooseCluster, targetOf }] = await Promise.all([import('../operation/wal/status.ts'), import('../operation/wal/open.ts')]);
  const stack = await session.stack();
  const store = chooseCluster(stack, name);
  const target = options.offline ? undefined : await targetOf(store);
  const repository = await session.repository();
  const status = await walStatus({ repository, stack: stack.name, store, target, verify: options.verify ?? false }, session.context);
  session.answer(documentOf(store.name, status), linesOf(store.name, store.wal.slot, status));
  if (status.problems !== undefined && status.problems.length > 0) {
    throw new HoldfastError('repository-damaged', `the stored log of ${store.name} is not sound: ${plural(status.problems.length, 'problem')}`, { hint: 'Each is named above. Make a new base backup; what lies before the damage stays usable.' });
  }
}

function documentOf(store: string, { clusters, bases, server, problems }: WalStatus): object {
  const asked = server === undefined ? undefined : 'error' in server ? { error: server.error.message } : {
    slot: server.look.slot && { ...server.look.slot, restart: server.look.slot.restart === undefined ? undefined : formatLsn(server.look.slot.restart) },
    level: server.verdict?.level, sentence: server.verdict?.sentence, serverLimitBytes: server.look.serverLimitBytes,
  };
  return {
    store, server: asked, problems,
    clusters: clusters.map(({ map, ranges, holes }) => ({
      systemId: map.systemId, server: map.server, segmentBytes: map.segmentBytes, segments: map.segments.length, holes,
      ranges: ranges.map((range) => ({ timeline: range.timeline, start: formatLsn(range.start), end: formatLsn(range.end), segments: range.segments.length, transactions: range.transactions, first: isoOf(range.firstUs), last: isoOf(range.lastUs), covered: isoOf(range.coveredUs) })),
    })),
    bases: bases.map(({ base, timelines, until, untilUs }) => ({ snapshot: base.id, time: base.time.toISOString(), start: formatLsn(base.start), timelines, until: until === undefined ? undefined : formatLsn(until), restorableUntil: isoOf(untilUs) })),
  };
}

function isoOf(us: bigint | undefined): string | undefined {
  return us === undefined ? undefined : new Date(Number(us / 1000n)).toISOString();
}

function momentOf(us: bigint | undefined): string {
  return us === undefined ? '' : formatMoment(new Date(Number(us / 1000n)));
}

function linesOf(store: string, slot: string, { clusters, bases, server, problems }: WalStatus): readonly string[] {
  const paint = painter(process.stdout);
  if (clusters.length === 0) return [`No log of ${printable(store)} is stored yet. Start with \`holdfast wal follow ${printable(store)}\`.`, ...serverLines(slot, server)];
  const damage = problems === undefined ? [] : problems.length === 0 ? ['', `${paint('green', 'sound')}: every segment was read, and every record follows the one before it.`] : ['', paint('red', 'damaged:'), ...problems.map((problem) => `  ${printable(problem)}`)];
  return [...clusters.flatMap((cluster) => clusterLines(cluster, clusters.length > 1)), '', ...baseLines(bases), '', ...serverLines(slot, server), ...damage];
}

function clusterLines({ map, ranges, holes }: ClusterStatus, several: boolean): readonly string[] {
  const paint = painter(process.stdout);
  const rows = ranges.map((range) => [String(range.timeline), formatLsn(range.start), formatLsn(range.end), formatCount(range.segments.length), formatCount(range.transactions), momentOf(range.firstUs), momentOf(range.lastUs), momentOf(range.coveredUs)]);
  const columns = [{ title: 'timeline' }, { title: 'from' }, { title: 'to' }, { title: 'segments', align: 'right' as const }, { title: 'transactions', align: 'right' as const }, { title: 'first' }, { title: 'last' }, { title: 'complete until' }];
  return [
    ...(several ? [paint('bold', `server ${map.systemId}`)] : []),
    ...table(columns, rows),
    ...holes.map(({ timeline, from, to }) => `${paint('red', 'missing')}: the log of timeline ${timeline} from ${from} to ${to}. No restore gets over it; later moments need a base backup from behind it.`),
  ];
}

function baseLines(bases: readonly BaseReach[]): readonly string[] {
  const paint = painter(process.stdout);
  if (bases.length === 0) return [`${paint('yellow', 'note:')} there is no base backup yet, and without one the log restores nothing. Make one with \`holdfast backup\`.`];
  const rows = bases.map(({ base, until, untilUs, timelines }) => [shortId(base.id), formatMoment(base.time), formatLsn(base.end), until === undefined ? 'only as it is' : momentOf(untilUs) || 'as it is', until === undefined ? '' : formatLsn(until), timelines.join(' → ')]);
  const newest = bases.reduce<bigint | undefined>((most, { untilUs }) => (untilUs !== undefined && (most === undefined || untilUs > most) ? untilUs : most), undefined);
  return [
    ...table([{ title: 'base' }, { title: 'made' }, { title: 'from' }, { title: 'restores until' }, { title: 'to' }, { title: 'timelines' }], rows),
    newest === undefined ? `${paint('yellow', 'note:')} no log follows a base backup: each restores as it is, and to no other moment.` : `The newest moment that can be restored is ${paint('bold', momentOf(newest))}.`,
  ];
}

function serverLines(slot: string, server: WalStatus['server']): readonly string[] {
  const paint = painter(process.stdout);
  if (server === undefined) return ['The server was not asked.'];
  if ('error' in server) return [`${paint('yellow', 'note:')} the server could not be asked: ${printable(server.error.message)}`];
  const { look, verdict } = server;
  if (look.slot === undefined || verdict === undefined) return [`The server has no slot ${slot}: it keeps no log for us. \`holdfast wal follow\` makes it.`];
  const level = verdict.level === 'well' ? '' : paint(verdict.level === 'half' ? 'yellow' : 'red', `${verdict.level}: `);
  return [`${level}${printable(verdict.sentence)}${look.slot.active ? '; it is being followed' : '; nobody follows it now'}.`, ...(look.serverLimitBytes === undefined ? [] : [`The server itself gives a slot up at ${formatBytes(look.serverLimitBytes)} (max_slot_wal_keep_size).`])];
}

export async function runSlotDrop(name: string, options: CommonOptions & { readonly yes?: boolean }): Promise<void> {
  await using session = new Session(options);
  const [{ dropStoreSlot }, { chooseCluster, targetOf }] = await Promise.all([import('../operation/wal/status.ts'), import('../operation/wal/open.ts')]);
  const store = chooseCluster(await session.stack(), name);
  const { slot } = store.wal;
  if (options.yes !== true) await confirmInWords(session, [`The server of ${store.name} will keep no log for us any more: what is written from then on cannot be restored until the next base backup.`], store.name, `drops the slot ${slot}`);
  const dropped = await dropStoreSlot(await targetOf(store), slot);
  session.answer({ store: store.name, slot, dropped }, [dropped ? `Dropped the slot ${slot}.` : `The server has no slot ${slot}.`]);
}
