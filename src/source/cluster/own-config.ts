/** A configuration for a copy of a server whose own lies outside its data directory. */
import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fromText } from '../../base/raw-name.ts';
import { Crc32c } from '../../client/postgres/crc32c.ts';
import { encodeBackupManifest, parseBackupManifest, type ManifestFile } from '../../client/postgres/replication/backup-manifest.ts';
import type { SnapshotFiles } from '../../repository/entry.ts';
import { BACKUP_MANIFEST, CONFIG_FOLDER, type ClusterDetail } from './manifest.ts';

/**
 * Writes postgresql.conf, pg_hba.conf and pg_ident.conf where the data directory has none. The original postgresql.conf is not used: it
 * may name the data directory of the live server. What is written is added to `backup_manifest`, so that pg_verifybackup knows it.
 */
export async function addOwnConfig(files: SnapshotFiles, detail: ClusterDetail, data: string): Promise<void> {
  const made: ManifestFile[] = [];
  const add = async (name: string, text: () => Promise<string>): Promise<void> => {
    if (await stat(join(data, name)).then(() => true, () => false)) return;
    const bytes = Buffer.from(await text());
    await writeFile(join(data, name), bytes, { mode: 0o600 });
    const sum = new Crc32c();
    sum.update(bytes);
    made.push({ path: name, size: bytes.length, modified: `${detail.stoppedAt.slice(0, 19).replace('T', ' ')} GMT`, algorithm: 'CRC32C', checksum: sum.digest() });
  };
  const { hba, ident } = detail.configuration ?? {};
  await add('postgresql.conf', async () => await Promise.resolve(renderSettings(detail)));
  await add('pg_hba.conf', async () => (await original(files, detail, hba)) ?? 'local all all peer\n');
  await add('pg_ident.conf', async () => (await original(files, detail, ident)) ?? '');
  if (made.length === 0) return;
  const manifest = parseBackupManifest(await readFile(join(data, BACKUP_MANIFEST)));
  await writeFile(join(data, BACKUP_MANIFEST), encodeBackupManifest({ ...manifest, files: [...manifest.files, ...made] }));
}

async function original(files: SnapshotFiles, { store }: ClusterDetail, path: string | undefined): Promise<string | undefined> {
  if (path === undefined) return undefined;
  const at = fromText(`/${store}/${CONFIG_FOLDER}${path}`);
  return await files.bytes(at).then((bytes) => bytes.toString('utf8'), () => undefined);
}

/** Only what recovery needs; the rest is for the administrator to take over. */
function renderSettings({ settings, server }: ClusterDetail): string {
  const lines = Object.entries(settings).flatMap(([name, value]) => (value === undefined || value === '' ? [] : [`${name} = '${value.replaceAll("'", "''")}'`]));
  return [
    `# Written by Holdfast: the configuration of this server (PostgreSQL ${server}) lay outside its data directory.`,
    '# These settings are those that recovery needs. The original files lie in the folder `config` of the snapshot: holdfast ls, holdfast restore --path.',
    ...lines, '',
  ].join('\n');
}
