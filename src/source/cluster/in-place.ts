/** The data directory that a restore replaces: no server may be using it. */
import { readFile, readlink, realpath } from 'node:fs/promises';
import { HoldfastError, systemCode } from '../../base/errors.ts';

/** Throws `target-exists` when a server runs in the directory. */
export async function refuseRunning(directory: string): Promise<void> {
  const pid = await runningIn(directory);
  if (pid === undefined) return;
  throw new HoldfastError('target-exists', `the server of ${directory} is running (process ${pid}); nothing was changed`, {
    hint: `Stop it first, as with \`systemctl stop postgresql\` or \`pg_ctl -D ${directory} stop\`; or restore beside it with --into FOLDER.`,
  });
}

/** The process of the server that uses a data directory; undefined when there is none. A file that a crash has left says nothing. */
async function runningIn(directory: string): Promise<number | undefined> {
  const text = await readFile(`${directory}/postmaster.pid`, 'utf8').catch(() => undefined);
  const pid = Number(text?.split('\n')[0]);
  if (text === undefined || !Number.isSafeInteger(pid) || pid <= 0 || !isAlive(pid)) return undefined;
  // The number may have gone to another program since; a server stands in its data directory.
  const stands = await readlink(`/proc/${pid}/cwd`).catch(() => undefined);
  return stands === undefined || stands === (await realpath(directory)) ? pid : undefined;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return systemCode(error) === 'EPERM';
  }
}
