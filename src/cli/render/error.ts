/** Errors for people and for programs. Nothing else in the house prints an error. */
import { ERRORS, firstError, HoldfastError, messageOf } from '../../base/errors.ts';
import { painter, printable } from './text.ts';

/** Anything that was thrown, as an error that can be shown. */
export function asHoldfastError(thrown: unknown): HoldfastError {
  const error = firstError(thrown);
  return error instanceof HoldfastError ? error : new HoldfastError('internal', messageOf(error), { cause: error, hint: 'This is a bug. Please report it, with HOLDFAST_DEBUG=1 set.' });
}

export function errorLines(error: HoldfastError): readonly string[] {
  const paint = painter(process.stderr);
  const [first = '', ...rest] = error.message.split('\n');
  const lines = [`${paint(['red', 'bold'], 'error:')} ${printable(first)}`, ...rest.map((line) => `  ${printable(line)}`)];
  if (error.hint !== undefined) lines.push(`${paint('cyan', 'hint:')}  ${error.hint}`);
  if (process.env['HOLDFAST_DEBUG'] && error.stack) lines.push(error.stack, ...(error.cause instanceof Error && error.cause.stack ? [error.cause.stack] : []));
  return lines;
}

export function errorDocument(error: HoldfastError): object {
  return { error: { code: error.code, exit: ERRORS[error.code].exit, message: error.message, ...(error.hint === undefined ? {} : { hint: error.hint }) } };
}
