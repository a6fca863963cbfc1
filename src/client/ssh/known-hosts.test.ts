import { createHmac } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatKnownHost, judgeHostKey, knownTypes, lookupName, parseKnownHosts, type Judgement } from './known-hosts.ts';

/** Something that has a type, as far as anybody looks here. */
function key(type: string, content: string): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(type.length);
  return Buffer.concat([length, Buffer.from(type), Buffer.from(content)]);
}

const [ED, ED2, RSA] = [key('ssh-ed25519', 'one'), key('ssh-ed25519', 'two'), key('ssh-rsa', 'three')];
const line = (hosts: string, blob: Buffer, marker = ''): string => `${marker}${hosts} ${blob.toString('latin1', 4, 4 + blob.readUInt32BE(0))} ${blob.toString('base64')} somebody@somewhere`;
const hashed = (name: string): string => `|1|${Buffer.from('salt').toString('base64')}|${createHmac('sha1', 'salt').update(name).digest('base64')}`;

function judge(text: string, blob: Buffer, host = 'nas', port = 22, alias?: string): Judgement {
  return judgeHostKey(parseKnownHosts(text, 'known_hosts'), { host, port, alias }, blob);
}

describe('a host is known', () => {
  it.each([
    ['by its name', line('nas', ED)],
    ['by its name in other letters', line('NAS', ED)],
    ['by one of several names', line('backup,nas,10.0.0.7', ED)],
    ['by a pattern', line('n*', ED)],
    ['by its hashed name', line(hashed('nas'), ED)],
    ['by one of several keys', [line('nas', ED2), line('nas', RSA), line('nas', ED)].join('\n')],
    ['between comments, empty lines and rubbish', ['# nas', '', '   ', 'nas', 'nas ssh-ed25519', 'nas ssh-ed25519 !!!', line('nas', ED), 'nas ssh-rsa AAAA'].join('\r\n')],
    ['with spaces before', `  \t${line('nas', ED)}`],
  ])('%s', (_how, text) => {
    expect(judge(text, ED)).toMatchObject({ kind: 'known', entry: { key: ED } });
  });

  it('by name and port, or without the port when nothing else is known', () => {
    expect(judge(line('[nas]:2222', ED), ED, 'nas', 2222).kind).toBe('known');
    expect(judge(line(hashed('[nas]:2222'), ED), ED, 'nas', 2222).kind).toBe('known');
    expect(judge(line('nas', ED), ED, 'nas', 2222).kind).toBe('known');
    expect(judge(line('[nas]:2222', ED), ED).kind).toBe('unknown');
    expect(judge(`${line('[nas]:2222', ED2)}\n${line('nas', ED)}`, ED, 'nas', 2222).kind).toBe('changed');
  });

  it('by its alias only, when it has one', () => {
    expect(judge(line('vault', ED), ED, 'nas', 2222, 'vault').kind).toBe('known');
    expect(judge(line('nas', ED), ED, 'nas', 22, 'vault').kind).toBe('unknown');
  });
});

describe('a host is not known', () => {
  it.each([
    ['by another name', line('nass', ED)],
    ['by a pattern that is negated', line('*,!nas', ED)],
    ['by the hash of another name', line(hashed('nass'), ED)],
    ['by a hash of another making', line(hashed('nas').replace('|1|', '|2|'), ED)],
    ['by a line whose key is of another type than it says', `nas ssh-rsa ${ED.toString('base64')}`],
    ['by a line that is commented out', `#${line('nas', ED)}`],
    ['by a line with a marker that nobody knows', line('nas', ED, '@trusted ')],
    ['from an empty file', ''],
  ])('%s', (_how, text) => {
    expect(judge(text, ED)).toMatchObject({ kind: 'unknown', others: [] });
  });

  it('by a key of another type, which is told', () => {
    expect(judge(line('nas', RSA), ED)).toMatchObject({ kind: 'unknown', others: [{ type: 'ssh-rsa', at: 'known_hosts:1' }] });
  });

  it('by an authority alone, even one whose key it shows', () => {
    expect(judge(line('*', ED, '@cert-authority '), ED)).toMatchObject({ kind: 'unknown', authorities: [{ at: 'known_hosts:1' }] });
  });
});

describe('a host is refused', () => {
  it('when its key has changed, with the place of the known ones', () => {
    expect(judge(`# comment\n${line('nas', ED)}`, ED2)).toMatchObject({ kind: 'changed', entries: [{ at: 'known_hosts:2' }] });
  });

  it('when its key is revoked, also when it is known', () => {
    expect(judge([line('nas', ED), line('*', ED, '@revoked ')].join('\n'), ED).kind).toBe('revoked');
    expect(judge(line('nas', ED, '@revoked '), ED, 'nas', 2222).kind).toBe('revoked');
    expect(judge([line('nas', ED), line('other', ED, '@revoked ')].join('\n'), ED).kind).toBe('known');
  });
});

describe('lines of known_hosts', () => {
  it('that are written are understood', () => {
    fc.assert(fc.property(fc.domain(), fc.integer({ min: 1, max: 65535 }), (host, port) => {
      expect(judge(formatKnownHost({ host, port }, ED), ED, host, port).kind).toBe('known');
    }));
    expect(lookupName({ host: 'NAS', port: 2222 })).toBe('[nas]:2222');
    expect(lookupName({ host: '::1', port: 22 })).toBe('::1');
  });

  it('whatever they hold, are read without complaint and vouch for nobody', () => {
    fc.assert(fc.property(fc.string({ unit: fc.constantFrom('nas', '*', '|1|', ' ', '\n', 'ssh-ed25519', '@revoked ', '@cert-authority ', 'AAAA', '=', '\0', ','), maxLength: 40 }), (text) => {
      expect(judge(text, ED).kind).toBe('unknown');
    }));
  });

  it('tell the types to ask for, also without the port', () => {
    const entries = parseKnownHosts([line('nas', RSA), line('[nas]:2222', ED), line('nas', ED2, '@revoked ')].join('\n'), 'f');
    expect([...knownTypes(entries, { host: 'nas', port: 22 })]).toEqual(['ssh-rsa']);
    expect([...knownTypes(entries, { host: 'nas', port: 2222 })]).toEqual(['ssh-ed25519']);
    expect([...knownTypes(entries, { host: 'nas', port: 3333 })]).toEqual(['ssh-rsa']);
  });
});
