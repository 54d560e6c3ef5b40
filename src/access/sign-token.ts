import { createPrivateKey } from "node:crypto";
import { importJWK, type JWK, type JWTPayload, SignJWT } from "jose";
import { isObject } from "../protocol/schema.ts";
import { ALGORITHMS, isAlgorithm, isSymmetric, keyTypeOf } from "./algorithms.ts";
import { parseStrictJson } from "./strict-json.ts";

/** The claims to sign, and the key to sign them with. */
export interface SignRequest {
  /** A private key in PEM or as a JSON Web Key (or a set of them, whose first private key counts), or the secret of HS algorithms as it is. */
  readonly key: string;
  /** Default: that of the key, or the first one that fits it. */
  readonly algorithm?: string | undefined;
  /** Default: that of the key, if it has one. */
  readonly keyId?: string | undefined;
  /** The header `typ`. */
  readonly type: string;
  readonly claims: Readonly<Record<string, unknown>>;
}

/**
 * Signs a JSON Web Token (RFC 7519), for tests: a gateway has no private keys.
 *
 * @throws RangeError if the key can't be used; it quotes nothing of it.
 */
export async function signToken(request: SignRequest): Promise<string> {
  const { type, claims } = request;
  const jwk = readKey(request.key.trim());
  const { algorithm = algorithmOf(jwk), keyId = jwk.kid } = request;
  const expected = keyTypeOf(algorithm);
  if (expected === undefined) throw new RangeError(`must not be for the algorithm ${algorithm}`);
  if (expected.kty !== jwk.kty || (expected.crv !== undefined && expected.crv !== jwk.crv)) {
    throw new RangeError(`is not for the algorithm ${algorithm}`);
  }
  const isShort = isSymmetric(algorithm) && Number(algorithm.slice(2)) / 8 > secretBytes(jwk);
  if (isShort)
    throw new RangeError(
      `must have ${Number(algorithm.slice(2)) / 8} bytes or more for ${algorithm}`,
    );
  const key = await importJWK({ ...jwk, alg: algorithm }, algorithm).catch(() => {
    throw new RangeError("can't be used: it isn't complete");
  });
  return await new SignJWT(claims as JWTPayload)
    .setProtectedHeader({ alg: algorithm, typ: type, ...(keyId !== undefined && { kid: keyId }) })
    .sign(key);
}

function readKey(text: string): JWK {
  if (text === "") throw new RangeError("is empty");
  if (text.includes("-----BEGIN ")) return keyInPem(text);
  if (!text.startsWith("{")) return { kty: "oct", k: Buffer.from(text).toString("base64url") };
  const json = parseStrictJson(text);
  if ("fault" in json) throw new RangeError(`can't be used: ${json.fault}`);
  const set = isObject(json.value) ? json.value : {};
  const members: unknown[] = set.kty === undefined && Array.isArray(set.keys) ? set.keys : [set];
  const found = members.find(
    (jwk) => isObject(jwk) && (jwk.d !== undefined || jwk.k !== undefined),
  );
  if (found === undefined) throw new RangeError("must have a private key");
  return found as JWK;
}

function keyInPem(pem: string): JWK {
  try {
    return createPrivateKey(pem).export({ format: "jwk" }) as JWK;
  } catch {
    throw new RangeError("must have a private key in PEM, without a password");
  }
}

/** Returns the algorithm that a key names, or the first one that fits it. */
function algorithmOf({ alg, kty, crv }: JWK): string {
  if (alg !== undefined && isAlgorithm(alg)) return alg;
  const fitting = ALGORITHMS.find((name) => {
    const type = keyTypeOf(name);
    return type?.kty === kty && (type?.crv === undefined || type.crv === crv);
  });
  if (fitting === undefined) throw new RangeError("is of a type that signs no tokens");
  return fitting;
}

function secretBytes({ k = "" }: JWK): number {
  return Buffer.from(k, "base64url").length;
}
