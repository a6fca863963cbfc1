/** The recovery sheet of a repository, and the care that somebody keeps its password. */
import type { RecoverySheet } from '../operation/recovery-sheet.ts';
import { isHoldfastError } from '../base/errors.ts';
import type { Repository } from '../repository/repository.ts';
import type { RepositoryPlace, Stack } from '../stack/stack.ts';
import { retypePassword } from './ask-password.ts';
import { painter } from './render/text.ts';
import type { Session } from './session.ts';

export async function sheetOf(session: Session, repository: Repository, place: RepositoryPlace): Promise<RecoverySheet> {
  const { recoverySheet } = await import('../operation/recovery-sheet.ts');
  const key = await repository.currentKey();
  const stack = await knownStack(session);
  const stores = (stack?.stores ?? []).flatMap(({ name, kind, backup }) => (backup ? [{ name, kind }] : []));
  return recoverySheet({ stack: stack?.name, stores, place: place.place, repositoryId: repository.id, key, printed: session.clock.now() });
}

/** A repository given by its address needs no holdfast.yaml. */
async function knownStack(session: Session): Promise<Stack | undefined> {
  try {
    return await session.stack();
  } catch (error) {
    if (!isHoldfastError(error, 'no-config')) throw error;
    return undefined;
  }
}

/** After the sheet: lets the password be typed once more, where somebody is there to type it. */
export async function sealSheet(session: Session, place: RepositoryPlace): Promise<void> {
  const { passwordOf } = await import('../operation/open.ts');
  const typed = await retypePassword(session, await passwordOf(place));
  if (session.options.json) return;
  const todo = 'Print this page, write the password in, and put it away from this host.\n';
  process.stderr.write(typed ? `${painter(process.stderr)('green', 'Right.')} ${todo}` : todo);
}
