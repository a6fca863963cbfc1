/** Names and numbers of users and groups of this host, from its passwd and group files. */
import * as fs from 'node:fs';

export interface Accounts {
  userName(uid: number): string | undefined;
  groupName(gid: number): string | undefined;
  userNumber(name: string): number | undefined;
  groupNumber(name: string): number | undefined;
}

interface Table {
  readonly names: Map<number, string>;
  readonly numbers: Map<string, number>;
}

function readTable(file: string): Table {
  const table: Table = { names: new Map(), numbers: new Map() };
  // A container image may have no such file; then there are only numbers.
  if (!fs.existsSync(file)) return table;
  for (const line of fs.readFileSync(file, 'utf8').split('\n')) {
    const [name, , number] = line.split(':');
    const id = Number.parseInt(number ?? '', 10);
    if (!name || Number.isNaN(id)) continue;
    if (!table.names.has(id)) table.names.set(id, name);
    if (!table.numbers.has(name)) table.numbers.set(name, id);
  }
  return table;
}

export function localAccounts(): Accounts {
  const users = readTable('/etc/passwd');
  const groups = readTable('/etc/group');
  return {
    userName: (uid) => users.names.get(uid),
    groupName: (gid) => groups.names.get(gid),
    userNumber: (name) => users.numbers.get(name),
    groupNumber: (name) => groups.numbers.get(name),
  };
}
