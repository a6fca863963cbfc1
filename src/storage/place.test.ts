import { describe, expect, it } from 'vitest';
import { formatAddress, looksLikeAddress, parseAddress } from './place.ts';

describe('addresses of repositories', () => {
  it.each([
    ['/srv/backup', { kind: 'local', path: '/srv/backup' }],
    ['backup', { kind: 'local', path: '/home/backup' }],
    ['local:backup', { kind: 'local', path: '/home/backup' }],
    ['file:///srv/backup', { kind: 'local', path: '/srv/backup' }],
    ['s3://bucket/a/b/', { kind: 's3', bucket: 'bucket', prefix: 'a/b' }],
    ['s3:s3.amazonaws.com/bucket', { kind: 's3', bucket: 'bucket', prefix: '' }],
    ['s3:s3.eu-west-1.amazonaws.com/bucket/a', { kind: 's3', bucket: 'bucket', prefix: 'a', region: 'eu-west-1' }],
    ['s3:http://127.0.0.1:9000/bucket/a', { kind: 's3', bucket: 'bucket', prefix: 'a', endpoint: 'http://127.0.0.1:9000' }],
    ['sftp:ada@nas:/srv/backup', { kind: 'sftp', host: 'nas', user: 'ada', path: '/srv/backup' }],
    ['sftp:nas:backup', { kind: 'sftp', host: 'nas', path: 'backup' }],
    ['sftp://ada@nas:2222//srv/backup', { kind: 'sftp', host: 'nas', user: 'ada', port: 2222, path: '/srv/backup' }],
    ['sftp://[::1]:2222/backup', { kind: 'sftp', host: '::1', port: 2222, path: 'backup' }],
  ])('%s', (address, place) => {
    expect(parseAddress(address, '/home')).toEqual(place);
    expect(parseAddress(formatAddress(parseAddress(address, '/home')), '/home')).toEqual(place);
  });

  it.each([
    ['ftp:host/x', 'repositories of the kind'],
    ['s3:', 'is no address of a bucket'],
    ['s3://', 'is no address of a bucket'],
    ['sftp:nas', 'is no address of a folder on an SSH server'],
    ['sftp://nas', 'is no address of a folder on an SSH server'],
    ['s3:https://key:secret@host/bucket', 'holds credentials'],
    ['sftp://ada:secret@nas/x', 'holds a password'],
  ])('%s is refused', (address, why) => {
    expect(() => parseAddress(address, '/home')).toThrow(why);
  });

  it('are told from names', () => {
    expect(['./x', '/x', '.', 's3:h/b', 'SFTP:nas:x'].map(looksLikeAddress)).not.toContain(false);
    expect(['local', 'offsite', 'sftp'].map(looksLikeAddress)).not.toContain(true);
  });
});
