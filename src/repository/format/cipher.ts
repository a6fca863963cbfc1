/**
 * Encryption of everything in a repository: `IV(16) || AES-256-CTR ciphertext || Poly1305-AES MAC(16)`
 * (restic design.rst, "Keys, Encryption and MAC"; internal/repository/crypto/crypto.go).
 */
import { createCipheriv, createDecipheriv, createSecretKey, randomFillSync, timingSafeEqual, type Cipheriv, type KeyObject } from 'node:crypto';
import sodium from 'sodium-native';

/** Bytes that sealing adds. */
export const SEAL_OVERHEAD = 32;
const IV_BYTES = 16;
const MAC_BYTES = 16;
/** Ciphertext is produced in pieces of this size: below the size from which malloc maps fresh pages, which would cost more than the cipher. */
const PIECE = 64 * 1024;

/** The keys that encrypt a repository's content, or one key file. */
export interface SealKey {
  /** 32 bytes, AES-256. */
  readonly encrypt: Buffer;
  /** 16 bytes, AES-128, makes the one-time key of the MAC out of the IV. */
  readonly macK: Buffer;
  /** 16 bytes, the fixed half of the one-time key. Poly1305 clamps it itself. */
  readonly macR: Buffer;
}

/** Thrown by `open`: the bytes were not sealed with this key, or were changed. */
export class SealBroken extends Error {
  constructor(message = 'the MAC does not match') {
    super(message);
    this.name = 'SealBroken';
  }
}

export class Cipher {
  /** A key object: from a buffer Node would make one for every message, which takes 15 µs. */
  readonly #encrypt: KeyObject;
  readonly #macCipher: Cipheriv;
  /** r || AES(k, IV): the second half changes with every message. */
  readonly #oneTimeKey = Buffer.alloc(32);
  readonly #random = Buffer.alloc(4096);
  #randomUsed = this.#random.length;

  constructor(key: SealKey) {
    this.#encrypt = createSecretKey(key.encrypt);
    this.#macCipher = createCipheriv('aes-128-ecb', key.macK, null);
    this.#macCipher.setAutoPadding(false);
    key.macR.copy(this.#oneTimeKey);
  }

  /** Seals `plain` into `target` at `offset`; returns the bytes written, always `plain.length + SEAL_OVERHEAD`. */
  sealInto(plain: Uint8Array, target: Buffer, offset: number): number {
    const iv = target.subarray(offset, offset + IV_BYTES);
    this.#freshIv().copy(iv);
    const cipher = createCipheriv('aes-256-ctr', this.#encrypt, iv);
    const start = offset + IV_BYTES;
    for (let i = 0; i < plain.length; i += PIECE) {
      cipher.update(plain.subarray(i, Math.min(plain.length, i + PIECE))).copy(target, start + i);
    }
    const end = start + plain.length;
    this.#mac(iv, target.subarray(start, end), target.subarray(end, end + MAC_BYTES));
    return plain.length + SEAL_OVERHEAD;
  }

  seal(plain: Uint8Array): Buffer {
    const sealed = Buffer.allocUnsafe(plain.length + SEAL_OVERHEAD);
    this.sealInto(plain, sealed, 0);
    return sealed;
  }

  /** The plaintext; throws SealBroken before a byte is decrypted. */
  open(sealed: Uint8Array): Buffer {
    if (sealed.length < SEAL_OVERHEAD) throw new SealBroken(`${sealed.length} bytes are too few to be sealed data`);
    const iv = sealed.subarray(0, IV_BYTES);
    const body = sealed.subarray(IV_BYTES, sealed.length - MAC_BYTES);
    const mac = Buffer.alloc(MAC_BYTES);
    this.#mac(iv, body, mac);
    if (!timingSafeEqual(mac, sealed.subarray(sealed.length - MAC_BYTES))) throw new SealBroken();
    return createDecipheriv('aes-256-ctr', this.#encrypt, iv).update(body);
  }

  #mac(iv: Uint8Array, body: Uint8Array, out: Uint8Array): void {
    this.#macCipher.update(iv).copy(this.#oneTimeKey, 16);
    sodium.crypto_onetimeauth(out, body, this.#oneTimeKey);
  }

  #freshIv(): Buffer {
    if (this.#randomUsed === this.#random.length) {
      randomFillSync(this.#random);
      this.#randomUsed = 0;
    }
    const iv = this.#random.subarray(this.#randomUsed, this.#randomUsed + IV_BYTES);
    this.#randomUsed += IV_BYTES;
    // The format forbids an IV of zeros; drawing one means the generator is broken.
    if (iv.every((byte) => byte === 0)) throw new Error('the random generator returned zeros');
    return iv;
  }
}
