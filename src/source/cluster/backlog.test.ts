import { expect, test } from 'vitest';
import { Backlog, type Channel } from './backlog.ts';

async function taken(channel: Channel): Promise<string> {
  let text = '';
  for await (const piece of channel) text += Buffer.from(piece).toString();
  return text;
}

test('a reader gets what was pushed, before it asks and after', async () => {
  const channel = new Backlog(100).open();
  channel.push(Buffer.from('one '));
  const all = taken(channel);
  await Promise.resolve();
  channel.push(Buffer.from('two'));
  channel.end();
  expect(await all).toBe('one two');
});

test('who pushes waits while the channels hold too much together', async () => {
  const backlog = new Backlog(5);
  const [first, second] = [backlog.open(), backlog.open()];
  first.push(Buffer.from('abc'));
  expect(backlog.room).toBeUndefined();
  second.push(Buffer.from('def'));
  let waited = false;
  const room = backlog.room?.then(() => (waited = true));
  await Promise.resolve();
  expect(waited).toBe(false);
  first.end();
  await taken(first);
  await room;
  expect(waited).toBe(true);
  expect(backlog.room).toBeUndefined();
});

test('what fails ends every reader and whoever waits', async () => {
  const backlog = new Backlog(1);
  const channel = backlog.open();
  channel.push(Buffer.from('abc'));
  const { room } = backlog;
  backlog.fail(new Error('cut'));
  await room;
  await expect(taken(channel)).rejects.toThrow('cut');
  await expect(taken(backlog.open())).rejects.toThrow('cut');
});
