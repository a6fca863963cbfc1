/** `wal push` and `wal fetch`: run by the server, so they are silent when all is well. */
import { isHoldfastError } from '../base/errors.ts';
import { asHoldfastError, errorDocument, errorLines } from './render/error.ts';
import { Session, type CommonOptions } from './session.ts';

/** Recovery takes codes above 125 for a failure, and every smaller one for "there is no such file". */
const FETCH_FAILED = 200;

export async function runPush(name: string, path: string, options: CommonOptions): Promise<void> {
  await using session = new Session(options);
  const [{ pushWal }, { chooseCluster }] = await Promise.all([import('../operation/wal/push.ts'), import('../operation/wal/open.ts')]);
  const stack = await session.stack();
  const store = chooseCluster(stack, name);
  const repository = await session.repository();
  const report = await pushWal({ repository, stack: stack.name, store: store.name, tier: store.tier, path }, session.context);
  session.answer(report, []);
}

export async function runFetch(name: string, file: string, target: string, options: CommonOptions): Promise<void> {
  try {
    await using session = new Session(options);
    const [{ fetchWal }, { chooseCluster }] = await Promise.all([import('../operation/wal/fetch.ts'), import('../operation/wal/open.ts')]);
    const stack = await session.stack();
    const store = chooseCluster(stack, name);
    const repository = await session.repository();
    session.answer({ file, ...(await fetchWal({ repository, stack: stack.name, store: store.name, name: file, target })) }, []);
  } catch (thrown) {
    const error = asHoldfastError(thrown);
    if (options.json) process.stdout.write(`${JSON.stringify(errorDocument(error))}\n`);
    process.stderr.write(errorLines(error).map((line) => `${line}\n`).join(''));
    process.exitCode = isHoldfastError(error, 'path-missing') ? 1 : FETCH_FAILED;
  }
}
