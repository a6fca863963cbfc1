import { describe, expect, it } from 'vitest';
import { Window } from './sftp-transfer.ts';

/** Requests whose answers come when the test says, at a time that it sets. */
function line(pieceBytes: number) {
  let nowMs = 0;
  const window = new Window({ now: () => new Date(nowMs), elapsedMs: () => nowMs }, pieceBytes);
  const answers: (() => void)[] = [];
  const request = (): void => {
    void window.run(undefined, () => new Promise<void>((resolve) => answers.push(resolve)));
  };
  return {
    window,
    /** Keeps so many requests waiting for their turn, answers one of them after so long, many times. */
    async answer(times: number, afterMs: number): Promise<void> {
      for (let n = 0; n < 200; n++) request();
      for (let n = 0; n < times; n++) {
        nowMs += afterMs;
        answers.shift()?.();
        for (let turn = 0; turn < 10; turn++) await Promise.resolve();
      }
    },
    get under() {
      return answers.length;
    },
  };
}

describe('requests under way', () => {
  it('are 2 MiB on a line that answers quickly, with pieces of either size', async () => {
    for (const [pieceBytes, most] of [[32 << 10, 64], [128 << 10, 16]] as const) {
      const fast = line(pieceBytes);
      await fast.answer(100, 1);
      expect(fast.under).toBe(most);
    }
  });

  it('become few on a line that answers slowly, and many again', async () => {
    const slow = line(32 << 10);
    await slow.answer(150, 1000);
    expect(slow.window.limit).toBe(4);
    expect(slow.under).toBe(4);
    await slow.answer(300, 1);
    expect(slow.window.limit).toBe(64);
  });

  it('that were given up before their turn are not made, and keep nobody from theirs', async () => {
    const window = new Window({ now: () => new Date(0), elapsedMs: () => 0 }, 2 << 20);
    const abort = new AbortController();
    const { promise, resolve } = Promise.withResolvers<void>();
    const first = window.run(undefined, () => promise);
    let made = false;
    const second = window.run(abort.signal, () => {
      made = true;
      return Promise.resolve();
    });
    const third = window.run(undefined, () => Promise.resolve('third'));
    abort.abort(new Error('enough'));
    resolve();
    await first;
    await expect(second).rejects.toThrow('enough');
    expect(await third).toBe('third');
    expect(made).toBe(false);
  });
});
