/** Prints the figures as a Markdown table, as docs/benchmarks.md shows them, and keeps every sample. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { machineLine } from './machine.ts';
import { summarize, type Figures, type Sample } from './sample.ts';

export interface Result {
  readonly name: string;
  readonly samples: readonly Sample[];
  /** Versions of the tools, settings, what was left out. */
  readonly notes: readonly string[];
}

const HEADS = ['phase', 'tool', 'n', 'wall s', 'min s', 'CPU s', 'server CPU s', 'peak MB', 'stored MB', 'added MB', 'received MB', 'log MB', 'lag MB', 'lag s', 'ours ÷ it', 'CPU ÷ its', 'others'];
const seconds = (value: number): string => value.toFixed(2);
const megabytes = (value: number): string => (value / 1e6).toFixed(0);
const precise = (value: number): string => (value / 1e6).toFixed(value < 1e7 ? 2 : 0);
const share = (value: number): string => `${(value * 100).toFixed(0)} %`;
const orNothing = (value: number | undefined, show: (value: number) => string): string => (value === undefined ? '' : show(value));

function cells(row: Figures): readonly string[] {
  return [
    row.phase, row.tool.replaceAll('|', String.raw`\|`), String(row.n), seconds(row.wallMedian), seconds(row.wallMin), seconds(row.cpuMedian), orNothing(row.serverMedian, seconds),
    megabytes(row.peakBytes), orNothing(row.storedBytes, megabytes), orNothing(row.addedBytes, precise), orNothing(row.receivedBytes, precise),
    orNothing(row.logBytes, megabytes), orNothing(row.lagBytes, precise), orNothing(row.lagSeconds, seconds), orNothing(row.ratio, seconds), orNothing(row.cpuRatio, seconds), share(row.othersMedian),
  ];
}

/** The lines of a table whose columns stand below each other; columns without a figure are left out. */
function tableLines(all: readonly (readonly string[])[]): readonly string[] {
  const filled = (_: string, column: number): boolean => all.some((row) => row[column] !== '');
  const [heads, rows] = [HEADS.filter(filled), all.map((row) => row.filter(filled))];
  const widths = heads.map((head, column) => Math.max(head.length, 3, ...rows.map((row) => row[column]?.length ?? 0)));
  const line = (row: readonly string[]): string => `| ${row.map((cell, column) => (column < 2 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0))).join(' | ')} |`;
  const rule = `| ${widths.map((width, column) => (column < 2 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`)).join(' | ')} |`;
  return [line(heads), rule, ...rows.map(line)];
}

/** Prints the result and writes it to `results/NAME.json` beside the harness. */
export function report({ name, samples, notes }: Result): void {
  const figures = summarize(samples);
  const machine = machineLine();
  console.log(['', `## ${name}`, '', machine, ...notes, '', ...tableLines(figures.map(cells)), ''].join('\n'));
  const folder = join(import.meta.dirname, '..', 'results');
  mkdirSync(folder, { recursive: true });
  const file = join(folder, `${name}.json`);
  writeFileSync(file, `${JSON.stringify({ name, at: new Date().toISOString(), machine, notes, figures, samples }, undefined, 2)}\n`);
  console.log(`Every sample is in bench/results/${name}.json.`);
}
