import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { expect, it } from 'vitest';
import { scratch } from '../../../test/fixture/scratch.ts';
import { askPasswordFile, type PasswordQuestion } from './password-file.ts';

const QUESTION: PasswordQuestion = { host: 'db.example', port: 5432, user: 'alice', databases: ['shop'] };

function said(path: string, question: PasswordQuestion = QUESTION): string {
  const answer = askPasswordFile(path, question);
  return 'password' in answer ? answer.password.reveal() : `(${answer.because.replaceAll(path, 'FILE')})`;
}

it('the first line that fits gives the password; stars fit anything, escaped colons, backslashes and stars are themselves', async () => {
  await using place = await scratch('pgpass');
  const file = place.path('pgpass');
  const lines = [
    '# db.example:5432:shop:alice:comment', 'nonsense', 'db.example:5433:*:*:other port', String.raw`db.example:*:sh\:op:alice:with\:colon\\`, String.raw`\*:*:*:*:star`,
    'db.example:5432:shop:alice:pass:word', 'db.example:5432:shop:alice:later', 'localhost:*:*:alice:by socket', '/srv/pg:*:*:*:by folder', '*:*:replication:*:streams\r', '::1:1:1:1:1',
  ];
  await writeFile(file, `${lines.join('\n')}\n`, { mode: 0o600 });
  expect(said(file)).toBe('pass:word');
  expect(said(file, { ...QUESTION, databases: ['sh:op'] })).toBe('with:colon\\');
  expect(said(file, { ...QUESTION, host: '*' })).toBe('star');
  expect(said(file, { ...QUESTION, host: '/var/run/postgresql' })).toBe('by socket');
  expect(said(file, { ...QUESTION, host: '/srv/pg' })).toBe('by folder');
  expect(said(file, { ...QUESTION, host: 'elsewhere', databases: ['replication', 'shop'] })).toBe('streams');
  expect(said(file, { ...QUESTION, user: 'bob' })).toBe('(FILE has no line for db.example:5432:shop:bob)');
});

it('a file that others may read, that is no file or not there is not used, and the reason is told', async () => {
  await using place = await scratch('pgpass');
  const file = place.path('pgpass');
  expect(said(file)).toBe('(there is no FILE)');
  await writeFile(file, '*:*:*:*:secret\n', { mode: 0o600 });
  for (const mode of [0o640, 0o604, 0o610]) {
    await chmod(file, mode);
    expect(askPasswordFile(file, QUESTION)).toMatchObject({ exposed: true, because: expect.stringContaining(`(mode 0${mode.toString(8)})`) });
  }
  await chmod(file, 0o600);
  expect(said(file)).toBe('secret');
  await mkdir(place.path('folder'));
  expect(said(place.path('folder'))).toBe('(FILE is no plain file)');
});
