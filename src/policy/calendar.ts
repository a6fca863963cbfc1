/** Moments as a person's calendar shows them, in a zone with or without daylight saving. Pure: the rules of zones are those of the runtime. */

/** `Europe/Berlin`, `+02:00`, `UTC`. */
export type Zone = string;

/** A moment on the wall clock of a zone. `month` from 1. */
export interface WallTime {
  readonly year: number;
  readonly month: number;
  readonly day: number;
  readonly hour: number;
  readonly minute: number;
  readonly second: number;
}

const formats = new Map<Zone, Intl.DateTimeFormat>();

/** Throws `RangeError` on a zone that is not known. */
export function wallTime(moment: Date, zone: Zone): WallTime {
  let format = formats.get(zone);
  if (!format) {
    format = new Intl.DateTimeFormat('en-u-ca-iso8601-hc-h23', {
      timeZone: zone, year: 'numeric', month: 'numeric', day: 'numeric', hour: 'numeric', minute: 'numeric', second: 'numeric',
    });
    formats.set(zone, format);
  }
  const parts = new Map(format.formatToParts(moment).map(({ type, value }) => [type, Number(value)]));
  const part = (type: Intl.DateTimeFormatPartTypes): number => parts.get(type) ?? 0;
  return { year: part('year'), month: part('month'), day: part('day'), hour: part('hour'), minute: part('minute'), second: part('second') };
}

/** The moment at which the wall clock shows this; fields may be out of range, as in the 31st of a month of 30 days. Of two such moments the earlier. */
export function momentOf(wall: WallTime, zone: Zone): Date {
  const shown = Date.UTC(wall.year, wall.month - 1, wall.day, wall.hour, wall.minute, wall.second);
  // The offset is looked up a day before and a day after: a change of the clock lies between them, or there is none.
  const candidates = [shown - DAY, shown + DAY].map((near) => shown - offsetAt(near, zone)).toSorted((a, b) => a - b);
  const [first = shown] = candidates;
  return new Date(candidates.find((moment) => moment + offsetAt(moment, zone) === shown) ?? first);
}

const DAY = 86_400_000;

/** Milliseconds that the wall clock is ahead of UTC. */
function offsetAt(ms: number, zone: Zone): number {
  const { year, month, day, hour, minute, second } = wallTime(new Date(ms), zone);
  return Date.UTC(year, month - 1, day, hour, minute, second) - Math.floor(ms / 1000) * 1000;
}

/** The week as ISO 8601 counts it: `2026-W53` may hold days of the next year. */
export function isoWeek({ year, month, day }: WallTime): string {
  const date = new Date(Date.UTC(year, month - 1, day));
  const thursday = new Date(date.getTime() + (4 - (date.getUTCDay() || 7)) * DAY);
  const yearStart = Date.UTC(thursday.getUTCFullYear(), 0, 1);
  const week = Math.floor((thursday.getTime() - yearStart) / (7 * DAY)) + 1;
  return `${thursday.getUTCFullYear()}-W${week}`;
}

/** A length of time on the calendar: `1y5m7d2h`. */
export interface Span {
  readonly years: number;
  readonly months: number;
  readonly days: number;
  readonly hours: number;
}

const SPAN = /^(?:(\d+)y)?(?:(\d+)m)?(?:(\d+)d)?(?:(\d+)h)?$/;

/** `30d`, `1y6m`, `12h`, as restic writes them; `m` are months. Undefined when it is none, or no time at all. */
export function parseSpan(text: string): Span | undefined {
  const [, ...numbers] = SPAN.exec(text) ?? [];
  const [years = 0, months = 0, days = 0, hours = 0] = numbers.map((part) => Number(part ?? 0));
  return years + months + days + hours > 0 ? { years, months, days, hours } : undefined;
}

export function formatSpan({ years, months, days, hours }: Span): string {
  const parts = [[years, 'y'], [months, 'm'], [days, 'd'], [hours, 'h']] as const;
  return parts.filter(([amount]) => amount > 0).map(([amount, unit]) => `${amount}${unit}`).join('');
}

/** So much before a moment, on the calendar of the zone: a day is a date, also when its clock has 23 hours. */
export function before(moment: Date, { years, months, days, hours }: Span, zone: Zone): Date {
  const wall = wallTime(moment, zone);
  const date = momentOf({ ...wall, year: wall.year - years, month: wall.month - months, day: wall.day - days }, zone);
  return new Date(date.getTime() + (moment.getTime() % 1000) - hours * 3_600_000);
}
