/**
 * POSIX calls that Node lacks: extended attributes, times to the nanosecond, device nodes, sockets and fifos, holes.
 * Called in libc by FFI; paths go in as bytes, so names need not be UTF-8.
 */
import { createRequire } from 'node:module';
import type { RawName } from './raw-name.ts';

type Native = (...args: readonly unknown[]) => number;

interface Libc {
  readonly llistxattr: Native;
  readonly lgetxattr: Native;
  readonly lsetxattr: Native;
  readonly mknod: Native;
  readonly utimensat: Native;
  readonly syncfs: Native;
  readonly statx: Native;
  readonly errno: () => number;
  readonly names: ReadonlyMap<number, string>;
}

const AT_FDCWD = -100;
const AT_SYMLINK_NOFOLLOW = 0x100;
const ENODATA = 61;
const ENOTSUP = 95;
const ERANGE = 34;

let loaded: Libc | undefined;

function libc(): Libc {
  loaded ??= loadLibc();
  return loaded;
}

function loadLibc(): Libc {
  // koffi is CommonJS with a native part; it is loaded on first use, so that commands without files do not pay for it.
  const koffi = createRequire(import.meta.url)('koffi') as typeof import('koffi');
  const library = openLibc(koffi);
  return {
    llistxattr: library.func('intptr_t llistxattr(const void *path, void *list, size_t size)') as Native,
    lgetxattr: library.func('intptr_t lgetxattr(const void *path, const char *name, void *value, size_t size)') as Native,
    lsetxattr: library.func('int lsetxattr(const void *path, const char *name, const void *value, size_t size, int flags)') as Native,
    mknod: library.func('int mknod(const void *path, uint32 mode, uint64_t dev)') as Native,
    utimensat: library.func('int utimensat(int dirfd, const void *path, const int64_t *times, int flags)') as Native,
    syncfs: library.func('int syncfs(int fd)') as Native,
    statx: library.func('int statx(int dirfd, const void *path, int flags, uint mask, void *result)') as Native,
    errno: () => koffi.errno(),
    names: new Map(Object.entries(koffi.os.errno).map(([name, number]) => [number, name])),
  };
}

function openLibc(koffi: typeof import('koffi')): ReturnType<typeof import('koffi').load> {
  try {
    return koffi.load('libc.so.6');
  } catch {
    return koffi.load(`libc.musl-${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}.so.1`);
  }
}

/** A failed call, with the same `code` that Node's own errors carry. */
function failure(call: string, path: RawName): Error {
  const number = libc().errno();
  const code = libc().names.get(number) ?? `errno ${number}`;
  return Object.assign(new Error(`${code}: ${call} '${Buffer.from(path, 'latin1').toString('utf8')}'`), { code });
}

/** A path with its closing zero, in a buffer that is used again by the next call. */
let pathBuffer = Buffer.alloc(4096);
function cPath(path: RawName): Buffer {
  if (path.length >= pathBuffer.length) pathBuffer = Buffer.alloc(path.length * 2);
  pathBuffer[pathBuffer.write(path, 0, 'latin1')] = 0;
  return pathBuffer;
}

let listBuffer = Buffer.alloc(65536);
let valueBuffer = Buffer.alloc(65536);

export interface Attribute {
  readonly name: string;
  readonly value: Buffer;
}

/** Extended attributes of a file, a folder or a link itself; empty where the file system has none. Errors are system errors. */
export function extendedAttributes(path: RawName): readonly Attribute[] {
  const length = libc().llistxattr(cPath(path), listBuffer, listBuffer.length);
  if (length === 0) return [];
  if (length < 0) {
    if (libc().errno() === ENOTSUP) return [];
    throw failure('llistxattr', path);
  }
  const names = listBuffer.toString('utf8', 0, length - 1).split('\0').sort();
  const attributes: Attribute[] = [];
  for (const name of names) {
    const value = attributeValue(path, name);
    if (value !== undefined) attributes.push({ name, value });
  }
  return attributes;
}

function attributeValue(path: RawName, name: string): Buffer | undefined {
  const length = libc().lgetxattr(cPath(path), name, valueBuffer, valueBuffer.length);
  if (length >= 0) return Buffer.from(valueBuffer.subarray(0, length));
  const errno = libc().errno();
  if (errno === ERANGE && valueBuffer.length < 1 << 24) {
    valueBuffer = Buffer.alloc(valueBuffer.length * 4);
    return attributeValue(path, name);
  }
  if (errno === ENODATA || errno === ENOTSUP) return undefined;
  throw failure(`lgetxattr ${name}`, path);
}

export function setExtendedAttribute(path: RawName, name: string, value: Uint8Array): void {
  if (libc().lsetxattr(cPath(path), name, value, value.length, 0) !== 0) throw failure(`lsetxattr ${name}`, path);
}

/** Makes a fifo, a socket or a device node; `mode` has the type and the permission bits, `device` is a Linux device number. */
export function makeNode(path: RawName, mode: number, device = 0n): void {
  if (libc().mknod(cPath(path), mode, device) !== 0) throw failure('mknod', path);
}

const timeBuffer = new BigInt64Array(4);
const NANO = 1_000_000_000n;

/** Sets access and modification time, in nanoseconds since 1970, of a path itself (links are not followed). */
export function setTimes(path: RawName, atimeNs: bigint, mtimeNs: bigint): void {
  split(atimeNs, 0);
  split(mtimeNs, 2);
  if (libc().utimensat(AT_FDCWD, cPath(path), timeBuffer, AT_SYMLINK_NOFOLLOW) !== 0) throw failure('utimensat', path);
}

function split(ns: bigint, at: number): void {
  let seconds = ns / NANO;
  let rest = ns % NANO;
  if (rest < 0n) {
    rest += NANO;
    seconds -= 1n;
  }
  timeBuffer[at] = seconds;
  timeBuffer[at + 1] = rest;
}

/** What `lstat` says, as far as a backup records it. Times are nanoseconds since 1970. */
export interface FileStatus {
  /** All 16 bits of `st_mode`. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly links: number;
  readonly size: number;
  readonly inode: bigint;
  /** Of the file system, and of a device node. */
  readonly deviceId: bigint;
  readonly device: bigint;
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
}

const STATX_BASIC_STATS = 0x7ff;
const status = Buffer.alloc(256);

/**
 * The status of a path itself (links are not followed unless asked), by statx(2): a third of the time that Node's lstat takes with its eighteen
 * big integers, which counts where 50,000 files are looked at in a second. Offsets are those of `struct statx` in linux/stat.h.
 */
export function statusOf(path: RawName, links: 'follow' | 'as they are' = 'as they are'): FileStatus {
  const flags = links === 'follow' ? 0 : AT_SYMLINK_NOFOLLOW;
  if (libc().statx(AT_FDCWD, cPath(path), flags, STATX_BASIC_STATS, status) !== 0) throw failure('statx', path);
  return {
    mode: status.readUInt16LE(28), uid: status.readUInt32LE(20), gid: status.readUInt32LE(24), links: status.readUInt32LE(16),
    size: wideNumber(40), inode: status.readBigUInt64LE(32),
    deviceId: deviceNumber(136), device: deviceNumber(128), mtimeNs: timeAt(112), ctimeNs: timeAt(96),
  };
}

function wideNumber(at: number): number {
  return status.readUInt32LE(at + 4) * 2 ** 32 + status.readUInt32LE(at);
}

/** Seconds and nanoseconds of a `struct statx_timestamp`. */
function timeAt(at: number): bigint {
  return status.readBigInt64LE(at) * NANO + BigInt(status.readUInt32LE(at + 8));
}

/** Major and minor number as one, in the way of glibc's makedev. */
function deviceNumber(at: number): bigint {
  const [major, minor] = [BigInt(status.readUInt32LE(at)), BigInt(status.readUInt32LE(at + 4))];
  return ((major & 0xfffff000n) << 32n) | ((major & 0xfffn) << 8n) | ((minor & 0xffffff00n) << 12n) | (minor & 0xffn);
}

/** Waits until everything written to the file system of this open file is on its disk. */
export function syncFileSystem(fd: number): void {
  if (libc().syncfs(fd) !== 0) throw failure('syncfs', `file ${fd}`);
}
