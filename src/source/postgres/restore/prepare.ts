/** A restore of databases, planned: what is stored, what the target has, and what follows from both. Changes nothing. */
import { HoldfastError } from '../../../base/errors.ts';
import type { Connection } from '../../../client/postgres/connection.ts';
import { readDetail, type DatabaseManifest, type PostgresDetail } from '../manifest.ts';
import type { RestoreJob } from './restore-job.ts';
import { readStored, readStoredGlobals, type StoredDatabase } from './stored.ts';
import { maintenance } from './swap.ts';
import { readTarget } from './target-facts.ts';
import { planTarget, type TargetPlan, type Way } from './target-plan.ts';

export interface Prepared extends AsyncDisposable {
  /** A session in a database that nobody renames. */
  readonly admin: Connection;
  readonly detail: PostgresDetail;
  readonly databases: readonly StoredDatabase[];
  readonly plan: TargetPlan;
}

/** `only`: of the databases of the snapshot; `names`: those on the target that will be touched. Throws `missing-on-target`. */
export async function prepare(job: RestoreJob, way: Way, only: readonly DatabaseManifest[], names: readonly string[]): Promise<Prepared> {
  const detail = readDetail(job.manifest);
  const databases: StoredDatabase[] = [];
  for (const manifest of only) databases.push(await readStored(job.files, detail, manifest));
  await using stack = new AsyncDisposableStack();
  const admin = stack.use(await maintenance(job.server, names));
  const locales = databases.flatMap(({ properties }) => [properties.collate, properties.ctype]);
  const { choices = {} } = job.request;
  const target = await readTarget(admin, choices.locale === undefined ? locales : [choices.locale]);
  if (choices.locale !== undefined && !target.locales.has(choices.locale)) {
    throw new HoldfastError('missing-on-target', `The locale ${choices.locale} is not installed on the server.`, { hint: 'Name one that `locale -a` lists there; C is always there.' });
  }
  const globals = await readStoredGlobals(job.files, detail, target.major);
  const needs = databases.map(({ manifest, major, properties, preData, postData, toc }) => ({ database: manifest.name, major, properties, toc, extensions: manifest.extensions, entries: [...preData, ...postData] }));
  const plan = planTarget(target, globals, needs, choices, way, names);
  const kept = stack.move();
  return { admin, detail, databases, plan, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}
