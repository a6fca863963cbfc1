import { describe, expect, it } from 'vitest';
import { Secret } from '../../base/secret.ts';
import { unreachable } from './failure.ts';
import { parseTarget } from './target.ts';

const failed = (code: string): Error => Object.assign(new Error(`connect ${code}`), { code });

describe('a connection that cannot be made', () => {
  it.each(['ENETUNREACH', 'ENOTFOUND', 'EHOSTUNREACH'])('to a host of Supabase itself (%s) is told with the session pooler that has IPv4', (code) => {
    const target = parseTarget('postgres://postgres@db.abcdef.supabase.co/postgres', undefined, {});
    expect(unreachable(target, failed(code)).hint).toMatch(/IPv6.*user postgres\.abcdef, a host like aws-0-REGION\.pooler\.supabase\.com, port 5432/);
    expect(unreachable({ ...target, host: 'db.example' }, failed(code)).hint).not.toContain('supabase');
  });

  it('shows no password, also when the server repeats it', () => {
    const target = parseTarget('postgres://u@h/d', new Secret('hunter2'), {});
    expect(unreachable(target, new Error('no such thing as hunter2')).message).toBe('Cannot connect to database d on h:5432 as u: no such thing as **redacted**');
  });
});
