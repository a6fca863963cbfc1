import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { settingsFor, type ConfigQuestion, type SshSettings } from './config.ts';
import { parseConfig, splitArguments, type ConfigLine } from './config-file.ts';

const refuseToRun = (command: string): boolean => {
  throw new Error(`ran ${command}`);
};

function settings(text: string, question: Partial<ConfigQuestion> = {}): SshSettings {
  return settingsFor(parseConfig(text, 'config'), { host: 'nas', localUser: 'ada', succeeds: refuseToRun, ...question });
}

describe('arguments', () => {
  it.each([
    ['a b  c', ['a', 'b', 'c']], ['"a b" c', ['a b', 'c']], ["'a \"b' c", ['a "b', 'c']], ['a # b', ['a']], ['a#b', ['a#b']], ['"#"', ['#']],
    [String.raw`"a\"b" c\ d e\\f`, ['a"b', 'c d', String.raw`e\f`]], ['""', ['']], ['', []], [String.raw`a\b`, [String.raw`a\b`]],
  ])('%s', (text, expected) => {
    expect(splitArguments(text)).toEqual(expected);
  });
});

describe('what ssh_config says about a host', () => {
  it('is nothing when it says nothing', () => {
    expect(settings('')).toMatchObject({ hostName: 'nas', user: undefined, port: undefined, identityFiles: [], identitiesOnly: false });
  });

  it('is the first value that is met, before all blocks or in one that matches', () => {
    const text = 'User first\nHost other\n User wrong\n Port 1\nHost n* !nasty\n User second\n Port 2\nHost *\n Port 3\n HostName=10.0.0.7';
    expect(settings(text)).toMatchObject({ user: 'first', port: 2, hostName: '10.0.0.7' });
    expect(settings(text, { host: 'nasty' })).toMatchObject({ port: 3 });
    expect(settings(text, { user: 'given', port: 4 })).toMatchObject({ user: 'given', port: 4 });
  });

  it('is every IdentityFile, once', () => {
    expect(settings('IdentityFile ~/a\nHost nas\n IdentityFile ~/b\nHost *\n identityfile = "~/c d"\n IdentityFile ~/a').identityFiles).toEqual(['~/a', '~/b', '~/c d']);
  });

  it('is written in any case, with = or without, in quotes or not', () => {
    expect(settings('HOST nas\n\tUSER="ada l"\n  port = 22022').port).toBe(22022);
    expect(settings('HOST nas\n\tUSER="ada l"').user).toBe('ada l');
  });

  it('has the name that was asked for in HostName', () => {
    expect(settings('HostName %h.example.org%%').hostName).toBe('nas.example.org%');
    expect(() => settings('HostName %x')).toThrow("HostName has '%x'");
  });

  it('takes ProxyJump or ProxyCommand, whichever comes first, and none', () => {
    expect(settings('ProxyJump a,b\nProxyCommand nc x')).toMatchObject({ proxyJump: 'a,b', proxyCommand: undefined });
    expect(settings('ProxyCommand nc "%h" %p # all of it\nProxyJump a')).toMatchObject({ proxyJump: undefined, proxyCommand: 'nc "%h" %p # all of it' });
    expect(settings('ProxyJump none\nProxyCommand nc x\nProxyJump a')).toMatchObject({ proxyJump: undefined, proxyCommand: undefined });
  });

  it.each([['90', 90], ['1m30s', 90], ['2H', 7200], ['none', undefined]])('has ConnectTimeout %s', (text, seconds) => {
    expect(settings(`ConnectTimeout ${text}`).connectTimeout).toBe(seconds);
  });

  it('passes over what it does not need', () => {
    expect(settings('Host nas\n  ForwardX11 yes\n  Cipher 3des\n  UnheardOf\n  User ada').user).toBe('ada');
  });
});

describe('Match', () => {
  it.each([
    ['all', true], ['host nas', true], ['host 10.*', false], ['host other,na?', true], ['!host other', true], ['!host nas', false], ['originalhost nas', true], ['user ada', true],
    ['user root', false], ['localuser ada host nas', true], ['localuser bob host nas', false], ['canonical', false], ['!canonical all', true], ['host=nas', true], ['final', true],
  ])('%s: %s', (criteria, expected) => {
    expect(settings(`Match ${criteria}\n User matched`).user).toBe(expected ? 'matched' : undefined);
  });

  it('host looks at HostName, originalhost at what was asked for', () => {
    expect(settings('HostName real.example\nMatch host real.*\n Port 1\nMatch originalhost nas\n User ada')).toMatchObject({ port: 1, user: 'ada' });
    expect(settings('HostName real.example\nMatch host nas\n Port 1').port).toBeUndefined();
  });

  it('final comes in a second pass, where Host matches the real name and the first values stay', () => {
    const text = 'HostName real.example\nUser first\nMatch final host real.example\n Port 7\n User last\nHost real.example\n IdentityFile real';
    expect(settings(text)).toMatchObject({ port: 7, user: 'first', identityFiles: ['real'] });
  });

  it('exec runs the command with its tokens, and only when all before it holds', () => {
    const ran: string[] = [];
    const succeeds = (command: string): boolean => ran.push(command) > 0;
    expect(settings('HostName h\nMatch exec "test %h = %n"\n User ada', { succeeds }).user).toBe('ada');
    expect(settings('Match host other exec "never"\n User ada', { succeeds }).user).toBeUndefined();
    expect(settings('Match exec "no"\n User ada', { succeeds: () => false }).user).toBeUndefined();
    expect(ran).toEqual(['test h = nas']);
  });

  it('on something unknown is refused with its place', () => {
    expect(() => settings('\nMatch tagged x')).toThrow('config:2: Match tagged is not known');
    expect(() => settings('Match host')).toThrow('config:1: Match host says nothing after it');
  });
});

describe('Include', () => {
  const include = (text: string): ConfigLine => ({ keyword: 'include', args: ['x'], rest: 'x', at: 'config:1', included: parseConfig(text, 'x') });

  it('counts where it stands, and its blocks end with it', () => {
    const lines = [include('Host other\n User wrong\nHost nas\n User inner'), ...parseConfig('Port 5', 'config')];
    expect(settingsFor(lines, { host: 'nas', localUser: 'ada', succeeds: refuseToRun })).toMatchObject({ user: 'inner', port: 5 });
  });

  it('in a block that does not match, nothing of it counts', () => {
    const lines = [...parseConfig('Host other', 'config'), include('User wrong\nHost nas\n User wrong\nMatch exec "never"\nMatch all\n User wrong')];
    expect(settingsFor(lines, { host: 'nas', localUser: 'ada', succeeds: refuseToRun }).user).toBeUndefined();
  });
});

describe('what cannot be understood', () => {
  it.each([['Port ssh', "Port of ssh_config cannot be 'ssh'"], ['ConnectTimeout soon', "ConnectTimeout of ssh_config cannot be 'soon'"], ['HostName', 'config:1: hostname has no value']])('%s', (text, says) => {
    expect(() => settings(text)).toThrow(says);
  });

  it('never hangs nor breaks, whatever the file holds', () => {
    fc.assert(fc.property(fc.string({ unit: fc.constantFrom('\\', '"', "'", '=', '#', ' ', '\t', '\n', '%', ',', '!', '*', 'Host ', 'Match ', 'User', '\u00e9', '\0'), maxLength: 60 }), (text) => {
      for (const { keyword, args } of parseConfig(text, 'config')) {
        expect(keyword).toMatch(/^[a-z][\w-]*$/);
        expect(args.join('').length).toBeLessThanOrEqual(text.length);
      }
    }));
    expect(parseConfig(`User${' '.repeat(100_000)}x${' '.repeat(100_000)}`, 'config')).toMatchObject([{ args: ['x'] }]);
  });
});
