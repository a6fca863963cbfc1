/** The backup of databases: one exported snapshot each, two sessions that stream the tables, the tree of files. */
import { HoldfastError } from '../../../base/errors.ts';
import { fromText } from '../../../base/raw-name.ts';
import type { Clock } from '../../../base/clock.ts';
import type { PostgresTarget } from '../../../client/postgres/target.ts';
import type { TrafficMeter } from '../../../client/postgres/traffic.ts';
import type { Capture, CaptureContext, StoreManifest, Traffic } from '../../source.ts';
import { holdDatabase, PARALLEL, type HeldDatabase } from './capture-database.ts';
import { IdleSessions } from './lend.ts';
import { TableChoice } from './choose-tables.ts';
import { file, folder, plainMetadata } from './entries.ts';
import { encodeName } from '../file-name.ts';
import { readGlobalFiles } from '../globals-sql.ts';
import type { PostgresDetail } from '../manifest.ts';
import type { SplitSizes } from './table-layout.ts';

export interface CaptureOptions {
  /** Roles and what else belongs to the whole server. */
  readonly globals: boolean;
  /** In place of our own; of tests. */
  readonly sizes?: SplitSizes | undefined;
}

export async function capturePostgres(targets: readonly PostgresTarget[], clock: Clock, context: CaptureContext, { globals: wanted, sizes }: CaptureOptions): Promise<Capture> {
  const held: HeldDatabase[] = [];
  const metadata = plainMetadata(clock);
  const meters = new Set(targets.flatMap(({ meter }) => meter ?? []));
  const traffic = (): Traffic => ({ received: sumOf(meters, 'received'), sent: sumOf(meters, 'sent') });
  const choice = context.part?.tables === undefined ? undefined : new TableChoice(context.part.tables);
  const idle = new IdleSessions();
  const release = async (): Promise<void> => {
    await Promise.all(held.map((one) => one.release()));
  };
  try {
    for (const target of targets) held.push(await holdDatabase({ target, metadata, context, choice, sizes, idle }));
    if (context.part?.only !== 'schema') choice?.refuseUnused(context.store);
    const [first] = held;
    if (first === undefined) throw new HoldfastError('config', `The store ${context.store} names no database.`);
    const globals = await readGlobalFiles(first.held.leader, wanted && context.part?.only !== 'data');
    for (const { subject, because } of globals.leftOut) context.step(`Left out: ${subject}, because ${because}.`);
    const top = folder(encodeName(context.store), metadata, [...held.flatMap((one) => one.folder ?? []), ...globals.files.map(({ name, text }) => file(name, metadata, text))]);
    return {
      paths: [fromText(`/${encodeName(context.store)}`)],
      root: folder('', metadata, [top]),
      parallel: PARALLEL,
      manifest: async () => ({ ...(await manifestOf(context.store, held, globals.leftOut)), part: context.part, ...(meters.size === 0 ? {} : { traffic: traffic() }) }),
      [Symbol.asyncDispose]: release,
    };
  } catch (error) {
    await release();
    throw error;
  }
}

async function manifestOf(store: string, held: readonly HeldDatabase[], more: readonly { subject: string; because: string }[]): Promise<StoreManifest> {
  // Without the leader's locks a table could have been truncated under a session that came to it later.
  for (const one of held) await one.held.leader.query('SELECT', 'asking whether the snapshot was held to the end');
  const databases = held.flatMap((one) => (one.folder === undefined ? [] : [one.account()]));
  const tables = databases.flatMap((one) => one.tables);
  const detail: PostgresDetail = { store, server: held[0]?.held.server ?? '', schemaBy: held.find(({ schemaBy }) => schemaBy !== '')?.schemaBy ?? '', databases };
  return {
    kind: 'postgres',
    moment: databases[0]?.moment ?? '',
    consistency: 'transactional',
    counts: {
      databases: databases.length, tables: tables.length, rows: tables.reduce((sum, table) => sum + table.rows, 0), bytes: tables.reduce((sum, table) => sum + table.bytes, 0),
      sequences: databases.reduce((sum, one) => sum + one.sequences.length, 0), largeObjects: databases.reduce((sum, one) => sum + one.largeObjects.length, 0),
    },
    problems: [],
    leftOut: [...held.flatMap((one) => one.leftOut), ...more],
    detail,
  };
}

function sumOf(meters: ReadonlySet<TrafficMeter>, direction: keyof Traffic): number {
  return [...meters].reduce((sum, meter) => sum + meter[direction], 0);
}
