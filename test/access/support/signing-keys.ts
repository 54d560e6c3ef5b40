import { createSign, generateKeyPairSync, type KeyObject } from "node:crypto";
import type { CryptoKey } from "jose";
import { exportJWK, exportSPKI, generateKeyPair, type JWK } from "jose";

/** A key of an issuer in a test. */
export interface SigningKey {
  readonly kid: string;
  readonly alg: string;
  readonly privateKey: CryptoKey;
  readonly jwk: JWK;
  readonly privateJwk: JWK;
  readonly pem: string;
}

export async function newKey(kid: string, alg = "ES256"): Promise<SigningKey> {
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true });
  const jwk = { ...(await exportJWK(publicKey)), kid };
  const privateJwk = { ...(await exportJWK(privateKey)), kid };
  return { kid, alg, privateKey, jwk, privateJwk, pem: await exportSPKI(publicKey) };
}

/** A key set (RFC 7517 §5). */
export function keySet(...keys: readonly SigningKey[]): string {
  return JSON.stringify({ keys: keys.map(({ jwk }) => jwk) });
}

/** An RSA key that is too short for jose to make. */
export function shortRsaKey(): { privateKey: KeyObject; jwk: JWK } {
  const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 1024 });
  return { privateKey, jwk: { ...(publicKey.export({ format: "jwk" }) as JWK), kid: "short" } };
}

export function signedByRsa(signed: string, privateKey: KeyObject): string {
  const signature = createSign("sha256").update(signed).sign(privateKey).toString("base64url");
  return `${signed}.${signature}`;
}
