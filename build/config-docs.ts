/** The reference of `holdfast.yaml`, from the same schema that checks it. */
import type { z } from 'zod';

type JsonSchema = z.core.JSONSchema.BaseSchema;

const INTRODUCTION = `# holdfast.yaml

It lies in the folder of the stack; commands find it there or in a folder above the one they are started in. Paths in it are relative
to it. \`holdfast init\` writes one. [holdfast.schema.json](holdfast.schema.json) gives completion in editors that know the comment
\`# yaml-language-server: $schema=…\`.

Secrets never stand in the file, only where they are to be found: \`env:NAME\`, \`file:PATH\` (of mode 600), \`exec:COMMAND\` (what it prints),
and for databases \`pgpass\` (the file \`~/.pgpass\`, which is also used when nothing is said).

| key | value | means |
| --- | --- | --- |`;

/** The Markdown of `docs/config.md`. */
export function renderConfigDocs(schema: JsonSchema): string {
  return `${INTRODUCTION}\n${rows(schema, '').join('\n')}\n`;
}

function rows(schema: JsonSchema, prefix: string): string[] {
  return Object.entries(schema.properties ?? {}).flatMap(([key, value]) => {
    if (typeof value === 'boolean') return [];
    const path = `${prefix}${key}`;
    const needed = schema.required?.includes(key) === true ? ' (needed)' : '';
    const each = typeof value.additionalProperties === 'object' ? value.additionalProperties : undefined;
    const row = `| \`${path}\` | ${kindOf(value)}${needed} | ${value.description ?? ''} |`;
    return [row, ...rows(value, `${path}.`), ...(each === undefined ? [] : rows(each, `${path}.NAME.`))];
  });
}

function kindOf(schema: JsonSchema): string {
  if (schema.enum !== undefined) return schema.enum.map((value) => `\`${String(value)}\``).join(', ');
  if (schema.const !== undefined) return `\`${String(schema.const)}\``;
  if (schema.anyOf !== undefined) return [...new Set(schema.anyOf.map(kindOf))].join(' or ');
  switch (schema.type) {
    case 'number':
    case 'integer':
      return 'number';
    case 'string':
      return 'text';
    case 'boolean':
      return 'true or false';
    case 'array':
      return 'list';
    default:
      return 'keys';
  }
}
