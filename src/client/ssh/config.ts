/** What `ssh_config` says about one host: of each keyword the first value that is met wins. Pure, but for `Match exec`. */
import { HoldfastError } from '../../base/errors.ts';
import type { ConfigLine } from './config-file.ts';
import { matchesList } from './pattern.ts';
import { expandTokens } from './token.ts';

/** What is known before the configuration is read; what is given here wins over it. */
export interface ConfigQuestion {
  readonly host: string;
  readonly user?: string | undefined;
  readonly port?: number | undefined;
  readonly localUser: string;
  /** Runs the command of a `Match exec`; true when it ended with 0. */
  succeeds(command: string): boolean;
}

/** Values as they were written: no token is expanded but those of `HostName`. */
export interface SshSettings {
  readonly hostName: string;
  readonly user?: string | undefined;
  readonly port?: number | undefined;
  readonly identityFiles: readonly string[];
  readonly identitiesOnly: boolean;
  readonly identityAgent?: string | undefined;
  readonly proxyJump?: string | undefined;
  readonly proxyCommand?: string | undefined;
  readonly userKnownHostsFiles?: readonly string[] | undefined;
  readonly globalKnownHostsFiles?: readonly string[] | undefined;
  readonly hostKeyAlias?: string | undefined;
  readonly strictHostKeyChecking?: string | undefined;
  /** Seconds. */
  readonly connectTimeout?: number | undefined;
  readonly serverAliveInterval?: number | undefined;
  readonly serverAliveCountMax?: number | undefined;
  readonly addressFamily?: string | undefined;
  readonly bindAddress?: string | undefined;
}

const HINT = 'See ssh_config(5). `ssh -G HOST` shows what OpenSSH makes of the file.';

/** The keywords that are looked at, each with its values in the order of the file. */
const SINGLE = [
  'hostname', 'user', 'port', 'identitiesonly', 'identityagent', 'proxyjump', 'proxycommand', 'userknownhostsfile', 'globalknownhostsfile', 'hostkeyalias',
  'stricthostkeychecking', 'connecttimeout', 'serveraliveinterval', 'serveralivecountmax', 'addressfamily', 'bindaddress',
] as const;

type Keyword = (typeof SINGLE)[number];

interface Gathered {
  readonly values: Map<Keyword, readonly string[]>;
  readonly identities: string[];
  wantsFinalPass: boolean;
}

/** Throws `config`, naming file and line, for what cannot be understood. */
export function settingsFor(lines: readonly ConfigLine[], question: ConfigQuestion): SshSettings {
  const gathered: Gathered = { values: new Map(), identities: [], wantsFinalPass: false };
  if (question.user !== undefined) gathered.values.set('user', [question.user]);
  if (question.port !== undefined) gathered.values.set('port', [String(question.port)]);
  gather(lines, question, gathered, { active: true, final: false });
  if (gathered.wantsFinalPass) {
    gather(lines, { ...question, host: hostName(gathered, question.host) }, gathered, { active: true, final: true, original: question.host });
  }
  return toSettings(gathered, question.host);
}

interface Pass {
  readonly active: boolean;
  readonly final: boolean;
  /** The host as the user wrote it, when the pass looks at another name. */
  readonly original?: string;
}

function gather(lines: readonly ConfigLine[], question: ConfigQuestion, into: Gathered, pass: Pass): void {
  let { active } = pass;
  for (const line of lines) {
    const { keyword, args } = line;
    // A block of an included file ends with the file, and is looked at only where its Include is.
    if (keyword === 'include') gather(line.included, question, into, { ...pass, active });
    else if (keyword === 'host') active = pass.active && matchesList(question.host, args);
    else if (keyword === 'match') active = pass.active && matchHolds(line, question, into, pass);
    else if (active) take(line, into);
  }
}

function take({ keyword, args, rest, at }: ConfigLine, { values, identities }: Gathered): void {
  const [value] = args;
  if (keyword === 'identityfile') {
    if (value !== undefined && !identities.includes(value)) identities.push(value);
    return;
  }
  const single = SINGLE.find((name) => name === keyword);
  if (single === undefined) return;
  if (value === undefined) throw new HoldfastError('config', `${at}: ${keyword} has no value`, { hint: HINT });
  // Whichever of the two comes first switches the other off.
  if (single === 'proxycommand' && values.has('proxyjump')) return;
  if (single === 'proxyjump' && values.has('proxycommand')) return;
  if (!values.has(single)) values.set(single, single === 'proxycommand' ? [rest] : args);
}

function matchHolds(line: ConfigLine, question: ConfigQuestion, into: Gathered, pass: Pass): boolean {
  const words = [...line.args];
  let holds = true;
  while (words.length > 0) {
    const word = words.shift() ?? '';
    const negated = word.startsWith('!');
    const [criterion = '', attached] = word.slice(negated ? 1 : 0).split('=', 2);
    const argument = (): string => {
      const found = attached ?? words.shift();
      if (found === undefined) throw new HoldfastError('config', `${line.at}: Match ${criterion} says nothing after it`, { hint: HINT });
      return found;
    };
    // In order, and the rest only as long as all before hold: a command is not run for nothing.
    const result = criterionHolds(criterion.toLowerCase(), argument, holds, { line, question, into, pass });
    holds &&= result !== negated;
  }
  return holds;
}

interface MatchFacts {
  readonly line: ConfigLine;
  readonly question: ConfigQuestion;
  readonly into: Gathered;
  readonly pass: Pass;
}

function criterionHolds(criterion: string, argument: () => string, needed: boolean, { line, question, into, pass }: MatchFacts): boolean {
  switch (criterion) {
    case 'all':
      return true;
    case 'canonical':
      return false;
    case 'final':
      into.wantsFinalPass ||= !pass.final;
      return pass.final;
    case 'host':
      return matchesList(hostName(into, question.host), argument().split(','));
    case 'originalhost':
      return matchesList(pass.original ?? question.host, argument().split(','));
    case 'user':
      return matchesList(into.values.get('user')?.[0] ?? question.localUser, argument().split(','));
    case 'localuser':
      return matchesList(question.localUser, argument().split(','));
    case 'exec': {
      const command = argument();
      const user = into.values.get('user')?.[0] ?? question.localUser;
      const tokens = { h: hostName(into, question.host), n: pass.original ?? question.host, p: into.values.get('port')?.[0] ?? '22', r: user, u: question.localUser };
      return needed && question.succeeds(expandTokens(command, tokens, `${line.at}: Match exec`));
    }
    default:
      throw new HoldfastError('config', `${line.at}: Match ${criterion} is not known`, { hint: 'Known are all, host, originalhost, user, localuser, exec, canonical and final. Another file can be named with `config:` of the repository.' });
  }
}

function hostName({ values }: Gathered, host: string): string {
  const found = values.get('hostname')?.[0];
  return found === undefined ? host : expandTokens(found, { h: host }, 'HostName');
}

function toSettings(gathered: Gathered, host: string): SshSettings {
  const { values, identities } = gathered;
  const text = (keyword: Keyword): string | undefined => values.get(keyword)?.[0];
  const unlessNone = (value: string | undefined): string | undefined => (value?.toLowerCase() === 'none' ? undefined : value);
  return {
    hostName: hostName(gathered, host), user: text('user'), port: numberOf(text('port'), 'Port'),
    identityFiles: identities, identitiesOnly: text('identitiesonly')?.toLowerCase() === 'yes', identityAgent: text('identityagent'),
    proxyJump: unlessNone(text('proxyjump')), proxyCommand: unlessNone(text('proxycommand')),
    userKnownHostsFiles: values.get('userknownhostsfile'), globalKnownHostsFiles: values.get('globalknownhostsfile'), hostKeyAlias: text('hostkeyalias'),
    strictHostKeyChecking: text('stricthostkeychecking')?.toLowerCase(),
    connectTimeout: secondsOf(unlessNone(text('connecttimeout')), 'ConnectTimeout'),
    serverAliveInterval: secondsOf(text('serveraliveinterval'), 'ServerAliveInterval'), serverAliveCountMax: numberOf(text('serveralivecountmax'), 'ServerAliveCountMax'),
    addressFamily: text('addressfamily')?.toLowerCase(), bindAddress: text('bindaddress'),
  };
}

function numberOf(text: string | undefined, keyword: string): number | undefined {
  if (text === undefined) return undefined;
  if (!/^\d{1,9}$/.test(text)) throw new HoldfastError('config', `${keyword} of ssh_config cannot be '${text}'`, { hint: HINT });
  return Number(text);
}

const UNITS: Readonly<Record<string, number>> = { '': 1, s: 1, m: 60, h: 3600, d: 86_400, w: 604_800 };

/** `90`, `1m30s`: the times of sshd_config(5). */
function secondsOf(text: string | undefined, keyword: string): number | undefined {
  if (text === undefined) return undefined;
  if (!/^(\d{1,9}[smhdw]?)+$/i.test(text)) throw new HoldfastError('config', `${keyword} of ssh_config cannot be '${text}'`, { hint: HINT });
  return [...text.matchAll(/(\d+)([smhdw]?)/gi)].reduce((sum, [, amount, unit]) => sum + Number(amount) * (UNITS[(unit ?? '').toLowerCase()] ?? 1), 0);
}
