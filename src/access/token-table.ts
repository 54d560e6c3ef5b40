import { readEntries } from "./credential-file.ts";
import { sameBytes, sha256 } from "./digest.ts";
import { FileFault } from "./watched-files.ts";

/**
 * Shorter tokens are not looked up: a fast hash protects only tokens that can't be guessed. 32 characters are 128 random
 * bits in hexadecimal.
 */
const MIN_TOKEN_LENGTH = 32;
const MAX_TOKEN_LENGTH = 8192;
const SHA256_HEX = /^[0-9a-fA-F]{64}$/;
/** The part of a hash by which it is found; the rest is compared in constant time. */
const PREFIX_BYTES = 4;

/** An entry of a file of tokens without its hash. */
export type TokenFields = Readonly<Record<string, unknown>>;

/** What the tokens of a file stand for, found by their SHA-256 hashes. */
export class TokenTable<T> {
  /** By the first bytes of their hashes. */
  readonly #byPrefix = new Map<string, { readonly digest: Uint8Array; readonly value: T }[]>();

  /**
   * Reads a JSON list of objects, each with `sha256`: the hash of a token, in hexadecimal.
   *
   * @param readValue reads the other fields of an entry. `hash` is in lower case, `at` names the entry in messages.
   * @throws FileFault if the text is something else, or as `readValue` does.
   */
  static read<T>(
    text: string,
    readValue: (fields: TokenFields, hash: string, at: string) => T,
  ): TokenTable<T> {
    const table = new TokenTable<T>();
    for (const [index, { sha256: hash, ...fields }] of readEntries(text).entries()) {
      const at = `[${index}]`;
      if (typeof hash !== "string" || !SHA256_HEX.test(hash)) {
        throw new FileFault(`has ${at}.sha256, which must be 64 hexadecimal digits`);
      }
      const digest = Uint8Array.from(hash.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
      const value = readValue(fields, hash.toLowerCase(), at);
      if (!table.#add(digest, value)) throw new FileFault(`has the hash of ${at} twice`);
    }
    return table;
  }

  /** Returns what a token stands for; `undefined` if it isn't in the file. */
  async find(token: string): Promise<T | undefined> {
    if (token.length < MIN_TOKEN_LENGTH || token.length > MAX_TOKEN_LENGTH) return undefined;
    const digest = await sha256(token);
    const candidates = this.#byPrefix.get(prefixOf(digest)) ?? [];
    return candidates.find((candidate) => sameBytes(candidate.digest, digest))?.value;
  }

  /** Returns `false` if the hash is there already. */
  #add(digest: Uint8Array, value: T): boolean {
    const prefix = prefixOf(digest);
    const others = this.#byPrefix.get(prefix) ?? [];
    if (others.some((other) => sameBytes(other.digest, digest))) return false;
    this.#byPrefix.set(prefix, [...others, { digest, value }]);
    return true;
  }
}

function prefixOf(digest: Uint8Array): string {
  return digest.subarray(0, PREFIX_BYTES).join(".");
}
