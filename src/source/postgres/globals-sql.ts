/** `globals.sql`: a script for psql that makes the roles that are missing and leaves alone what is there; for servers of the same or a newer major version. */
import type { Connection } from '../../client/postgres/connection.ts';
import { identifier, literal } from '../../client/postgres/sql-quote.ts';
import { grantSql } from './database.ts';
import { GLOBALS_FILE, readGlobals, settingSql, type GlobalFacts, type MembershipFacts, type RoleFacts, type TablespaceFacts } from './globals.ts';

/** One statement, so that a role and all that belongs to it is made or not. */
export function globalsSql(facts: GlobalFacts): string {
  const blocks = facts.roles.map(roleBlock);
  const grants = inOrder(facts.memberships).map(membershipBlock);
  const parameters = facts.parameters.flatMap(({ name, grants: given }) => given.map((one) => parameterBlock(grantSql(one, `PARAMETER ${name.split('.').map(identifier).join('.')}`), one.grantee)));
  const body = `DECLARE made text[] := '{}';\nBEGIN\n${blocks.join('')}${grants.join('')}${parameters.join('')}END`;
  return `${header(facts)}DO ${dollarQuoted(body)};\n${facts.tablespaces.map(tablespaceComment).join('')}`;
}

function header({ passwords }: GlobalFacts): string {
  return `-- Roles of the server. Those that exist are left as they are.\n${passwords ? '' : '-- Without passwords: the user of the backup may not read them.\n'}`;
}

export function createRoleSql(role: RoleFacts): string {
  const flag = (on: boolean, name: string): string => `${on ? '' : 'NO'}${name}`;
  const parts = [
    flag(role.superuser, 'SUPERUSER'), flag(role.inherit, 'INHERIT'), flag(role.createrole, 'CREATEROLE'), flag(role.createdb, 'CREATEDB'),
    flag(role.login, 'LOGIN'), flag(role.replication, 'REPLICATION'), flag(role.bypassrls, 'BYPASSRLS'), `CONNECTION LIMIT ${role.limit}`,
  ];
  if (role.until !== null) parts.push(`VALID UNTIL ${literal(role.until)}`);
  if (role.password !== null) parts.push(`PASSWORD ${literal(role.password)}`);
  return `CREATE ROLE ${identifier(role.name)} WITH ${parts.join(' ')}`;
}

function roleBlock(role: RoleFacts): string {
  const name = literal(role.name);
  const comment = role.comment === null ? [] : [execute(`COMMENT ON ROLE ${identifier(role.name)} IS ${literal(role.comment)}`)];
  const lines = [execute(createRoleSql(role)), ...role.settings.map((setting) => settingBlock(role.name, setting)), ...comment, `    made := made || ${name}::text;\n`];
  return `  IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = ${name}) THEN\n${lines.join('')}  END IF;\n`;
}

function execute(sql: string): string {
  return `    EXECUTE ${literal(sql)};\n`;
}

/** Versions drop settings now and then, and ALTER ROLE refuses what the server does not know; a dotted name is free. */
function settingBlock(role: string, setting: string): string {
  const name = setting.slice(0, setting.indexOf('='));
  const set = execute(`ALTER ROLE ${identifier(role)} ${settingSql(setting)}`);
  if (name.includes('.')) return set;
  const warning = `RAISE WARNING 'this server has no setting %, which the role % had', ${literal(name)}, ${literal(role)};`;
  return `    IF pg_catalog.current_setting(${literal(name)}, true) IS NULL THEN ${warning} ELSE\n  ${set}    END IF;\n`;
}

/** Who grants must have the role with ADMIN by then, so the first superuser's come first, and those of a grantor after his own. */
function inOrder(memberships: readonly MembershipFacts[]): MembershipFacts[] {
  const ordered: MembershipFacts[] = [];
  let left = [...memberships];
  while (left.length > 0) {
    const ready = left.filter(({ role, grantor }) => grantor === null || ordered.some((one) => one.role === role && one.member === grantor && one.admin));
    // What is left then was granted by a superuser, who needs no membership.
    const next = ready.length > 0 ? ready : left;
    ordered.push(...next);
    left = left.filter((one) => !next.includes(one));
  }
  return ordered;
}

/** A source before 16 knows no options; one from 16 on is restored to 16 or newer, which does. */
function membershipBlock({ role, member, grantor, admin, inherit, set }: MembershipFacts): string {
  const word = (on: boolean): string => (on ? 'TRUE' : 'FALSE');
  const options = inherit === null ? (admin ? ' WITH ADMIN OPTION' : '') : ` WITH ADMIN ${word(admin)}, INHERIT ${word(inherit)}, SET ${word(set === true)}`;
  const grant = `GRANT ${identifier(role)} TO ${identifier(member)}${options}${grantor === null ? '' : ` GRANTED BY ${identifier(grantor)}`}`;
  return `  IF ${literal(member)} = ANY (made) OR ${literal(role)} = ANY (made) THEN\n${execute(grant)}  END IF;\n`;
}

function parameterBlock(sql: string, grantee: string | null): string {
  const isNew = grantee === null ? '' : ` AND ${literal(grantee)} = ANY (made)`;
  return `  IF pg_catalog.current_setting('server_version_num')::int >= 150000${isNew} THEN\n${execute(sql)}  END IF;\n`;
}

/** Only a comment: it needs an empty folder of the server that nobody else uses, which is for the administrator to make. */
function tablespaceComment({ name, owner, location, options, comment }: TablespaceFacts): string {
  const given = options.length === 0 ? '' : ` WITH (${options.map((option) => option.replace(/=(.*)$/s, (_, value: string) => ` = ${literal(value)}`)).join(', ')})`;
  const lines = [
    `Tablespace ${name}: make its folder for the user of the server, then run`,
    `CREATE TABLESPACE ${identifier(name)} OWNER ${identifier(owner)} LOCATION ${literal(location)}${given};`,
    ...(comment === null ? [] : [`COMMENT ON TABLESPACE ${identifier(name)} IS ${literal(comment)};`]),
  ];
  return lines.map((line) => `-- ${line.replaceAll(/\r?\n|\r/g, '\n-- ')}\n`).join('');
}

/** A dollar quote that the body does not hold. */
function dollarQuoted(body: string): string {
  let tag = '$roles$';
  for (let turn = 0; body.includes(tag); turn++) tag = `$roles${turn}$`;
  return `${tag}\n${body}\n${tag}`;
}

export interface GlobalFiles {
  readonly files: readonly { readonly name: string; readonly text: string }[];
  readonly leftOut: readonly { readonly subject: string; readonly because: string }[];
}

/** The files of the server's globals for a snapshot, beside the folders of its databases; none when they are not wanted. */
export async function readGlobalFiles(connection: Connection, wanted: boolean): Promise<GlobalFiles> {
  if (!wanted) return { files: [], leftOut: [{ subject: 'roles', because: 'the store has `globals: false`' }] };
  const facts = await readGlobals(connection);
  const leftOut = facts.passwords ? [] : [{ subject: 'passwords of roles', because: 'the user of the backup may not read them' }];
  const files = [{ name: 'globals.sql', text: globalsSql(facts) }, { name: GLOBALS_FILE, text: `${JSON.stringify(facts, undefined, 1)}\n` }];
  return { files, leftOut };
}
