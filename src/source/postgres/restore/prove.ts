/** Is what stands in a database equal to what the manifest says was backed up? */
import type { Connection } from '../../../client/postgres/connection.ts';
import { copyOut } from '../../../client/postgres/copy-out.ts';
import type { ProofLine } from '../../source.ts';
import type { Lost } from './adapt.ts';
import { copyOutSql, readLargeObjects, readSequences } from '../catalog.ts';
import { comparable, explains } from './expected-facts.ts';
import { compareFacts, readFacts } from '../facts.ts';
import { hashLargeObject } from '../large-object.ts';
import type { DatabaseManifest, TableManifest } from '../manifest.ts';
import { majorOf } from './target-facts.ts';
import type { TargetPlan } from './target-plan.ts';

const plural = (n: number, what: string): string => `${n.toLocaleString('en')} ${what}${n === 1 ? '' : 's'}`;

/** Reads the table back as a whole. */
export async function proveTable(connection: Connection, table: TableManifest): Promise<ProofLine> {
  const subject = `${table.schema}.${table.name}`;
  const now = await copyOut(connection, copyOutSql(table), `reading back the table ${subject}`, () => undefined);
  if (now.rows !== table.rows) return { subject, equal: false, detail: `${plural(now.rows, 'row')} instead of ${table.rows.toLocaleString('en')}` };
  const equal = now.sum === table.fingerprint;
  return { subject, equal, detail: `${plural(now.rows, 'row')}, ${equal ? 'fingerprint equal' : 'but the fingerprint of their content differs'}` };
}

/** `known`: names of sequences that are told elsewhere. */
export async function proveSequences(connection: Connection, manifest: DatabaseManifest, known: (name: string) => boolean = () => false): Promise<ProofLine> {
  const now = new Map((await readSequences(connection)).map((one) => [JSON.stringify([one.schema, one.name]), one]));
  const wrong = manifest.sequences.filter(({ schema, name, lastValue, isCalled }) => {
    const found = now.get(JSON.stringify([schema, name]));
    return (found?.lastValue !== lastValue || found.isCalled !== isCalled) && !(found === undefined && known(`${schema}.${name}`));
  });
  const names = wrong.slice(0, 5).map(({ schema, name, lastValue }) => {
    const found = now.get(JSON.stringify([schema, name]));
    return `${schema}.${name} ${found === undefined ? 'is missing' : `stands at ${found.lastValue} instead of ${lastValue}`}`;
  });
  return { subject: 'sequences', equal: wrong.length === 0, detail: wrong.length === 0 ? `${plural(manifest.sequences.length, 'value')} equal` : names.join('; ') };
}

export async function proveLargeObjects(connection: Connection, manifest: DatabaseManifest): Promise<ProofLine> {
  const there = new Set((await readLargeObjects(connection)).map(({ oid }) => oid));
  const wrong: string[] = [];
  for (const { oid, sha256 } of manifest.largeObjects) {
    if (!there.has(oid)) wrong.push(`${oid} is missing`);
    else if ((await hashLargeObject(connection, oid)).sha256 !== sha256) wrong.push(`${oid} has other content`);
  }
  return { subject: 'large objects', equal: wrong.length === 0, detail: wrong.length === 0 ? `${plural(manifest.largeObjects.length, 'object')}, SHA-256 equal` : wrong.slice(0, 5).join('; ') };
}

/** What a restore did otherwise than the backup has it. */
export interface Deviation {
  readonly plan: TargetPlan;
  readonly lost: readonly Lost[];
  /** Facts of what was there before and may stay. */
  readonly there?: readonly string[];
}

/**
 * Owners, privileges, columns, constraints, indexes, triggers, functions, policies …: every line of the catalogue. What the plan of a restore
 * maps is expected as mapped; what it is known to have lost is told by the restore itself, and counted here. `from`: major version of the source.
 */
export async function proveCatalog(connection: Connection, before: readonly string[], from: number, deviation?: Deviation): Promise<ProofLine> {
  const to = await majorOf(connection);
  const normal = (lines: readonly string[]): string[] => (from === to ? [...lines] : lines.flatMap((line) => acrossVersions(line, from, to)));
  const now = normal(await readFacts(connection));
  const sides = deviation === undefined ? { before: normal(before), after: now } : comparable(normal(before), now, deviation.plan);
  const known = explains(deviation?.lost ?? []);
  const stays = new Set(deviation?.there === undefined ? [] : comparable([], normal(deviation.there), deviation.plan).after);
  const all = compareFacts(sides.before, sides.after);
  const [missing, surplus] = [all.missing.filter((line) => !known(line)), all.surplus.filter((line) => !known(line) && !stays.has(line))];
  const equal = missing.length === 0 && surplus.length === 0;
  const named = [...missing.slice(0, 4).map((line) => `missing: ${line}`), ...surplus.slice(0, 4).map((line) => `surplus: ${line}`)];
  const apart = all.missing.length - missing.length;
  const told = apart === 0 ? '' : `, ${plural(apart, 'other')} belong to what could not be given back`;
  return { subject: 'catalogue', equal, detail: equal ? `${plural(before.length - apart, 'fact')} equal${told}` : `${missing.length + surplus.length} differ: ${named.join('; ')}` };
}

/**
 * What servers of different major versions say differently of the same thing: NOT NULL as a constraint (18), MAINTAIN (17), words that need quotes, the layout of views and rules;
 * since 14 every range type has a multirange with it, and arguments of procedures are written with IN.
 */
function acrossVersions(line: string, from: number, to: number): string[] {
  if (/^constraint .*: NOT NULL[ ,]/.test(line)) return [];
  const into14 = Math.min(from, to) < 14 && Math.max(from, to) >= 14;
  if (into14 && /^(?:cast|detail of cast|function|type|comment on) .*_multirange\b/.test(line)) return [];
  const shared = (into14 ? line.replace(/^(function .*?: md5) [0-9a-f]{32}/, '$1') : line).replaceAll(/ (?:"(?:[^"]|"")*"|[^\s"]+)=MAINTAIN\*?/g, '').replaceAll(/"([a-z_][a-z0-9_]*)"/g, '$1');
  return [
    shared.replace(/^(view .*): md5 [0-9a-f]{32}/, '$1').replace(/^(rule on .*?: CREATE RULE .*?\s+ON (?:SELECT|INSERT|UPDATE|DELETE) TO ).*(, enabled .)$/s, '$1$2')
      .replace(/^(transform for .*) on language /, '$1 language '),
  ];
}

export async function proveConstraints(connection: Connection, manifestLines: readonly string[]): Promise<ProofLine> {
  const invalid = await connection.query<{ name: string }>(
    `SELECT pg_catalog.format('%I on %s', conname, conrelid::pg_catalog.regclass) AS name FROM pg_catalog.pg_constraint WHERE NOT convalidated ORDER BY 1`,
    'looking at the constraints',
  );
  const known = manifestLines.filter((line) => /^constraint .*, validated f$/.test(line)).length;
  const equal = invalid.length <= known;
  return { subject: 'constraints', equal, detail: equal ? `all validated${known > 0 ? ` but ${known}, as in the source` : ''}` : `not validated: ${invalid.map(({ name }) => name).join(', ')}` };
}
