/** Prints a line as soon as the reader takes it: what lists millions of things must not keep them. */
export async function printLine(line: string): Promise<void> {
  if (!process.stdout.write(`${line}\n`)) await new Promise((resolve) => process.stdout.once('drain', resolve));
}
