import { randomBytes, type ScryptOptions, scrypt } from "node:crypto";
import { fromBase64url, toBase64url } from "./base64url.ts";
import { sameBytes } from "./digest.ts";

/** A password, hashed by scrypt (RFC 7914). Its text is `scrypt$N$r$p$salt$hash`, with salt and hash in base64url. */
export interface PasswordHash {
  /** N: the cost in time and memory; a power of two. */
  readonly cost: number;
  /** r */
  readonly blockSize: number;
  /** p */
  readonly parallelization: number;
  readonly salt: Uint8Array;
  readonly hash: Uint8Array;
}

/** The longest password, in UTF-16 code units. */
export const MAX_PASSWORD_LENGTH = 1024;

/** 32 MiB and about 0.2 seconds: one of the settings that OWASP's Password Storage Cheat Sheet recommends. */
const COST = 2 ** 15;
const BLOCK_SIZE = 8;
const PARALLELIZATION = 3;
const SALT_BYTES = 16;
const HASH_BYTES = 32;

/** Weaker hashes are not accepted, nor those that take so long or so much memory that logins stop the gateway. */
const MIN_COST = 2 ** 14;
const MAX_MEMORY_BYTES = 128 * 1024 ** 2;
const MAX_PARALLELIZATION = 8;
const MAX_BYTES = 64;

const TEXT =
  /^scrypt\$(\d{1,8})\$(\d{1,3})\$(\d{1,2})\$([A-Za-z0-9_-]+)={0,2}\$([A-Za-z0-9_-]+)={0,2}$/;

/** Hashes a password with a new salt. */
export async function hashPassword(password: string): Promise<string> {
  const salt = randomBytes(SALT_BYTES);
  const hash = await derive(password, {
    ...{ cost: COST, blockSize: BLOCK_SIZE, parallelization: PARALLELIZATION },
    ...{ salt, hash: new Uint8Array(HASH_BYTES) },
  });
  const parameters = [COST, BLOCK_SIZE, PARALLELIZATION, toBase64url(salt), toBase64url(hash)];
  return `scrypt$${parameters.join("$")}`;
}

/** Returns a hash that no password has, and that takes as long to check as those that `hashPassword` makes. */
export function impossibleHash(): PasswordHash {
  return {
    ...{ cost: COST, blockSize: BLOCK_SIZE, parallelization: PARALLELIZATION },
    ...{ salt: randomBytes(SALT_BYTES), hash: randomBytes(HASH_BYTES) },
  };
}

/** Reads the text of a hash; returns what is wrong with it, if it can't be used. */
export function parsePasswordHash(text: string): PasswordHash | string {
  const [, cost, blockSize, parallelization, salt = "", hash = ""] = TEXT.exec(text) ?? [];
  if (cost === undefined) return 'must be "scrypt$N$r$p$salt$hash"';
  const parsed = {
    ...{ cost: Number(cost), blockSize: Number(blockSize) },
    parallelization: Number(parallelization),
    ...{ salt: bytesOf(salt), hash: bytesOf(hash) },
  };
  return faultOf(parsed) ?? parsed;
}

function faultOf(parsed: PasswordHash): string | undefined {
  const { cost, blockSize, parallelization, salt, hash } = parsed;
  if (cost < MIN_COST || !Number.isInteger(Math.log2(cost))) {
    return `must have a power of two for N, at least ${MIN_COST}`;
  }
  if (blockSize < BLOCK_SIZE) return `must have ${BLOCK_SIZE} or more for r`;
  if (128 * cost * blockSize > MAX_MEMORY_BYTES) {
    return `must not need more than ${MAX_MEMORY_BYTES} bytes (128 N r)`;
  }
  if (parallelization < 1 || parallelization > MAX_PARALLELIZATION) {
    return `must have 1 to ${MAX_PARALLELIZATION} for p`;
  }
  for (const [name, { length }, least] of [
    ["salt", salt, SALT_BYTES],
    ["hash", hash, HASH_BYTES],
  ] as const) {
    if (length < least || length > MAX_BYTES) {
      return `must have ${least} to ${MAX_BYTES} bytes for its ${name}`;
    }
  }
  return undefined;
}

/** Whether a password has a hash. It takes as long if it hasn't. */
export async function hasPassword(password: string, expected: PasswordHash): Promise<boolean> {
  return sameBytes(await derive(password, expected), expected.hash);
}

function derive(
  password: string,
  { salt, hash, ...parameters }: PasswordHash,
): Promise<Uint8Array> {
  const { cost, blockSize, parallelization } = parameters;
  // Somewhat more than it needs, as the runtimes count differently.
  const maxmem = 128 * blockSize * (cost + parallelization + 32) + 1024 ** 2;
  const options: ScryptOptions = { cost, blockSize, parallelization, maxmem };
  return new Promise((resolve, reject) => {
    // RFC 8265 §4.2: the same letters are the same password, however they were typed.
    scrypt(password.normalize("NFC"), salt, hash.length, options, (error, derived) => {
      // Bun has no error where Node has null.
      if (error) reject(error);
      else resolve(derived);
    });
  });
}

/** Returns the bytes of a part of a hash; none if it isn't base64url. */
function bytesOf(text: string): Uint8Array {
  try {
    return fromBase64url(text);
  } catch {
    return new Uint8Array();
  }
}
