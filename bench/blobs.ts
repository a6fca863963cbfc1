/**
 * A repository of two million blobs: time and memory of commands that load its index. The blobs are made up: index files with
 * random ids, and packs of the right length with nothing in them, which no measured command reads.
 */
import { randomBytes } from 'node:crypto';
import { closeSync, ftruncateSync, mkdirSync, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Secret } from '../src/base/secret.ts';
import { openCore, saveDocument } from '../src/repository/core.ts';
import { encodeIndex, encodeIndexedPack, type IndexedPack } from '../src/repository/format/index-file.ts';
import { LENGTH_FIELD } from '../src/repository/format/pack-header.ts';
import { LocalStorage } from '../src/storage/local.ts';
import { measure, quietly, type Command } from './measure/measure.ts';
import type { Result } from './measure/report.ts';
import { OURS, type Sample } from './measure/sample.ts';
import { workFolder, type BenchOptions } from './rounds.ts';
import { holdfast, holdfastVersion, initStack, repositoryOf } from './tool/holdfast.ts';
import { setUp } from './tool/setup.ts';

const BLOBS = 2_000_000;
const BLOBS_PER_PACK = 500;
const PACKS_PER_INDEX = 100;

export async function benchBlobs(options: BenchOptions): Promise<Result> {
  if (!setUp('debian')) throw new Error('restic cannot be had');
  using work = workFolder('blobs', options);
  const place = join(work.folder, 'stack');
  const source = join(work.folder, 'source');
  mkdirSync(source, { recursive: true });
  for (let n = 0; n < 200; n++) writeFileSync(join(source, `file-${n}`), `${n}\n`.repeat(500));
  initStack(place, '--directory', source);
  const blobs = BLOBS * options.scale;
  await fill(repositoryOf(place), blobs);
  const cache = ['--cache-dir', join(work.folder, 'cache')];
  const restic = (...args: readonly string[]): Command => ({ program: 'restic', args: ['-q', '--repo', repositoryOf(place), ...cache, ...args], env: { RESTIC_PASSWORD: 'benchmark' } });
  const phases: readonly (readonly [string, Command, Command])[] = [
    ['backup', holdfast(place, 'backup'), restic('backup', source)],
    ['list a snapshot', holdfast(place, 'ls', 'latest'), restic('ls', 'latest')],
    ['check', holdfast(place, 'check'), restic('check')],
    ['prune, plan only', holdfast(place, 'prune', '--dry-run'), restic('prune', '--dry-run')],
  ];
  const samples: Sample[] = [];
  for (let round = 0; round < options.runs; round++) {
    for (const [phase, ours, theirs] of phases) {
      for (const [tool, command] of round % 2 === 0 ? [[OURS, ours], ['restic', theirs]] as const : [['restic', theirs], [OURS, ours]] as const) {
        const measured = await measure(command, { patience: options.patience });
        console.log(`round ${round + 1} ${phase} ${tool}: ${measured.wallSeconds.toFixed(2)} s, ${(measured.peakBytes / 1e6).toFixed(0)} MB`);
        samples.push({ phase, tool, round, ...measured });
      }
    }
  }
  return { name: 'blobs', samples, notes: [`Tools: ${holdfastVersion()}; ${quietly({ program: 'restic', args: ['version'] }).trim()}.`, `A local repository of ${blobs.toLocaleString('en')} blobs.`] };
}

async function fill(repository: string, blobs: number): Promise<void> {
  const core = await openCore(new LocalStorage(repository), new Secret('benchmark'));
  const packs: string[] = [];
  for (let made = 0; made < blobs; made += BLOBS_PER_PACK) {
    const pack = madeUpPack(made % (20 * BLOBS_PER_PACK) === 0);
    const file = openSync(join(repository, 'data', pack.id.slice(0, 2), pack.id), 'wx', 0o400);
    ftruncateSync(file, lengthOf(pack));
    closeSync(file);
    packs.push(encodeIndexedPack(pack));
    if (packs.length === PACKS_PER_INDEX) await saveDocument(core, 'index', encodeIndex(packs.splice(0)));
  }
  if (packs.length > 0) await saveDocument(core, 'index', encodeIndex(packs));
}

/** One pack in twenty holds trees. */
function madeUpPack(ofTrees: boolean): IndexedPack {
  let offset = 0;
  const blobs = Array.from({ length: BLOBS_PER_PACK }, () => {
    const length = 20_000 + randomBytes(2).readUInt16LE();
    const blob = { id: randomBytes(32).toString('hex'), type: ofTrees ? 'tree' as const : 'data' as const, offset, length, uncompressedLength: length * 2 };
    offset += length;
    return blob;
  });
  return { id: randomBytes(32).toString('hex'), blobs };
}

/** With a header of the length that restic expects. */
function lengthOf({ blobs }: IndexedPack): number {
  const last = blobs.at(-1);
  return (last ? last.offset + last.length : 0) + blobs.length * 41 + 32 + LENGTH_FIELD;
}
