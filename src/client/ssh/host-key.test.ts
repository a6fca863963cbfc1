import { describe, expect, it } from 'vitest';
import { fingerprint, keyType, preferKnown, typeName } from './host-key.ts';

// GitHub's published key and its published fingerprint.
const GITHUB = Buffer.from('AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl', 'base64');

describe('keys of hosts', () => {
  it('have a type and the fingerprint that everybody else prints', () => {
    expect(keyType(GITHUB)).toBe('ssh-ed25519');
    expect(fingerprint(GITHUB)).toBe('SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU');
  });

  it('have no type when they are no keys', () => {
    for (const bytes of [[], [0, 0], [0, 0, 0, 9, 1], [255, 255, 255, 255, 0]]) expect(keyType(Buffer.from(bytes))).toBe('');
  });

  it('are named as OpenSSH names them', () => {
    expect(['ssh-ed25519', 'ssh-rsa', 'ecdsa-sha2-nistp256', 'ssh-dss', 'sk-ssh-ed25519@openssh.com'].map(typeName)).toEqual(['ED25519', 'RSA', 'ECDSA', 'DSA', 'ED25519']);
  });

  it('are asked for in the kinds that are known before the others', () => {
    expect(preferKnown(new Set(['ssh-rsa'])).slice(0, 2)).toEqual(['rsa-sha2-512', 'rsa-sha2-256']);
    expect(preferKnown(new Set(['ecdsa-sha2-nistp256']))[0]).toBe('ecdsa-sha2-nistp256');
    expect([...preferKnown(new Set(['ssh-rsa', 'ssh-dss']))].sort()).toEqual([...preferKnown(new Set())].sort());
    expect(preferKnown(new Set())).not.toContain('ssh-rsa');
  });
});
