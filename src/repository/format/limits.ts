/**
 * How large things may be. restic's format itself allows blobs and documents of gigabytes; what claims to be so large was made to
 * exhaust a machine, for nothing that writes repositories makes it. Sizes are compared with these before memory is asked for.
 */

const MIB = 1 << 20;

/** Bytes of a data blob in plaintext. Chunkers that are in use cut at 8 MiB; restic's largest pack is 128 MiB. */
export const MAX_DATA_BLOB = 128 * MIB;

/** Bytes of a tree blob in plaintext: a folder of a million files. More does not fit into one JavaScript string. */
export const MAX_TREE_BLOB = 511 * MIB;

/** Bytes of the JSON of an index file: 450,000 blobs, which restic calls oversized, take about 80 MB. */
export const MAX_INDEX = 256 * MIB;

/** Bytes of the JSON of a snapshot, a lock or the config. */
export const MAX_DOCUMENT = 16 * MIB;

/** Bytes of a key file; they have about 450. */
export const MAX_KEY_FILE = 64 * 1024;

/** Bytes of memory and passes over it (N·r·p) that a key file may ask of scrypt: 16 times what any program that writes them does. */
export const MAX_SCRYPT_MEMORY = 512 * MIB;
export const MAX_SCRYPT_WORK = 1 << 24;
