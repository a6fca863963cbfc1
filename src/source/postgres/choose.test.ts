import { describe, expect, it } from 'vitest';
import { chooseDatabases, isMeant, refuseMissing, vanishedDatabases, type ListedDatabase } from './choose.ts';

const SERVER: ListedDatabase[] = ['a.b', 'axb', 'postgres', 'shop_1', 'shop_2', 'shop_old', 'template1'].map((name) => ({
  name, open: name !== 'shop_old', template: name === 'template1', mayConnect: name !== 'shop_2',
}));

describe('the databases of a store', () => {
  it('are names and patterns, minus what an exclamation mark takes away; patterns pass over templates and closed databases', () => {
    const names = (...entries: string[]): readonly string[] => chooseDatabases(entries, SERVER).names;
    expect(names('*')).toEqual(['a.b', 'axb', 'postgres', 'shop_1', 'shop_2']);
    expect(names('shop_*')).toEqual(['shop_1', 'shop_2']);
    expect(names('shop_*', '!*2', 'a.b')).toEqual(['a.b', 'shop_1']);
    expect(names('!shop_*')).toEqual(['a.b', 'axb', 'postgres']);
    expect(names('a.*')).toEqual(['a.b']);
    expect(names('template1')).toEqual(['template1']);
  });

  it('tell those that one may not connect to, and names that are not there, which are an error before anything is read', () => {
    const chosen = chooseDatabases(['shop_*', 'nowhere', 'gone'], SERVER);
    expect(chosen.closed).toEqual(['shop_2']);
    expect(() => refuseMissing(chosen, [], SERVER)).toThrow('There are no databases nowhere, gone on the server');
    expect(() => refuseMissing(chooseDatabases(['zoo_*'], SERVER), ['zoo_*'], SERVER)).toThrow('No database of the server matches zoo_*.');
  });

  it('that the previous snapshot had and that are gone are told, unless the configuration no longer means them', () => {
    const vanished = (entries: string[], previous: string[]): string[] => vanishedDatabases(entries, chooseDatabases(entries, SERVER), previous).map(({ subject }) => subject);
    expect(vanished(['shop_*'], ['shop_1', 'shop_9', 'other'])).toEqual(['database shop_9']);
    expect(vanished(['shop_*', '!shop_9'], ['shop_1', 'shop_9'])).toEqual([]);
    expect(isMeant(['shop_*'], 'shop_')).toBe(true);
  });
});
