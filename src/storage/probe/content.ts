/** Probes of what is stored and given back. */
import { isHoldfastError } from '../../base/errors.ts';
import type { FileKind, Range } from '../storage.ts';
import { expectThat, listing, refusal, type Probe } from './probe.ts';

const KINDS: readonly FileKind[] = ['key', 'snapshot', 'index', 'lock', 'pack', 'proof'];

const givesBack: Probe = {
  name: 'gives back what was stored, and lists it, at once',
  async run(storage, tools) {
    for (let round = 0; round < 5; round++) {
      const { file, bytes } = await tools.saved(storage, 1000);
      expectThat((await storage.size(file)) === 1000, 'a file that was just stored has another size, or none');
      expectThat((await storage.load(file)).equals(bytes), 'a file that was just stored is given back different');
      expectThat((await listing(storage, 'pack', tools.signal)).get(file.id) === 1000, 'a file that was just stored is not listed, or with another size');
    }
  },
};

const keepsKindsApart: Probe = {
  name: 'keeps files of all kinds, and keeps the kinds apart',
  alone: true,
  async run(storage, tools) {
    for (const kind of [...KINDS, 'config'] as const) {
      const { file, bytes } = await tools.saved(storage, 1000, kind);
      expectThat((await storage.load(file)).equals(bytes), `a ${kind} is given back different`);
      const names = [...(await listing(storage, kind)).keys()];
      expectThat(names.length === 1 && names[0] === file.id, `of one ${kind} that was stored the listing shows ${names.length}`);
    }
  },
};

const RANGES: readonly (readonly [string, Range])[] = [
  ['the first byte', { offset: 0, length: 1 }],
  ['the last byte', { offset: 99_999, length: 1 }],
  ['the middle', { offset: 33_333, length: 33_333 }],
  ['the whole', { offset: 0, length: 100_000 }],
  ['nothing', { offset: 50, length: 0 }],
];

const givesRanges: Probe = {
  name: 'gives any part of a file, and refuses what lies beyond its end',
  async run(storage, tools) {
    const { file, bytes } = await tools.saved(storage, 100_000);
    for (const [what, range] of RANGES) {
      expectThat((await storage.load(file, range)).equals(bytes.subarray(range.offset, range.offset + range.length)), `${what} of a file is given back different`);
    }
    for (const [offset, length] of [[99_999, 2], [100_000, 1], [200_000, 10], [0, 100_001]] as const) {
      const error = await refusal(storage.load(file, { offset, length }), `bytes ${offset} to ${offset + length} of 100,000 are answered as if they were there`);
      expectThat(isHoldfastError(error, 'repository-damaged'), `bytes beyond the end of a file give ${String(error)}`);
    }
  },
};

const saysMissing: Probe = {
  name: 'says that a file is missing',
  async run(storage, tools) {
    const { file } = tools.file(100);
    for (const range of [undefined, { offset: 0, length: 10 }]) {
      const error = await refusal(storage.load(file, range), 'a file that was never stored is answered');
      expectThat(isHoldfastError(error, 'file-missing'), `a file that was never stored gives ${String(error)}`);
    }
    expectThat((await storage.size(file)) === undefined, 'a file that was never stored has a size');
  },
};

const takesTwice: Probe = {
  name: 'takes the same file twice',
  async run(storage, tools) {
    const { file, bytes } = await tools.saved(storage, 1000);
    if (tools.facts.canOverwrite === false && tools.facts.canRemove === false) return { sentence: 'not tried: these credentials cannot overwrite files' };
    await storage.save(file, bytes);
    expectThat((await storage.load(file)).equals(bytes), 'a file that was stored twice is given back different');
    expectThat((await listing(storage, 'pack', tools.signal)).get(file.id) === 1000, 'a file that was stored twice is not listed as one');
  },
};

const removes: Probe = {
  name: 'removes what it is told to, and nothing else',
  async run(storage, tools) {
    const [one, two] = [await tools.saved(storage, 10), await tools.saved(storage, 10)];
    if (tools.facts.canRemove === false) return { sentence: 'not tried again: these credentials cannot remove files' };
    await storage.remove(one.file);
    expectThat((await storage.size(one.file)) === undefined, 'a file that was removed has a size');
    const names = await listing(storage, 'pack', tools.signal);
    expectThat(!names.has(one.file.id), 'a file that was removed is listed');
    expectThat(names.has(two.file.id), 'a file that was not removed is not listed any more');
    expectThat((await storage.load(two.file)).equals(two.bytes), 'a file that was not removed is given back different');
    await storage.remove(one.file);
  },
};

const refusesPaths: Probe = {
  name: 'refuses names that would lead elsewhere',
  async run(storage, tools) {
    for (const id of ['../../somewhere', '', 'AB'.repeat(32), `${'ab'.repeat(32)}/x`]) {
      const file = { kind: 'pack', id } as const;
      const error = await refusal((async () => await storage.save(file, tools.file(1).bytes))(), `a file is stored under the name '${id}'`);
      expectThat(!(error instanceof TypeError), `the name '${id}' is refused by accident: ${String(error)}`);
    }
  },
};

const readsBack: Probe = {
  name: 'tells whether a file is what was stored',
  async run(storage, tools) {
    if (!storage.holds) return undefined;
    const { file, bytes } = await tools.saved(storage, 100_000);
    expectThat(await storage.holds(file, bytes), 'a file that was just stored is said to be different');
    const other = Buffer.from(bytes);
    other.writeUInt8(other.readUInt8(77_777) ^ 1, 77_777);
    for (const wrong of [other, bytes.subarray(0, 99_999)]) expectThat(!(await storage.holds(file, wrong)), 'a file is said to hold what it does not');
  },
};

export const CONTENT_PROBES: readonly Probe[] = [givesBack, keepsKindsApart, givesRanges, saysMissing, takesTwice, removes, refusesPaths, readsBack];
