/** The two functions of sodium-native that Holdfast uses; the package has no types of its own. */
declare module 'sodium-native' {
  const sodium: {
    /** Poly1305 of `message` under a 32 byte one-time key, written into the 16 bytes of `out`. */
    crypto_onetimeauth(out: Uint8Array, message: Uint8Array, key: Uint8Array): void;
  };
  export default sodium;
}
