import { expect, it } from 'vitest';
import { HoldfastError } from '../../base/errors.ts';
import { asHoldfastError } from './error.ts';

it('of an error and what failed while its scope was left, the first is told', async () => {
  const work = async (): Promise<void> => {
    await using _lock = { [Symbol.asyncDispose]: () => Promise.reject(new HoldfastError('storage-failed', 'the lock cannot be removed')) };
    await using _file = { [Symbol.asyncDispose]: () => Promise.reject(new Error('the file cannot be closed')) };
    throw await Promise.resolve(new HoldfastError('storage-full', 'no space left'));
  };
  const thrown: unknown = await work().catch((error: unknown) => error);
  expect(asHoldfastError(thrown)).toMatchObject({ code: 'storage-full', message: 'no space left' });
});
