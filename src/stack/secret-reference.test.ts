import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { formatSecretReference, parseSecretReference, resolveSecret, type SecretReference } from './secret-reference.ts';

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'holdfast-secret-'));
});
afterAll(() => rm(folder, { recursive: true }));

function reference(text: string): SecretReference {
  const parsed = parseSecretReference(text, folder);
  if (parsed === undefined) throw new Error(`not a reference: ${text}`);
  return parsed;
}

const reveal = async (text: string): Promise<string | undefined> =>
  (await resolveSecret(reference(text), { TOKEN: 'from env', EMPTY: '' }))?.reveal();

describe('a reference to a secret', () => {
  it('is one of four forms, and nothing else', () => {
    expect(formatSecretReference(reference('env:TOKEN'))).toBe('env:TOKEN');
    expect(formatSecretReference(reference('pgpass'))).toBe('pgpass');
    expect(formatSecretReference(reference('exec:pass show x'))).toBe('exec:pass show x');
    expect(reference('file:key')).toEqual({ from: 'file', path: join(folder, 'key') });
    expect(reference('file:~/key')).toEqual({ from: 'file', path: join(homedir(), 'key') });
    for (const text of ['hunter2', 'env:', 'env:NOT A NAME', 'file:', 'vault:x', '']) {
      expect(parseSecretReference(text, folder)).toBeUndefined();
    }
  });

  it('reads the environment', async () => {
    expect(await reveal('env:TOKEN')).toBe('from env');
    await expect(reveal('env:EMPTY')).rejects.toMatchObject({ code: 'secret-missing' });
    await expect(reveal('env:ABSENT')).rejects.toThrow('the environment variable ABSENT is not set');
  });

  it('reads a file without the newline at its end, but keeps spaces', async () => {
    await writeFile(join(folder, 'key'), ' s p \n', { mode: 0o600 });
    expect(await reveal('file:key')).toBe(' s p ');
    await expect(reveal('file:absent')).rejects.toMatchObject({ code: 'secret-missing' });
  });

  it('refuses a file that others can read, and says what to run', async () => {
    const path = join(folder, "it's open");
    await writeFile(path, 'x');
    await chmod(path, 0o640);
    await expect(resolveSecret({ from: 'file', path })).rejects.toMatchObject({
      code: 'secret-exposed',
      hint: `Run: chmod 600 '${folder}/it'\\''s open'`,
    });
  });

  it('runs a command in the folder of the configuration, and does not repeat what a failing one printed', async () => {
    await writeFile(join(folder, 'other'), 'via command', { mode: 0o600 });
    expect(await reveal('exec:cat other')).toBe('via command');
    await expect(reveal('exec:echo leaked; exit 7')).rejects.toMatchObject({
      code: 'secret-missing',
      message: 'the command for a secret ended with 7: echo leaked; exit 7',
    });
    await expect(reveal('exec:true')).rejects.toMatchObject({ code: 'secret-missing' });
  });

  it('leaves pgpass to the Postgres client', async () => {
    expect(await resolveSecret({ from: 'pgpass' })).toBeUndefined();
  });
});
