import { describe, expect, it } from 'vitest';
import { connectionTokens, expandPath, expandTokens } from './token.ts';

const local = { user: 'ada', uid: 1000, home: '/home/ada', hostName: 'laptop.home', environment: { KEYS: '/keys' } };
const tokens = connectionTokens(local, { original: 'nas', host: '10.0.0.7', port: 2222, user: 'backup', alias: 'vault' });

describe('values of ssh_config', () => {
  it.each([
    ['~/.ssh/id', '/home/ada/.ssh/id'], ['~', '/home/ada'], ['%d/.ssh/%r@%h:%p', '/home/ada/.ssh/backup@10.0.0.7:2222'], ['${KEYS}/%n-%u-%i-%L-%l-%k', '/keys/nas-ada-1000-laptop-laptop.home-vault'],
    ['a%%b', 'a%b'], ['/x/~/y', '/x/~/y'],
  ])('%s', (value, expected) => {
    expect(expandPath(value, local, tokens, 'IdentityFile')).toBe(expected);
  });

  it('are refused when they hold what nobody knows', () => {
    expect(() => expandPath('%z', local, tokens, 'IdentityFile')).toThrow("IdentityFile has '%z'");
    expect(() => expandPath('100%', local, tokens, 'IdentityFile')).toThrow("IdentityFile has '%'");
    expect(() => expandPath('${NOWHERE}/x', local, tokens, 'IdentityFile')).toThrow('needs the environment variable NOWHERE');
    expect(() => expandTokens('%d', { h: 'x' }, 'HostName')).toThrow("HostName has '%d'");
  });
});
