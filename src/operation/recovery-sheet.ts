/** The recovery sheet: one page for a safe place, with all that a person needs who has lost the host. Pure. */
import { formatAddress, type StoragePlace } from '../storage/place.ts';

export interface SheetFacts {
  readonly stack: string | undefined;
  readonly stores: readonly { readonly name: string; readonly kind: string }[];
  readonly place: StoragePlace<unknown>;
  readonly repositoryId: string;
  /** The key that the password opens. */
  readonly key: { readonly id: string; readonly created: string; readonly username: string; readonly hostname: string };
  readonly printed: Date;
}

export interface RecoverySheet {
  readonly address: string;
  readonly repositoryId: string;
  /** The id of the key file, in groups of four; it names the file below `keys/`. */
  readonly keyFingerprint: string;
  readonly stack: string | undefined;
  /** What must be known besides address and password. */
  readonly also: readonly string[];
  readonly withHoldfast: readonly string[];
  readonly withRestic: readonly string[];
  readonly lines: readonly string[];
}

const WIDTH = 78;

export function recoverySheet(facts: SheetFacts): RecoverySheet {
  const { place, repositoryId, stack, key, printed } = facts;
  const address = formatAddress(place);
  const keyFingerprint = (key.id.match(/.{4}/g) ?? []).join(' ');
  const also = alsoNeeded(place);
  const withHoldfast = holdfastCommands(facts, address);
  const withRestic = resticCommands(facts, address);
  const rule = '─'.repeat(WIDTH);
  const lines = [
    rule, `HOLDFAST RECOVERY SHEET${stack === undefined ? '' : ` · ${stack}`}`.padEnd(WIDTH - 10) + printed.toISOString().slice(0, 10), rule, '',
    `  repository   ${address}`,
    `  its id       ${repositoryId.slice(0, 16)}`,
    `  key          ${keyFingerprint.slice(0, 39)}`,
    `               ${keyFingerprint.slice(40)}`,
    `               made ${key.created.slice(0, 10)} by ${key.username}@${key.hostname}`, '',
    '  password     ________________________________________________________', '',
    '  Write the password in by hand. Without it nobody can restore: not we, and',
    '  no program. Keep this page away from the host and from the repository.',
    ...(also.length === 0 ? [] : ['', '  You will also need:', ...also.map((line) => `  - ${line}`)]),
    '', 'With Holdfast, on a host that has nothing', '', ...withHoldfast.map((line) => `    ${line}`),
    '', 'Without Holdfast, with restic 0.14 or newer', '', ...withRestic.map((line) => `    ${line}`), '', rule,
  ];
  return { address, repositoryId, keyFingerprint, stack, also, withHoldfast, withRestic, lines };
}

function alsoNeeded(place: StoragePlace<unknown>): readonly string[] {
  if (place.kind === 's3') {
    return [
      `credentials of the bucket ${place.bucket}: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY`,
      ...(place.caFile === undefined ? [] : [`the certificate of its authority, ${place.caFile}`]),
    ];
  }
  if (place.kind === 'sftp') return [`a login${place.user === undefined ? '' : ` as ${place.user}`} on ${place.host}, and the key of that host in ~/.ssh/known_hosts`];
  return [`the disk that holds ${place.path}: it must not be lost together with the host`];
}

function holdfastCommands({ stack }: SheetFacts, address: string): readonly string[] {
  return [
    'mkdir recovered && cd recovered',
    '(umask 077; cat > password)            # type it, Enter, Ctrl-D',
    `holdfast attach ${quote(address)}${stack === undefined ? '' : ` --stack ${quote(stack)}`} \\`,
    '    --password-file password',
    'holdfast restore --dry-run             # then without --dry-run',
  ];
}

function resticCommands({ place, stack, stores }: SheetFacts, address: string): readonly string[] {
  const options = [
    ...(place.kind === 's3' && place.caFile !== undefined ? [`--cacert ${quote(place.caFile)}`] : []),
    ...(place.kind === 's3' && place.addressing === 'path' ? ['-o s3.bucket-lookup=path'] : []),
  ];
  const restic = ['restic', ...options].join(' ');
  const tag = (store: string): string => quote(`${stack === undefined ? '' : `stack:${stack},`}store:${store}`);
  const restores = stores.flatMap(({ name, kind }) => [
    `${restic} restore latest --tag ${tag(name)} --target ${quote(`recovered/${name}`)}`,
    ...(kind === 'postgres' ? ['#  a database: psql -f its globals.sql, createdb NAME, then in its folder', '#  psql -v ON_ERROR_STOP=1 -d NAME -f restore.sql'] : []),
  ]);
  return [
    `export RESTIC_REPOSITORY=${quote(address)}`,
    'export RESTIC_PASSWORD_FILE=password',
    `${restic} snapshots`,
    ...(stores.length === 0 ? [`${restic} restore latest --target recovered`] : restores),
  ];
}

function quote(text: string): string {
  return /^[\w./:@,+=-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
