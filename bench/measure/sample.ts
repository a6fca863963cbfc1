/** Many measurements to few figures. */
import type { Measured } from './measure.ts';

export interface Sample extends Measured {
  readonly phase: string;
  readonly tool: string;
  readonly round: number;
  /** What lies on disk at the end: the repository, the dump, the database. */
  readonly storedBytes?: number;
  /** By how much that grew. */
  readonly addedBytes?: number;
  /** What the server sent. */
  readonly receivedBytes?: number;
  /** What the server wrote of its log. */
  readonly logBytes?: number;
  /** The most of it that was not stored yet, and how long ago that began. */
  readonly lagBytes?: number;
  readonly lagSeconds?: number;
}

export interface Figures {
  readonly phase: string;
  readonly tool: string;
  readonly n: number;
  readonly wallMedian: number;
  readonly wallMin: number;
  readonly cpuMedian: number;
  readonly serverMedian: number | undefined;
  /** Of all rounds. */
  readonly peakBytes: number;
  readonly storedBytes: number | undefined;
  readonly addedBytes: number | undefined;
  readonly receivedBytes: number | undefined;
  readonly logBytes: number | undefined;
  readonly lagBytes: number | undefined;
  readonly lagSeconds: number | undefined;
  readonly othersMedian: number;
  /** The median over the rounds of our time divided by this tool's; undefined for ourselves. */
  readonly ratio: number | undefined;
  readonly cpuRatio: number | undefined;
}

/** The name under which our own samples stand. */
export const OURS = 'holdfast';

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const [low = NaN, high = NaN] = sorted.length % 2 === 1 ? [sorted[middle], sorted[middle]] : [sorted[middle - 1], sorted[middle]];
  return (low + high) / 2;
}

/** One line for each phase and tool, in the order in which they came first. */
export function summarize(samples: readonly Sample[]): readonly Figures[] {
  const groups = new Map<string, Sample[]>();
  for (const { phase } of samples) {
    for (const sample of samples.filter((each) => each.phase === phase && each.round === 0).toSorted(oursFirst)) groups.set(`${phase}\0${sample.tool}`, []);
  }
  for (const sample of samples) groups.get(`${sample.phase}\0${sample.tool}`)?.push(sample);
  return [...groups.values()].map((group) => figuresOf(group, samples));
}

function oursFirst(a: Sample, b: Sample): number {
  return Number(b.tool === OURS) - Number(a.tool === OURS);
}

function figuresOf(group: readonly Sample[], all: readonly Sample[]): Figures {
  const [first] = group;
  const { phase, tool } = first ?? { phase: '', tool: '' };
  const known = (values: readonly (number | undefined)[]): number | undefined => {
    const numbers = values.filter((value) => value !== undefined);
    return numbers.length === 0 ? undefined : median(numbers);
  };
  const pairs = group.flatMap((theirs) => all.filter((ours) => ours.tool === OURS && ours.phase === phase && ours.round === theirs.round).map((ours) => ({ ours, theirs })));
  const isPeer = tool !== OURS && pairs.length > 0;
  const cpu = (sample: Sample): number => sample.cpuSeconds + (sample.serverSeconds ?? 0);
  return {
    phase, tool, n: group.length,
    wallMedian: median(group.map(({ wallSeconds }) => wallSeconds)),
    wallMin: Math.min(...group.map(({ wallSeconds }) => wallSeconds)),
    cpuMedian: median(group.map(({ cpuSeconds }) => cpuSeconds)),
    serverMedian: known(group.map(({ serverSeconds }) => serverSeconds)),
    peakBytes: Math.max(...group.map(({ peakBytes }) => peakBytes)),
    storedBytes: known(group.map(({ storedBytes }) => storedBytes)),
    addedBytes: known(group.map(({ addedBytes }) => addedBytes)),
    receivedBytes: known(group.map(({ receivedBytes }) => receivedBytes)),
    logBytes: known(group.map(({ logBytes }) => logBytes)),
    lagBytes: known(group.map(({ lagBytes }) => lagBytes)),
    lagSeconds: known(group.map(({ lagSeconds }) => lagSeconds)),
    othersMedian: median(group.map(({ othersShare }) => othersShare)),
    ratio: isPeer ? median(pairs.map(({ ours, theirs }) => ours.wallSeconds / theirs.wallSeconds)) : undefined,
    cpuRatio: isPeer ? median(pairs.map(({ ours, theirs }) => cpu(ours) / cpu(theirs))) : undefined,
  };
}
