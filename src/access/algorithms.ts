/** The type and the curve that a key must have for an algorithm (RFC 7518 §3.1, RFC 8037 §3.1). */
const KEY_TYPES = {
  RS256: { kty: "RSA" },
  RS384: { kty: "RSA" },
  RS512: { kty: "RSA" },
  PS256: { kty: "RSA" },
  PS384: { kty: "RSA" },
  PS512: { kty: "RSA" },
  ES256: { kty: "EC", crv: "P-256" },
  ES384: { kty: "EC", crv: "P-384" },
  ES512: { kty: "EC", crv: "P-521" },
  EdDSA: { kty: "OKP", crv: "Ed25519" },
  HS256: { kty: "oct" },
  HS384: { kty: "oct" },
  HS512: { kty: "oct" },
} as const satisfies Readonly<Record<string, KeyType>>;

interface KeyType {
  readonly kty: string;
  readonly crv?: string;
}

/** A signature algorithm. */
export type Algorithm = keyof typeof KEY_TYPES;

/** The signature algorithms that an issuer may use. `none` is not one of them. */
export const ALGORITHMS = Object.keys(KEY_TYPES) as readonly Algorithm[];

/** Whether a signature algorithm is known here. */
export function isAlgorithm(name: string): name is Algorithm {
  return Object.hasOwn(KEY_TYPES, name);
}

/** Returns the type of the keys of an algorithm; `undefined` if it isn't known. */
export function keyTypeOf(name: string): KeyType | undefined {
  return isAlgorithm(name) ? KEY_TYPES[name] : undefined;
}

/** Whether the keys of an algorithm are secrets, with which tokens can also be made. */
export function isSymmetric(name: string): boolean {
  return keyTypeOf(name)?.kty === "oct";
}
