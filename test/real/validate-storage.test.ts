/** `holdfast storage validate` on real servers, with the credentials that people give to a host. */
import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { afterAll, describe, expect, it } from 'vitest';
import { sharedCeph, type Keys } from '../fixture/ceph.ts';
import { HOLDFAST, PASSWORD } from '../fixture/holdfast.ts';
import { run, runAnyway, type RunResult } from '../fixture/run.ts';
import { scratch, type Scratch } from '../fixture/scratch.ts';
import { sshd } from '../fixture/sshd.ts';

await using lifetime = new AsyncDisposableStack();
const kept = lifetime.move();
afterAll(async () => await kept.disposeAsync());

/** A stack with one file, whose repository is what these lines of its configuration say. */
async function stackWith(repository: readonly string[]): Promise<Scratch> {
  const place = kept.use(await scratch('validate'));
  await writeFile(place.path('password'), PASSWORD, { mode: 0o600 });
  await writeFile(place.path('one.txt'), randomBytes(5000));
  await writeFile(place.path('holdfast.yaml'), [
    'stack: test', 'stores:', `  files: { directory: ${place.folder} }`,
    'repositories:', '  far:', '    password: file:password', '    cache: false', ...repository.map((line) => `    ${line}`), '',
  ].join('\n'));
  return place;
}

/** The report, and what a person sees. */
async function validated(place: Scratch, env: Readonly<Record<string, string>> = {}): Promise<{ readonly report: unknown; readonly seen: RunResult }> {
  const seen = await runAnyway(HOLDFAST, ['storage', 'validate', 'far'], { cwd: place.folder, env });
  const { stdout } = await runAnyway(HOLDFAST, ['storage', 'validate', 'far', '--json'], { cwd: place.folder, env });
  return { report: JSON.parse(stdout), seen };
}

describe('storage validate', () => {
  it('on OpenSSH finds all kept, and that these credentials can remove and overwrite', async () => {
    const server = kept.use(await sshd());
    const place = await stackWith([`sftp: { host: here, path: ${server.path('data')}, config: ${server.configFile} }`]);
    const { report, seen } = await validated(place);
    expect(report).toMatchObject({ kept: true, repository: false, left: [], facts: { canRemove: true, canOverwrite: true, conditionalWrites: true, clockAheadSeconds: 0 } });
    expect(seen.stdout).toMatch(/ok +lists 1,050 files completely/);
    expect(seen.stdout).toMatch(/GB free/);
    expect(`${seen.code}${seen.stderr}`).toBe('0');
  });

  it('on Ceph finds all kept, and leaves an empty bucket empty', async () => {
    const ceph = await sharedCeph();
    const bucket = await ceph.bucket();
    const place = await stackWith([`s3: { bucket: ${bucket}, endpoint: "${ceph.endpoint}" }`]);
    const { report, seen } = await validated(place, ceph.environment());
    expect(report).toMatchObject({ kept: true, repository: false, left: [], facts: { canRemove: true, canOverwrite: true, appendOnly: false } });
    expect(seen.stdout).toMatch(/Not append-only: somebody who gets hold of this host/);
    expect(`${seen.code}${seen.stderr}`).toBe('0');
  });

  it('on Ceph, with credentials that may only add, finds out that they cannot remove, and writes little', async () => {
    const ceph = await sharedCeph();
    const bucket = await ceph.bucket();
    const keys: Keys = await ceph.appendOnly(bucket);
    const place = await stackWith([`s3: { bucket: ${bucket}, endpoint: "${ceph.endpoint}" }`]);
    await run(HOLDFAST, ['storage', 'validate', 'far'], { cwd: place.folder, env: ceph.environment() });
    const { report, seen } = await validated(place, ceph.environment(keys));
    expect(report).toMatchObject({ kept: true, facts: { canRemove: false } });
    expect(seen.stdout).toMatch(/these credentials can overwrite, but not remove/);
    expect(seen.stdout).toMatch(/left out +lists 1,050 files completely/);
    expect(seen.stdout).toMatch(/test files could not be removed and will stay/);
  });

  it('on Ceph, with an object lock, says until when nobody can remove what was stored', async () => {
    const ceph = await sharedCeph();
    const bucket = await ceph.bucket({ objectLock: true });
    const place = await stackWith([`s3: { bucket: ${bucket}, endpoint: "${ceph.endpoint}", object-lock: { days: 2 } }`]);
    const { report, seen } = await validated(place, ceph.environment());
    expect(report).toMatchObject({ kept: true, facts: { canRemove: false, keptUntil: expect.stringMatching(/^20\d\d-/) } });
    expect(seen.stdout).toMatch(/Kept by an object lock: nobody, not even with the credentials of this host, can remove what was stored just now before 20/);
    expect(seen.stdout).toMatch(/for 2 days/);
  });
});
