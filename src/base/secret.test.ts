import { inspect } from 'node:util';
import { expect, it } from 'vitest';
import { Secret } from './secret.ts';

it('a secret shows itself to nobody who does not ask', () => {
  const secret = new Secret('hunter2');
  expect(`${String(secret)} ${JSON.stringify({ secret })} ${inspect({ secret })} ${Object.values(secret).join()}`).not.toContain('hunter2');
  expect(secret.reveal()).toBe('hunter2');
});
