/** On what it was measured. */
import { readFileSync } from 'node:fs';
import { availableParallelism, cpus, release, totalmem } from 'node:os';

/** `2 cores of … (sha_ni, aes), 24 GB, Debian GNU/Linux 12 (bookworm), Linux 6.1, Node v24.15.0` */
export function machineLine(): string {
  const flags = /^flags\s*:\s*(.*)$/m.exec(textOf('/proc/cpuinfo'))?.[1]?.split(' ') ?? [];
  const helpful = ['sha_ni', 'aes', 'avx2', 'avx512f'].filter((flag) => flags.includes(flag));
  const system = /^PRETTY_NAME="?([^"\n]*)/m.exec(textOf('/etc/os-release'))?.[1] ?? process.platform;
  const model = cpus()[0]?.model.trim() ?? 'an unknown processor';
  return `Machine: ${availableParallelism()} cores of ${model} (${helpful.join(', ')}), ${(totalmem() / 2 ** 30).toFixed(0)} GiB, ${system}, Linux ${release()}, Node ${process.version}.`;
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
