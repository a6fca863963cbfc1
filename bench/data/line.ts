/** Lines of text as a product's database and its folders hold them. */
import { PHRASES, WORDS, type Random } from './random.ts';

/** The columns of `document`, for CREATE TABLE. */
export const DOCUMENT_COLUMNS =
  'id bigint NOT NULL, key uuid NOT NULL, owner integer NOT NULL, created timestamptz NOT NULL, title text NOT NULL, tags text[] NOT NULL, price numeric(12,4), attributes jsonb NOT NULL, body text NOT NULL, digest bytea NOT NULL';

const PLACES = ['Bern', 'Köln', 'Lyon', 'Oslo', 'Porto', 'Praha', 'Tartu', 'Wien', 'Łódź', 'Århus'];
const STATES = ['draft', 'open', 'paid', 'sent', 'returned', 'closed'];
const METHODS = ['GET', 'GET', 'GET', 'GET', 'POST', 'PUT', 'DELETE'];
const LEVELS = ['info', 'info', 'info', 'debug', 'warn', 'error'];

/** Some words; most of them come in phrases. */
export function sentence(random: Random, least: number, most: number): string {
  const parts: string[] = [];
  for (let left = random.between(least, most); left > 0; ) {
    const inPhrase = left > 4 && random.share() < 0.6;
    parts.push(random.pickEarly(inPhrase ? PHRASES : WORDS));
    left -= inPhrase ? 4 : 1;
  }
  return parts.join(' ');
}

function moment(random: Random): string {
  return new Date(1_600_000_000_000 + Math.floor(random.share() * 2e8) * 1000).toISOString();
}

function uuid(random: Random): string {
  const hex = random.hex(32);
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20)}`;
}

/** A row of COPY text of pgbench's accounts. */
export function account(random: Random, id: number): string {
  return `${id}\t${(id % 50) + 1}\t${random.between(-5000, 5000)}\t${' '.repeat(84)}\n`;
}

/** A row of COPY text with the columns of `DOCUMENT_COLUMNS`, some 1.4 kB. */
export function document(random: Random, id: number): string {
  const attributes = {
    state: random.pick(STATES), place: random.pick(PLACES), score: random.between(0, 1000) / 10, visits: random.between(0, 90_000), agent: sentence(random, 2, 5),
    address: { street: sentence(random, 1, 3), number: random.between(1, 300), code: random.between(1000, 9999) }, flags: [random.share() < 0.5, random.share() < 0.1],
  };
  const tags = Array.from({ length: random.between(0, 6) }, () => random.pickEarly(WORDS));
  const price = random.share() < 0.05 ? '\\N' : `${random.between(0, 99_999)}.${String(random.between(0, 9999)).padStart(4, '0')}`;
  return `${id}\t${uuid(random)}\t${random.between(1, 20_000)}\t${moment(random)}\t${sentence(random, 3, 9)}\t{${tags.join(',')}}\t${price}\t${JSON.stringify(attributes)}\t${sentence(random, 60, 220)}\t\\\\x${random.hex(64)}\n`;
}

/** A row of COPY text of a table of events. */
export function event(random: Random, id: number): string {
  return `${id}\t${moment(random)}\t${random.between(1, 20_000)}\t${random.pick(METHODS)} /${random.pickEarly(WORDS)}/${random.between(1, 1e6)}\t${random.pick(STATES)}\t${random.between(1, 9999)}\t10.${random.between(0, 255)}.${random.between(0, 255)}.${random.between(1, 254)}\n`;
}

/** What a line of a text file looks like; a file keeps to one of these. */
export const TEXT_LINES: readonly ((random: Random, number: number) => string)[] = [
  (random) => `${moment(random)} ${random.pick(LEVELS)} [${random.pickEarly(WORDS)}] ${random.pickEarly(PHRASES)} ${random.pickEarly(PHRASES)} id=${random.between(1, 1e6)} ms=${random.between(0, 4000)}\n`,
  (random, number) => `${JSON.stringify({ number, key: uuid(random), at: moment(random), state: random.pick(STATES), text: sentence(random, 5, 25), value: random.between(0, 1e5) / 100 })}\n`,
  (random, number) => `${number};${random.pick(PLACES)};${random.between(0, 1e6)};${random.between(0, 1e4) / 100};${sentence(random, 1, 4)}\n`,
  (random) => `${sentence(random, 8, 18)}.${random.share() < 0.2 ? '\n\n' : '\n'}`,
  (random) => `${' '.repeat(2 * random.between(0, 4))}const ${random.pickEarly(WORDS)} = ${random.pickEarly(WORDS)}(${random.pickEarly(WORDS)}, ${random.between(0, 999)});\n`,
];
