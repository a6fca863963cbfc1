/** Probes of what must be all or nothing, however it is interrupted, and of what is much. */
import { hash } from 'node:crypto';
import { isHoldfastError } from '../../base/errors.ts';
import type { Storage } from '../storage.ts';
import { expectThat, inParallel, listing, refusal, type Probe, type ProbeTools, type TestFile } from './probe.ts';

const MIB = 1 << 20;
/** More than one page of a listing, which holds 1,000 on S3. */
const MANY = 1050;
/** Large enough for several parts of a multipart upload. */
const LARGE_BYTES = 65 * MIB;
const AT_ONCE = 8;

const nothingHalf: Probe = {
  name: 'shows nothing of a file until it is whole',
  async run(storage, tools) {
    for (let round = 0; round < 3; round++) {
      const made = tools.file(8 * MIB);
      let saving = true;
      const saved = storage.save(made.file, made.bytes, { signal: tools.signal }).finally(() => (saving = false));
      // Who reads before is answered "missing", or the whole.
      const watched = (async () => {
        while (saving) await expectNothingOrWhole(storage, made);
      })();
      await Promise.all([saved, watched]);
      expectThat(await expectNothingOrWhole(storage, made), 'a file that was stored is not there');
    }
  },
};

/** Answers whether it is there. */
async function expectNothingOrWhole(storage: Storage, { file, bytes }: TestFile): Promise<boolean> {
  const size = await storage.size(file);
  expectThat(size === undefined || size === bytes.length, `a file of ${bytes.length} bytes is seen with ${size ?? 0} while it is written`);
  if (size === undefined) return false;
  expectThat((await storage.load(file)).equals(bytes), 'a file is read different while it is written');
  return true;
}

const nothingLeft: Probe = {
  name: 'keeps nothing, or the whole, of a save that is broken off',
  async run(storage, tools) {
    for (const after of [1, 2 * MIB]) {
      const made = tools.file(8 * MIB);
      const abort = new AbortController();
      let moved = 0;
      const saving = storage.save(made.file, made.bytes, {
        signal: tools.signal ? AbortSignal.any([tools.signal, abort.signal]) : abort.signal,
        moved(bytes) {
          moved += bytes;
          if (moved >= after) abort.abort(new Error('broken off by the probe'));
          return undefined;
        },
      });
      const outcome = await saving.then(() => 'saved', (error: unknown) => error);
      tools.signal?.throwIfAborted();
      const isThere = await expectNothingOrWhole(storage, made);
      expectThat(outcome !== 'saved' || isThere, 'a save was answered as done, and the file is not there');
      expectThat((await listing(storage, 'pack', tools.signal)).has(made.file.id) === isThere, 'a save that was broken off left a file that is listed and cannot be read');
      if (isThere && tools.facts.canOverwrite === false) continue;
      // The same can be stored afterwards.
      await storage.save(made.file, made.bytes, { signal: tools.signal });
      expectThat(await expectNothingOrWhole(storage, made), 'a file whose first save was broken off cannot be stored again');
    }
  },
};

const obeys: Probe = {
  name: 'tells of bytes as they pass, and stops when it is told to',
  async run(storage, tools) {
    const { file, bytes } = tools.file(3 * MIB);
    for (const [what, call] of [['up', (options: object) => storage.save(file, bytes, options)], ['down', (options: object) => storage.load(file, undefined, options)]] as const) {
      let told = 0;
      await call({ signal: tools.signal, moved: (count: number) => ((told += count), undefined) });
      expectThat(told >= bytes.length, `of ${bytes.length} bytes ${what} only ${told} are told of: limits and the watch over stalls would not work`);
    }
    const given = AbortSignal.abort(new Error('given up by the probe'));
    const error = await refusal(storage.load(file, undefined, { signal: given }), 'a call that was given up is carried out');
    expectThat(error === given.reason, `a call that was given up rejects with ${String(error)}`);
  },
};

const large: Probe = {
  name: 'keeps a file of 65 MiB',
  bulky: true,
  async run(storage, tools) {
    const { file } = await tools.saved(storage, LARGE_BYTES);
    expectThat((await storage.size(file)) === LARGE_BYTES, 'a large file has another size than was stored');
    expectThat(hash('sha256', await storage.load(file, undefined, { signal: tools.signal }), 'hex') === file.id, 'a large file is given back different');
    const end = await storage.load(file, { offset: LARGE_BYTES - MIB, length: MIB });
    expectThat(end.length === MIB, 'the end of a large file is not given back');
  },
};

const many: Probe = {
  name: `lists ${MANY.toLocaleString('en')} files completely`,
  bulky: true,
  async run(storage, tools) {
    const before = await listing(storage, 'pack', tools.signal);
    const made = Array.from({ length: MANY }, (_, i) => tools.file(20 + (i % 3)));
    await inParallel(made, Math.max(AT_ONCE, storage.parallel ?? 1), async ({ file, bytes }) => await storage.save(file, bytes, { signal: tools.signal }));
    const after = await listing(storage, 'pack', tools.signal);
    const lost = made.filter(({ file, bytes }) => after.get(file.id) !== bytes.length);
    expectThat(lost.length === 0, `of ${MANY} files that were stored ${lost.length} are not listed, or with another size`);
    expectThat(before.size === 0 || after.size > made.length, 'files that were there before are not listed any more');
  },
};

const parallel: Probe = {
  name: 'carries out 8 calls at once',
  async run(storage, tools) {
    const made = Array.from({ length: AT_ONCE }, () => tools.file(MIB));
    await Promise.all(made.map(async ({ file, bytes }) => await storage.save(file, bytes, { signal: tools.signal })));
    const loaded = await Promise.all(made.map(async ({ file }) => await storage.load(file, undefined, { signal: tools.signal })));
    expectThat(made.every(({ bytes }, i) => loaded[i]?.equals(bytes) === true), 'of files that were stored and read at once some are given back different');
    if (tools.facts.canRemove !== false) await Promise.all(made.map(async ({ file }) => await storage.remove(file)));
  },
};

const onlyNew: Probe = {
  name: 'lets one of several store what is new',
  async run(storage, tools) {
    const no = { sentence: 'it cannot tell the first of two who store under one name from the second; Holdfast does not rely on it', facts: { conditionalWrites: false } };
    if (!storage.saveNew) return no;
    try {
      return await raceForOne(storage, tools) ? { sentence: 'yes', facts: { conditionalWrites: true } } : no;
    } catch (error) {
      // An append-only storage may forbid what overwrites, and say so to all but the first.
      if (isHoldfastError(error, 'storage-denied', 'storage-kept')) return { sentence: 'yes: whoever comes second is refused', facts: { conditionalWrites: true } };
      throw error;
    }
  },
};

async function raceForOne(storage: Storage, tools: ProbeTools): Promise<boolean> {
  const { file, bytes } = tools.file(100);
  // What cannot be removed again must be what its name says.
  const contents = Array.from({ length: AT_ONCE }, (_, i) => (tools.facts.canRemove === false ? bytes : Buffer.concat([bytes, Buffer.from([i])])));
  const won = await Promise.all(contents.map(async (content) => (await storage.saveNew?.(file, content, { signal: tools.signal })) === true));
  const winner = contents[won.indexOf(true)];
  return won.filter((first) => first).length === 1 && winner !== undefined && (await storage.load(file)).equals(winner);
}

export const WHOLE_PROBES: readonly Probe[] = [nothingHalf, nothingLeft, obeys, parallel, onlyNew, large, many];
