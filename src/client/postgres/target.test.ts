import { describe, expect, it } from 'vitest';
import { Secret } from '../../base/secret.ts';
import { childEnvironment, describeTarget, parseTarget } from './target.ts';

const parse = (url: string, environment: NodeJS.ProcessEnv = {}) => parseTarget(url, undefined, { HOME: '/nowhere', USER: 'me', ...environment });

describe('a target', () => {
  it('prefers TLS to other machines and does without at home; a root certificate of the system asks for a full check', () => {
    expect(parse('postgres://db.example/x').tls).toBe('prefer');
    expect(parse('postgres://localhost/x').tls).toBe('disable');
    expect(parse('postgres://%2Ftmp/x').tls).toBe('disable');
    expect(parse('postgres://localhost,db.example/x').tls).toBe('prefer');
    expect(parse('postgres://db.example/x?sslrootcert=system').tls).toBe('verify-full');
    expect(parse('postgres://localhost/x', { PGSSLMODE: 'allow' }).tls).toBe('allow');
    expect(parse('postgres://h/x?sslmode=require&sslnegotiation=direct').directTls).toBe(true);
    expect(() => parse('postgres://h/x?sslnegotiation=direct')).toThrow('sslmode=prefer is too weak for sslnegotiation=direct.');
    expect(() => parse('postgres://h/x?sslmode=maybe')).toThrow('sslmode=maybe is not known.');
  });

  it('has hosts with ports of their own, or one for all', () => {
    const hosts = (url: string, environment?: NodeJS.ProcessEnv): string => describeTarget(parse(url, environment));
    expect(hosts('postgres://a:1,b,[::1]:3/x')).toBe('database x on a:1 or b:5432 or [::1]:3 as me');
    expect(hosts('postgres:///x', { PGHOST: 'a,b', PGPORT: '7' })).toBe('database x on a:7 or b:7 as me');
    expect(hosts('postgres://u@h')).toBe('database u on h:5432 as u');
    expect(() => hosts('postgres:///x?host=a,b,c&port=1,2')).toThrow('The target has 3 hosts and 2 ports.');
    expect(() => hosts('postgres://h:99999/x')).toThrow('99999 is no port');
    expect(parse('postgres://h/x?hostaddr=10.0.0.1')).toMatchObject({ host: 'h', address: '10.0.0.1' });
  });

  it('waits as long as connect_timeout says, and refuses what it does not know', () => {
    expect(parse('postgres://h/x').connectTimeoutMs).toBeUndefined();
    expect(parse('postgres://h/x?connect_timeout=1').connectTimeoutMs).toBe(2000);
    expect(parse('postgres://h/x', { PGCONNECT_TIMEOUT: '0' }).connectTimeoutMs).toBe(0);
    expect(() => parse('postgres://h/x?connect_timeout=soon')).toThrow('connect_timeout=soon is no number');
    expect(() => parse('postgres://h/x?target_session_attrs=best')).toThrow('target_session_attrs=best is not known.');
  });

  it('says to a child of libpq exactly what it says itself, whatever variables this process has', () => {
    process.env['PGSERVICE'] = 'other';
    try {
      const environment = childEnvironment({ ...parse('postgres://u@a:1,b:2/x?sslmode=verify-ca&options=-cgeqo%3Doff'), password: new Secret('pw') });
      expect(environment).toMatchObject({ PGHOST: 'a,b', PGPORT: '1,2', PGUSER: 'u', PGPASSWORD: 'pw', PGSSLMODE: 'verify-ca', PGOPTIONS: '-cgeqo=off' });
      expect(environment['PGSERVICE']).toBeUndefined();
    } finally {
      delete process.env['PGSERVICE'];
    }
  });
});
