/** One recorded jump as text: a header, then a line for each reading: time, altitude, speeds, place, satellites. */

const HEADER = 'time_ms,altitude_m,vertical_speed_ms,ground_speed_ms,latitude,longitude,satellites\n';
const LONGEST_LINE = 80;
const EXIT_AT = 0.72;
const OPENING_AT = 0.81;

/** The bytes of a log of about this size; the same seed gives the same bytes. */
export function flightLog(seed: number, size: number): Buffer {
  const random = randomNumbers(seed);
  const head = `# Tempo Insights flight log 3\n# device firmware 3.2.${seed % 10}, calibration ${(1013 + random() * 4).toFixed(4)}\n${HEADER}`;
  const writer = new DigitWriter(size + LONGEST_LINE);
  writer.text(head);
  const ceiling = 380_000 + random() * 40_000;
  let [time, wobble, latitude, longitude] = [0, 0, 36e6 + random() * 24e6, 2e6 + random() * 28e6];
  while (writer.length < size) {
    const share = writer.length / size;
    wobble = wobble * 0.97 + (random() - 0.5) * 40;
    const { altitude, sink, ground } = reading(share, ceiling);
    time += 240 + Math.floor(random() * 20);
    latitude += ground * 0.02 + (random() - 0.5) * 6;
    longitude += ground * 0.03 + (random() - 0.5) * 6;
    writer.line(time, altitude + wobble * 10, sink + wobble, ground + wobble * 2, latitude, longitude, 7 + Math.floor(random() * 9));
  }
  return writer.bytes();
}

/** Climb, free fall and canopy: altitude in tenths of a metre, speeds in hundredths of a metre a second. */
function reading(share: number, ceiling: number): { altitude: number; sink: number; ground: number } {
  if (share < EXIT_AT) return { altitude: (ceiling * share) / EXIT_AT / 10, sink: 620, ground: 6400 };
  if (share < OPENING_AT) {
    const fall = (share - EXIT_AT) / (OPENING_AT - EXIT_AT);
    return { altitude: (ceiling * (1 - 0.75 * fall)) / 10, sink: -5400 - 600 * Math.sin(fall * 9), ground: 900 };
  }
  const canopy = (share - OPENING_AT) / (1 - OPENING_AT);
  return { altitude: (ceiling * 0.25 * (1 - canopy)) / 10, sink: -480 - 90 * Math.sin(canopy * 60), ground: 1150 + 300 * Math.cos(canopy * 40) };
}

/** Mulberry32: small, fast, and the same everywhere. */
function randomNumbers(seed: number): () => number {
  let state = (seed * 0x9e3779b9) | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

/** Writes numbers as digits straight into bytes; `toFixed` for millions of numbers would take most of the demo's time. */
class DigitWriter {
  readonly #bytes: Buffer;
  length = 0;

  constructor(capacity: number) {
    this.#bytes = Buffer.allocUnsafe(capacity);
  }

  bytes(): Buffer {
    return this.#bytes.subarray(0, this.length);
  }

  text(text: string): void {
    this.length += this.#bytes.write(text, this.length, 'latin1');
  }

  line(time: number, altitude: number, sink: number, ground: number, latitude: number, longitude: number, satellites: number): void {
    this.#number(time, 0, COMMA);
    this.#number(altitude, 1, COMMA);
    this.#number(sink, 2, COMMA);
    this.#number(ground, 2, COMMA);
    this.#number(latitude, 6, COMMA);
    this.#number(longitude, 6, COMMA);
    this.#number(satellites, 0, NEWLINE);
  }

  /** `scaled` counts units of the last of `decimals` places. */
  #number(scaled: number, decimals: number, end: number): void {
    let rest = Math.round(Math.abs(scaled));
    if (scaled < 0 && rest > 0) this.#bytes[this.length++] = MINUS;
    let width = decimals + 1;
    for (let power = 10 ** width; rest >= power; power *= 10) width++;
    const last = this.length + width + (decimals > 0 ? 1 : 0);
    let position = last;
    for (let place = 0; place < width; place++) {
      if (place === decimals && decimals > 0) this.#bytes[--position] = DOT;
      this.#bytes[--position] = ZERO + (rest % 10);
      rest = Math.floor(rest / 10);
    }
    this.#bytes[last] = end;
    this.length = last + 1;
  }
}

const [COMMA, NEWLINE, MINUS, DOT, ZERO] = [44, 10, 45, 46, 48];
