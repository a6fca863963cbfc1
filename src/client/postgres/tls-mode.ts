/** The six modes of TLS that libpq knows. */
import { HoldfastError } from '../../base/errors.ts';

export const TLS_MODES = ['disable', 'allow', 'prefer', 'require', 'verify-ca', 'verify-full'] as const;

export type TlsMode = (typeof TLS_MODES)[number];

/** Throws `config`. */
export function tlsModeOf(text: string): TlsMode {
  const mode = TLS_MODES.find((one) => one === text);
  if (mode !== undefined) return mode;
  throw new HoldfastError('config', `sslmode=${text} is not known.`, { hint: `Use one of ${TLS_MODES.join(', ')}.` });
}
