/** The part of `holdfast.yaml` that says where a repository is, and the place that it means. */
import { parseSize, rate } from './size.ts';
import { z } from 'zod';
import type { StorageLimit } from '../storage/open.ts';
import type { S3Place, SftpPlace, StoragePlace } from '../storage/place.ts';
import { checkedReference, parseSecretReference, resolvePath, SECRET_FORMS, type SecretReference } from './secret-reference.ts';

/** Marks an issue that is about a secret standing in the file. */
export const EXPOSED = { exposed: true } as const;

export const secretReference = z.string().superRefine((text, context) => {
  if (parseSecretReference(text, '/') !== undefined) return;
  const message = `must say where the secret is to be found (${SECRET_FORMS}); the secret itself never stands in this file`;
  context.addIssue({ code: 'custom', message, params: EXPOSED });
});

const password = secretReference.refine((text) => text !== 'pgpass', {
  error: 'cannot be pgpass, which holds the passwords of databases only; use env:NAME, file:PATH or exec:COMMAND',
});

const credentials = z.union([
  z.literal('env'),
  z.strictObject({ profile: z.string().min(1) }),
  z.strictObject({ 'access-key': password, 'secret-key': password, 'session-token': password.optional() }),
], { error: 'must be env, { profile: NAME }, or { access-key: env:NAME, secret-key: env:NAME }' });

export const s3 = z.strictObject({
  bucket: z.string().regex(/^[a-zA-Z0-9][\w.-]{1,254}$/, { error: 'must be the name of a bucket' }).describe('The name of the bucket'),
  prefix: z.string().optional().describe('A folder in the bucket'),
  endpoint: z.url({ protocol: /^https?$/, error: 'must be like https://host:port' }).optional().describe('https://host:port; without it, AWS'),
  region: z.string().min(1).optional().describe('Without it, the server is asked'),
  addressing: z.enum(['path', 'virtual']).optional().describe('Whether the name of the bucket stands in the path or before the host'),
  credentials: credentials.optional().describe("env (also profiles and the instance's role, as AWS's tools look for them), a profile, or references to the keys"),
  ca: z.string().min(1).optional().describe('PEM file of the authority that signed the certificate of the server'),
  'storage-class': z.string().min(1).optional().describe('STANDARD_IA and the like; nothing that must be thawed before it can be read'),
  'object-lock': z
    .strictObject({
      days: z.number().int().positive().describe('How long what is stored cannot be removed, from the last snapshot that uses it'),
      mode: z.enum(['governance', 'compliance']).optional().describe('compliance: not even the owner of the account can; that is what it is unless said otherwise'),
    })
    .optional()
    .describe('Nobody can remove what was stored; the bucket must have been made with object lock'),
});

export const sftp = z.strictObject({
  host: z.string().min(1).describe('A host, or a name of ~/.ssh/config'),
  port: z.number().int().min(1).max(65535).optional(),
  user: z.string().min(1).optional(),
  path: z.string().min(1).describe('A folder on that host'),
  identity: z.string().min(1).optional().describe('The file of a private key; without it, the agent and the usual keys'),
  passphrase: password.optional().describe('Of the private key'),
  password: password.optional().describe('For servers that take no keys'),
  'known-hosts': z.string().min(1).optional().describe('Where the key of the host is known from; ~/.ssh/known_hosts unless said otherwise'),
  config: z.string().min(1).optional().describe('In place of ~/.ssh/config'),
});

export const limit = z.strictObject({
  up: rate.optional().describe('Bytes a second'),
  down: rate.optional().describe('Bytes a second'),
  requests: z.number().positive().optional().describe('Requests a second'),
});

export const repository = z
  .strictObject({
    path: z.string().min(1).optional().describe('A folder of this host, relative to this file'),
    s3: s3.optional().describe('A bucket of AWS, MinIO, Ceph, Garage, R2, Spaces, Supabase Storage and others'),
    sftp: sftp.optional().describe('A folder on an SSH server'),
    password: password.describe('Where the password is to be found'),
    limit: limit.optional().describe('What it may use of the network'),
    cache: z.boolean().optional().describe('Keep what is read again and again on this host too; true unless said otherwise'),
  })
  .superRefine((value, context) => {
    const kinds = [value.path, value.s3, value.sftp].filter((kind) => kind !== undefined).length;
    if (kinds !== 1) context.addIssue({ code: 'custom', message: 'must say where it is, with exactly one of: path, s3, sftp' });
    if (value.path !== undefined && /^(s3|sftp):/.test(value.path)) context.addIssue({ code: 'custom', path: ['path'], message: 'is a folder of this host; for others use s3: or sftp:' });
  });

export type RepositoryEntry = z.infer<typeof repository>;

/** The place that an entry of the configuration means; paths are relative to `folder`. */
export function toPlace(entry: RepositoryEntry, folder: string): StoragePlace<SecretReference> {
  if (entry.s3) return toS3(entry.s3, folder);
  if (entry.sftp) return toSftp(entry.sftp, folder);
  return { kind: 'local', path: resolvePath(folder, entry.path ?? '') };
}

function toS3(entry: NonNullable<RepositoryEntry['s3']>, folder: string): S3Place<SecretReference> {
  const { bucket, prefix, endpoint, region, addressing, ca, credentials: keys, 'storage-class': storageClass, 'object-lock': lock } = entry;
  return {
    kind: 's3', bucket, prefix: (prefix ?? '').replaceAll(/^\/+|\/+$/g, ''),
    ...(endpoint !== undefined && { endpoint: endpoint.replace(/\/+$/, '') }),
    ...(region !== undefined && { region }),
    ...(addressing !== undefined && { addressing }),
    ...(ca !== undefined && { caFile: resolvePath(folder, ca) }),
    ...(storageClass !== undefined && { storageClass }),
    ...(lock !== undefined && { objectLock: { days: lock.days, mode: lock.mode ?? 'compliance' } }),
    ...(typeof keys === 'object' && toCredentials(keys, folder)),
  };
}

function toCredentials(keys: Exclude<z.infer<typeof credentials>, 'env'>, folder: string): Pick<S3Place<SecretReference>, 'profile' | 'credentials'> {
  if ('profile' in keys) return { profile: keys.profile };
  const { 'access-key': accessKey, 'secret-key': secretKey, 'session-token': token } = keys;
  return {
    credentials: {
      accessKey: checkedReference(accessKey, folder), secretKey: checkedReference(secretKey, folder),
      ...(token !== undefined && { sessionToken: checkedReference(token, folder) }),
    },
  };
}

function toSftp(entry: NonNullable<RepositoryEntry['sftp']>, folder: string): SftpPlace<SecretReference> {
  const { host, port, user, path, identity, passphrase, password: secret, 'known-hosts': knownHosts, config } = entry;
  return {
    kind: 'sftp', host, path,
    ...(port !== undefined && { port }),
    ...(user !== undefined && { user }),
    ...(identity !== undefined && { identityFile: resolvePath(folder, identity) }),
    ...(passphrase !== undefined && { passphrase: checkedReference(passphrase, folder) }),
    ...(secret !== undefined && { password: checkedReference(secret, folder) }),
    ...(knownHosts !== undefined && { knownHostsFile: resolvePath(folder, knownHosts) }),
    ...(config !== undefined && { configFile: resolvePath(folder, config) }),
  };
}

export function toLimit({ up, down, requests }: z.infer<typeof limit>): StorageLimit {
  return {
    ...(up !== undefined && { up: parseSize(up) }),
    ...(down !== undefined && { down: parseSize(down) }),
    ...(requests !== undefined && { requests }),
  };
}

