const UNITS = [
  { unit: 'd', ms: 86_400_000 },
  { unit: 'h', ms: 3_600_000 },
  { unit: 'm', ms: 60_000 },
  { unit: 's', ms: 1000 },
] as const;

/** Milliseconds of `90s`, `15m`, `1.5h`, `7d`; NaN for anything else. */
export function parseDuration(text: string): number {
  const [, amount, unit] = /^(\d+(?:\.\d+)?)([smhd])$/.exec(text) ?? [];
  const factor = UNITS.find((one) => one.unit === unit)?.ms ?? Number.NaN;
  return Math.round(Number(amount) * factor);
}

/** The shortest text that `parseDuration` reads as these milliseconds. */
export function formatDuration(ms: number): string {
  const whole = UNITS.find((one) => ms % one.ms === 0 && ms >= one.ms);
  return whole === undefined ? `${ms / 1000}s` : `${ms / whole.ms}${whole.unit}`;
}
