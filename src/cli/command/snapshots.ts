import type { Command } from 'commander';
import { standingOf, type Standing } from '../../operation/standing.ts';
import { tagValue, type Proof, type Snapshot } from '../../repository/repository.ts';
import { formatBytes, formatMoment, painter, plural, printable, shortId, table } from '../render/text.ts';
import { partOfSnapshot } from '../part-options.ts';
import { Session, type CommonOptions } from '../session.ts';

export function addSnapshots(program: Command): void {
  program
    .command('snapshots')
    .summary('list what the repository holds')
    .description('Lists the snapshots of the repository, oldest first; those of one restore point share its name. What `holdfast verify` has found stands in the column `verified`.')
    .argument('[store...]', 'only these stores')
    .action(run);
}

async function run(stores: readonly string[], options: CommonOptions): Promise<void> {
  await using session = new Session(options);
  const repository = await session.repository();
  const all = await repository.snapshots();
  const { proofs, unreadable } = await repository.proofs();
  const chosen = stores.length === 0 ? all : all.filter((snapshot) => stores.includes(tagValue(snapshot, 'store') ?? ''));
  const notes = unreadable.length === 0 ? [] : [`note: ${plural(unreadable.length, 'proof')} cannot be read and counts for nothing; verify again with \`holdfast verify --all-unverified\`.`];
  session.answer(chosen.map((snapshot) => documentOf(snapshot, proofs)), [...linesOf(chosen, proofs), ...notes]);
}

function documentOf(snapshot: Snapshot, proofs: readonly Proof[]): object {
  const { state, verified, proof } = standingOf(snapshot, proofs);
  return {
    ...snapshot, store: tagValue(snapshot, 'store'), stack: tagValue(snapshot, 'stack'), run: tagValue(snapshot, 'run'), part: tagValue(snapshot, 'part'), state,
    ...(verified === undefined ? {} : { verified: verified.toISOString() }),
    ...(proof === undefined ? {} : { proof: { state: proof.state, time: proof.time, hostname: proof.hostname, problems: proof.problems } }),
  };
}

/** When it was proven, or that it is not. */
export function verifiedText({ verified, proof }: Standing): string {
  if (verified !== undefined) return formatMoment(verified).slice(0, 16);
  return proof === undefined ? '' : 'failed';
}

function linesOf(snapshots: readonly Snapshot[], proofs: readonly Proof[]): readonly string[] {
  if (snapshots.length === 0) return ['The repository holds no snapshots yet. Make one with `holdfast backup`.'];
  const paint = painter(process.stdout);
  const parts = snapshots.some((snapshot) => partOfSnapshot(snapshot) !== undefined);
  const rows = snapshots.map((snapshot) => {
    const standing = standingOf(snapshot, proofs);
    return [
      shortId(snapshot.id), formatMoment(new Date(snapshot.time)), printable(tagValue(snapshot, 'store') ?? snapshot.paths.join(', ')), ...(parts ? [printable(partOfSnapshot(snapshot) ?? '')] : []),
      standing.state === 'unknown' ? '' : standing.state, verifiedText(standing), snapshot.summary ? formatBytes(snapshot.summary.total_bytes_processed) : '',
      snapshot.summary ? formatBytes(snapshot.summary.data_added_packed) : '', tagValue(snapshot, 'run') ?? `by ${snapshot.program_version ?? 'another program'}`,
    ];
  });
  const [head = '', ...body] = table(
    [{ title: 'snapshot' }, { title: 'time' }, { title: 'store' }, ...(parts ? [{ title: 'part' }] : []), { title: 'state' }, { title: 'verified' }, { title: 'size', align: 'right' }, { title: 'stored', align: 'right' }, { title: 'restore point' }],
    rows,
  );
  return [paint('dim', head), ...body, '', plural(snapshots.length, 'snapshot')];
}
