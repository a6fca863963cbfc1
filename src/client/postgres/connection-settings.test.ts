import { writeFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { scratch } from '../../../test/fixture/scratch.ts';
import { mergedSettings, urlSettings } from './connection-settings.ts';

const settings = (url: string): Record<string, string> => Object.fromEntries(urlSettings(url));

describe('the URL of a database', () => {
  it.each([
    ['postgres://', {}],
    ['postgresql://a%40b:p%3Aw@h:1/d%20b?sslmode=require&connect_timeout=3', { user: 'a@b', password: 'p:w', host: 'h', port: '1', dbname: 'd b', sslmode: 'require', connect_timeout: '3' }],
    ['postgres://%2Fvar%2Frun/db', { host: '/var/run', dbname: 'db' }],
    ['postgres:///db?host=/tmp&port=5433', { host: '/tmp', port: '5433', dbname: 'db' }],
    ['postgres://u@[::1]:5433,h2,[fe80::1]/db?target_session_attrs=primary', { user: 'u', host: '::1,h2,fe80::1', port: '5433,,', dbname: 'db', target_session_attrs: 'primary' }],
    ['postgres://?service=shop', { service: 'shop' }],
    ['postgres://h/d?ssl=true', { host: 'h', dbname: 'd', sslmode: 'require' }],
  ])('%s is understood as libpq does', (url, expected) => {
    expect(settings(url)).toEqual(expected);
  });

  it.each([
    ['mysql://h/d', 'begins with postgres://'],
    ['h/d', 'cannot be understood'],
    ['postgres://h:x/d', 'a host that cannot be understood'],
    ['postgres://secret%zz@h/d', 'a % sign that is no escape'],
    ['postgres://h/d?require_auth=none', 'the setting require_auth, which is not supported'],
    ['postgres://h/d?sslmode', 'a parameter without a value'],
  ])('%s is refused without repeating it', (url, sentence) => {
    expect(() => urlSettings(url)).toThrow(sentence);
    expect(() => urlSettings(url)).not.toThrow('secret');
  });
});

describe('a service', () => {
  it('stands behind the URL and before the variables; the own file comes before that of the system', async () => {
    await using place = await scratch('service');
    await writeFile(place.path('own'), '# mine\n[other]\nhost=wrong\n[shop]\nhost=db.example\nport=5433\ndbname=shop\nport=1\n\n[last]\nuser=last\n');
    await writeFile(place.path('pg_service.conf'), '[shop]\nhost=wrong\n[far]\n host = x\nuser=far\n');
    const environment = { PGSERVICEFILE: place.path('own'), PGSYSCONFDIR: place.folder, PGSERVICE: 'shop', PGPORT: '7', PGUSER: 'alice' };
    expect(Object.fromEntries(mergedSettings('postgres:///mine', environment))).toMatchObject({ host: 'db.example', port: '5433', user: 'alice', dbname: 'mine' });
    expect(mergedSettings('postgres://?service=last', environment).get('user')).toBe('last');
    expect(() => mergedSettings('postgres://?service=far', environment)).toThrow(`${place.path('pg_service.conf')}:4 has the setting host , which`);
    expect(() => mergedSettings('postgres://?service=none', environment)).toThrow(`There is no service [none] in ${place.path('own')} or ${place.path('pg_service.conf')}.`);
  });

  it('with a line that is wrong is refused by file and line', async () => {
    await using place = await scratch('service');
    await writeFile(place.path('file'), '[shop]\nhost=a\nnonsense\n[nested]\nservice=shop\n');
    const merged = (service: string): unknown => mergedSettings(`postgres://?service=${service}`, { PGSERVICEFILE: place.path('file') });
    expect(() => merged('shop')).toThrow(`${place.path('file')}:3 is neither [service] nor keyword=value.`);
    expect(() => merged('nested')).toThrow(`${place.path('file')}:5: a service cannot refer to another one.`);
  });
});
