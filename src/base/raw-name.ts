/**
 * Names and paths as the file system has them: bytes that need not be UTF-8. A `RawName` is a string of one character a
 * byte (latin1), so that nothing is lost, V8 keeps it in one byte a character, and the order of strings is the order of bytes.
 */
export type RawName = string;

const BEYOND_ASCII = /[^\x00-\x7f]/;

/** What Node's file functions take for this path: the string itself when it is ASCII, else its bytes. */
export function toFsPath(name: RawName): string | Buffer {
  return BEYOND_ASCII.test(name) ? Buffer.from(name, 'latin1') : name;
}

/** The raw name of ordinary text. */
export function fromText(text: string): RawName {
  return BEYOND_ASCII.test(text) ? Buffer.from(text, 'utf8').toString('latin1') : text;
}

/** For people: bytes that are not UTF-8 show as the replacement character. */
export function toText(name: RawName): string {
  return BEYOND_ASCII.test(name) ? Buffer.from(name, 'latin1').toString('utf8') : name;
}

/** `folder` and `name` with exactly one slash between them. */
export function joinRaw(folder: RawName, name: RawName): RawName {
  return folder.endsWith('/') ? folder + name : `${folder}/${name}`;
}
