/** A program that backs up a folder and restores it. */
import type { Command } from '../measure/measure.ts';

export interface DirectoryTool {
  readonly name: string;
  readonly version: string;
  /** Makes an empty repository inside `place`, for backups of `source`; not measured. */
  prepare(place: string, source: string): void;
  backup(place: string, source: string): Command;
  restore(place: string, out: string): Command;
  /** What counts as stored. */
  repository(place: string): string;
}
