import { describe, expect, it } from 'vitest';
import { DETAILED } from './facts-detail.ts';
import { compareFacts } from './facts.ts';

const column = (number: string): string => `column app.child.b number ${number} type integer not null f`;
const key = (name: string): string => `constraint ${name} on app.part_1: FOREIGN KEY (a) REFERENCES app.other(a), validated t`;

describe('two catalogues', () => {
  it('that differ are told apart by the lines that only one has', () => {
    expect(compareFacts([DETAILED, 'schema app', 'schema old'], [DETAILED, 'schema app', 'schema new'])).toEqual({ missing: ['schema old'], surplus: ['schema new'] });
    expect(compareFacts([column('2')], [column('3')])).toEqual({ missing: [column('2')], surplus: [column('3')] });
    expect(compareFacts([key('a'), key('inherited')], [key('b'), key('inherited')])).toEqual({ missing: [key('a')], surplus: [key('b')] });
  });

  it('are equal although one was written when less was looked at, and when inherited things were counted and named', () => {
    expect(compareFacts([column('3'), key('"odd name"')], [DETAILED, 'detail of event trigger x', column('inherited'), key('inherited')])).toEqual({ missing: [], surplus: [] });
    expect(compareFacts([column('3')], [])).toEqual({ missing: [column('3')], surplus: [] });
  });

  it('with details must both have them', () => {
    expect(compareFacts([DETAILED, 'detail of event trigger x'], [DETAILED])).toEqual({ missing: ['detail of event trigger x'], surplus: [] });
  });
});
