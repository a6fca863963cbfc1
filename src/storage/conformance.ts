/**
 * What every storage must do, as a list of probes. The tests of each adapter run it on a place of their own, and
 * `holdfast storage validate` on the storage of a user's repository, with files of its own making.
 */
import { CONTENT_PROBES } from './probe/content.ts';
import type { Probe } from './probe/probe.ts';
import { ABILITY_PROBES, TAMPER } from './probe/tamper.ts';
import { WHOLE_PROBES } from './probe/whole.ts';

export { ProbeTools, type Finding, type Probe, type StorageFacts } from './probe/probe.ts';

/** In the order in which they are to be run: who could do what comes first, for it decides what can be tried. */
export const PROBES: readonly Probe[] = [TAMPER, ...CONTENT_PROBES, ...WHOLE_PROBES, ...ABILITY_PROBES];
