import {
  calculateJwkThumbprint,
  exportJWK,
  importJWK,
  importSPKI,
  importX509,
  type JWK,
} from "jose";
import { isObject } from "../protocol/schema.ts";
import { isSymmetric, keyTypeOf } from "./algorithms.ts";
import { parseStrictJson } from "./strict-json.ts";
import { FileFault } from "./watched-files.ts";

/** A key of an issuer, for one algorithm. */
export interface VerificationKey {
  /** `kid` (RFC 7517 §4.5); `undefined`: the key has no name. */
  readonly kid: string | undefined;
  readonly alg: string;
  readonly key: CryptoKey | Uint8Array;
  /** Names the key and the algorithm by their contents, whatever form and `kid` the key has. */
  readonly id: string;
}

/** Public keys are read so that they can be named by their contents. */
const EXTRACTABLE = { extractable: true };

/** The most keys of a set, and the most that are tried for one token. */
const MAX_KEYS = 100;
const MAX_TRIED = 4;
/** The shortest RSA key (RFC 7518 §3.3). */
const MIN_RSA_BITS = 2048;

const PEM_BLOCK = /-----BEGIN ([A-Z0-9 ]+)-----[^-]*-----END \1-----/g;

/** The keys of an issuer that can check signatures of its algorithms. */
export class VerificationKeys {
  readonly #keys: readonly VerificationKey[];
  /** The `id`s of the keys. */
  readonly ids: ReadonlySet<string>;

  private constructor(keys: readonly VerificationKey[]) {
    this.#keys = keys;
    this.ids = new Set(keys.map(({ id }) => id));
  }

  /**
   * Reads a JSON Web Key Set (RFC 7517 §5), one JSON Web Key, public keys or certificates in PEM, or the secret of HS
   * algorithms as it is. Skips keys for other uses and algorithms.
   *
   * @throws FileFault if there is no key that can be used; quotes nothing of the text.
   */
  static async parse(text: string, algorithms: readonly string[]): Promise<VerificationKeys> {
    const trimmed = text.trim();
    if (trimmed === "") throw new FileFault("is empty");
    if (trimmed.startsWith("{")) return await VerificationKeys.parseSet(trimmed, algorithms);
    const keys = trimmed.includes("-----BEGIN ")
      ? await keysInPem(trimmed, algorithms)
      : await secretOf(trimmed, algorithms);
    return VerificationKeys.#of(keys, algorithms);
  }

  /**
   * Reads a JSON Web Key Set, or one JSON Web Key.
   *
   * @throws FileFault if there is no key that can be used; quotes nothing of the text.
   */
  static async parseSet(text: string, algorithms: readonly string[]): Promise<VerificationKeys> {
    return VerificationKeys.#of(await keysInJson(text, algorithms), algorithms);
  }

  static #of(keys: readonly VerificationKey[], algorithms: readonly string[]): VerificationKeys {
    if (keys.length === 0) throw new FileFault(`has no key for ${algorithms.join(", ")}`);
    return new VerificationKeys(keys);
  }

  /**
   * Returns the keys that may have signed a token: those with its `kid`, and if there is none, those without a
   * name.
   */
  find(alg: string, kid: string | undefined): readonly VerificationKey[] {
    const fitting = this.#keys.filter((key) => key.alg === alg);
    const named = kid === undefined ? fitting : fitting.filter((key) => key.kid === kid);
    const found = named.length > 0 ? named : fitting.filter((key) => key.kid === undefined);
    return found.slice(0, MAX_TRIED);
  }
}

async function keysInJson(
  text: string,
  algorithms: readonly string[],
): Promise<readonly VerificationKey[]> {
  const json = parseStrictJson(text);
  if ("fault" in json) throw new FileFault(`can't be used: ${json.fault}`);
  const set = isObject(json.value) ? json.value : {};
  const members = set.kty === undefined ? set.keys : [set];
  if (!Array.isArray(members)) throw new FileFault('must have a list of "keys" (RFC 7517 §5)');
  if (members.length > MAX_KEYS) throw new FileFault(`must not have more than ${MAX_KEYS} keys`);
  const keys = members.flatMap((jwk: unknown) =>
    isObject(jwk) ? algorithms.filter((alg) => fits(jwk, alg)).map((alg) => keyOf(jwk, alg)) : [],
  );
  return (await Promise.all(keys)).filter((key) => key !== undefined);
}

/** Whether a JSON Web Key (RFC 7517 §4) checks signatures of an algorithm. */
function fits(jwk: Readonly<Record<string, unknown>>, algorithm: string): boolean {
  const { kty, crv, alg, use, key_ops: operations, kid, d } = jwk;
  const type = keyTypeOf(algorithm);
  return (
    type !== undefined &&
    kty === type.kty &&
    (type.crv === undefined || crv === type.crv) &&
    (alg === undefined || alg === algorithm) &&
    (use === undefined || use === "sig") &&
    (operations === undefined || (Array.isArray(operations) && operations.includes("verify"))) &&
    (kid === undefined || typeof kid === "string") &&
    // A private key that is published is anybody's.
    d === undefined
  );
}

async function keyOf(
  jwk: Readonly<Record<string, unknown>>,
  alg: string,
): Promise<VerificationKey | undefined> {
  try {
    const key = await importJWK(jwk as JWK, alg, EXTRACTABLE);
    const kid = typeof jwk.kid === "string" ? jwk.kid : undefined;
    return isStrong(key, alg) ? await named(key, alg, kid) : undefined;
  } catch {
    // One broken key of an issuer doesn't stop the others.
    return undefined;
  }
}

async function keysInPem(
  text: string,
  algorithms: readonly string[],
): Promise<readonly VerificationKey[]> {
  const blocks = [...text.matchAll(PEM_BLOCK)];
  if (blocks.length > MAX_KEYS) throw new FileFault(`must not have more than ${MAX_KEYS} keys`);
  const keys = blocks.flatMap(([pem, label = ""]) => {
    if (label !== "PUBLIC KEY" && label !== "CERTIFICATE") {
      throw new FileFault('must have blocks "PUBLIC KEY" or "CERTIFICATE" only');
    }
    const read = label === "CERTIFICATE" ? importX509 : importSPKI;
    return algorithms
      .filter((alg) => !isSymmetric(alg))
      .map(async (alg): Promise<VerificationKey | undefined> => {
        const key = await read(pem, alg, EXTRACTABLE).catch(() => undefined);
        return key !== undefined && isStrong(key, alg) ? await named(key, alg) : undefined;
      });
  });
  return (await Promise.all(keys)).filter((key) => key !== undefined);
}

/** A public key must never become a secret, so a text is one only if there are no other algorithms. */
async function secretOf(
  text: string,
  algorithms: readonly string[],
): Promise<readonly VerificationKey[]> {
  if (!algorithms.every(isSymmetric)) {
    throw new FileFault("must be a JSON Web Key Set, or have public keys in PEM");
  }
  const key = new TextEncoder().encode(text);
  const strong = algorithms.filter((alg) => isStrong(key, alg));
  if (strong.length === 0) throw new FileFault("must have a secret of 32 bytes or more");
  return await Promise.all(strong.map((alg) => named(key, alg)));
}

async function named(
  key: CryptoKey | Uint8Array,
  alg: string,
  kid?: string,
): Promise<VerificationKey> {
  return { kid, alg, key, id: `${alg} ${await calculateJwkThumbprint(await exportJWK(key))}` };
}

/** Whether a key is long enough: RSA keys by RFC 7518 §3.3, secrets as long as the hash (§3.2). */
function isStrong(key: CryptoKey | Uint8Array, alg: string): boolean {
  if (key instanceof Uint8Array) return key.length >= Number(alg.slice(2)) / 8;
  const { modulusLength = MIN_RSA_BITS } = key.algorithm as { modulusLength?: number };
  return key.type === "public" && modulusLength >= MIN_RSA_BITS;
}
