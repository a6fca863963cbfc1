import { describe, expect, it } from 'vitest';
import { attachConfig } from './attach-config.ts';
import { parseConfig } from './config.ts';
import type { RepositoryPlace } from './stack.ts';

const PLACE: RepositoryPlace = {
  name: 'attached', place: { kind: 's3', bucket: 'tempo', prefix: 'a', endpoint: 'https://s3.example' }, password: { from: 'file', path: '/root/pw' }, cache: true,
};
const OLD = `# ours
stack: tempo
stores:
  photos: { directory: photos } # big
  logs: { directory: /var/log/tempo }
repositories:
  local: { path: /backup, password: file:/etc/pw }
  offsite:
    s3: { bucket: tempo, prefix: a, endpoint: "https://s3.example", storage-class: STANDARD_IA }
    password: file:/etc/pw
    limit: { up: 10M }
`;

describe('the configuration of an attached repository', () => {
  it('is the old one with its comments, the repository first and its password where we were told', () => {
    const { text, stack, repository, notes } = attachConfig({ folder: '/srv/tempo', text: OLD }, 'tempo', PLACE, '/root/new');
    expect(repository).toBe('offsite');
    expect(stack.repositories.map(({ name }) => name)).toEqual(['offsite', 'local']);
    expect(stack.repositories[0]).toMatchObject({ place: { storageClass: 'STANDARD_IA' }, limit: { up: 10_000_000 }, password: { path: '/root/pw' } });
    expect(text).toContain('# ours');
    expect(text).toContain('# big');
    expect(notes).toEqual([
      'photos was /srv/tempo/photos and is /root/new/photos here: its path is relative to holdfast.yaml',
      'the repository local was the folder /backup of the old host; take it out if it is not here',
    ]);
  });

  it('gets the repository added when the old host knew it by another address', () => {
    const elsewhere: RepositoryPlace = { ...PLACE, name: 'local', place: { kind: 'sftp', host: 'nas', path: '/copy' } };
    const { stack, repository, text } = attachConfig({ folder: '/srv/tempo', text: OLD }, 'tempo', elsewhere, '/srv/tempo');
    expect(repository).toBe('local-attached');
    expect(stack.repositories.map(({ name }) => name)).toEqual(['local-attached', 'local', 'offsite']);
    expect(parseConfig(text, '/srv/tempo/holdfast.yaml').repositories[0]?.place).toEqual(elsewhere.place);
  });

  it('names a folder by its whole path when the old host had it beside holdfast.yaml', () => {
    const local: RepositoryPlace = { ...PLACE, place: { kind: 'local', path: '/srv/tempo/backup' } };
    const { stack } = attachConfig({ folder: '/srv/tempo', text: OLD.replace('/backup', 'backup') }, 'tempo', local, '/root/new');
    expect(stack.repositories[0]).toMatchObject({ name: 'local', place: { path: '/srv/tempo/backup' } });
  });

  it('has the repository alone when no snapshot carries one', () => {
    const { stack, notes } = attachConfig(undefined, 'tempo', PLACE, '/root/new');
    expect(stack).toMatchObject({ name: 'tempo', stores: [], repositories: [PLACE] });
    expect(notes[0]).toContain('the stores have to be declared anew');
  });
});
