/** The conformance list as tests: run by each adapter's test on a real place of its own. */
import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { systemClock } from '../base/clock.ts';
import { PROBES, ProbeTools } from './conformance.ts';
import type { Storage } from './storage.ts';

export interface SuiteOptions {
  /** Also what writes much: 65 MiB, a thousand files. */
  readonly bulky?: boolean;
}

/** Runs the suite; `open` answers an empty, prepared storage. */
export function storageSuite(name: string, open: () => Promise<Storage>, { bulky = true }: SuiteOptions = {}): void {
  describe(`the storage ${name}`, () => {
    it.each(PROBES.filter((probe) => bulky || probe.bulky !== true))('$name', async (probe) => {
      const storage = await open();
      const tools = new ProbeTools({ clock: systemClock, random: randomBytes });
      await probe.run(storage, tools);
      expect(await tools.cleanUp(storage)).toEqual([]);
    });
  });
}
