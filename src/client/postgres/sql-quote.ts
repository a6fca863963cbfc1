/** Names and texts as SQL. */

/** Always quoted, so that no word of a later Postgres can become reserved under us. */
export function identifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

export function qualified(schema: string, name: string): string {
  return `${identifier(schema)}.${identifier(name)}`;
}

/** One line whatever the text holds, and the same whatever standard_conforming_strings says. */
export function literal(text: string): string {
  if (!/[\\\n\r]/.test(text)) return `'${text.replaceAll("'", "''")}'`;
  const escaped = text.replaceAll('\\', '\\\\').replaceAll("'", "''").replaceAll('\n', '\\n').replaceAll('\r', '\\r');
  return `E'${escaped}'`;
}
