/**
 * Looks at what JSON.parse gives before it gets a type: a wrong type is an error where it is read, with a sentence, and not a
 * wrong number or a missing method somewhere later. Everything here throws Error; who reads files makes `repository-damaged` of it.
 */

export type JsonObject = Readonly<Record<string, unknown>>;

const ID = /^[0-9a-f]{64}$/;
const UINT32 = 2 ** 32 - 1;

export function isId(value: unknown): value is string {
  return typeof value === 'string' && ID.test(value);
}

export function isUint(value: unknown, most = Number.MAX_SAFE_INTEGER): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= most;
}

export function isUint32(value: unknown): value is number {
  return isUint(value, UINT32);
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The object that this text is; `what` begins the sentence of the error. */
export function parseObject(json: string, what: string): JsonObject {
  const value: unknown = JSON.parse(json);
  if (!isObject(value)) throw new Error(`${what} is no JSON object`);
  return value;
}

export function textOf(object: JsonObject, field: string): string {
  const value = own(object, field);
  if (typeof value !== 'string') throw new Error(`its field '${field}' is no text`);
  return value;
}

export function idOf(object: JsonObject, field: string): string {
  const value = own(object, field);
  if (!isId(value)) throw new Error(`its field '${field}' is no id`);
  return value;
}

export function uintOf(object: JsonObject, field: string, most = UINT32): number {
  const value = own(object, field);
  if (!isUint(value, most)) throw new Error(`its field '${field}' is no number from 0 to ${most}`);
  return value;
}

/** A list of texts; Go writes null for an empty one. */
export function textsOf(object: JsonObject, field: string): readonly string[] {
  const value = own(object, field) ?? [];
  if (!Array.isArray(value) || !value.every((item) => typeof item === 'string')) throw new Error(`its field '${field}' is no list of texts`);
  return value;
}

/** What `read` makes of a field that may be missing or null; an object to be spread. */
export function optional<K extends string, T>(object: JsonObject, field: K, read: (object: JsonObject, field: K) => T): Partial<Record<K, T>> {
  const value = own(object, field);
  if (value === undefined || value === null) return {};
  const found: Partial<Record<K, T>> = {};
  found[field] = read(object, field);
  return found;
}

/** A field of the object itself: `toString` and its like are none. */
function own(object: JsonObject, field: string): unknown {
  return Object.hasOwn(object, field) ? object[field] : undefined;
}
