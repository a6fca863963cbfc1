/** Starts the command line. The only place that sets the exit code and catches everything. */
import { messageOf, HoldfastError } from '../base/errors.ts';
import { asHoldfastError, errorDocument, errorLines } from './render/error.ts';
import { buildProgram } from './program.ts';

async function main(argv: readonly string[]): Promise<number> {
  try {
    const program = buildProgram();
    await program.parseAsync([...argv]);
    return Number(process.exitCode ?? 0);
  } catch (thrown) {
    const error = asHoldfastError(thrown);
    if (argv.includes('--json')) process.stdout.write(`${JSON.stringify(errorDocument(error))}\n`);
    process.stderr.write(errorLines(error).map((line) => `${line}\n`).join(''));
    return error.exitCode;
  }
}

// A reader that goes away (`| head`) is no error of ours.
process.stdout.on('error', (error) => process.exit('code' in error && error.code === 'EPIPE' ? 0 : 1));
process.on('unhandledRejection', (reason) => {
  const error = reason instanceof HoldfastError ? reason : new HoldfastError('internal', messageOf(reason), { cause: reason });
  process.stderr.write(errorLines(error).map((line) => `${line}\n`).join(''));
  process.exit(error.exitCode);
});

process.exitCode = await main(process.argv);
