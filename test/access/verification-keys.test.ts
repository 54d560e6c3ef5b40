import { beforeAll, describe, expect, test } from "bun:test";
import { VerificationKeys } from "../../src/access/verification-keys.ts";
import { newKey, type SigningKey, shortRsaKey } from "./support/signing-keys.ts";

const ALL = ["RS256", "PS256", "ES256", "EdDSA"];
const SECRET = "0123456789abcdef0123456789abcdef";

let es: SigningKey;
let rs: SigningKey;
beforeAll(async () => {
  [es, rs] = await Promise.all([newKey("es"), newKey("rs", "RS256")]);
});

/** The names of the keys that are found for each algorithm. */
async function found(text: string, algorithms = ALL, kid?: string) {
  const keys = await VerificationKeys.parse(text, algorithms);
  const names = algorithms.map((alg) => [alg, keys.find(alg, kid).map((key) => key.kid)] as const);
  return Object.fromEntries(names.filter(([, kids]) => kids.length > 0));
}

describe("Keys of an issuer", () => {
  test("may be a key set, a single key, or public keys in PEM", async () => {
    const set = JSON.stringify({ keys: [es.jwk, rs.jwk, "x", { kty: "new" }] });
    expect(await found(set)).toEqual({ RS256: ["rs"], PS256: ["rs"], ES256: ["es"] });
    expect(await found(JSON.stringify(es.jwk))).toEqual({ ES256: ["es"] });
    expect(await found(`# ours\n${es.pem}\n${rs.pem}`)).toEqual({
      RS256: [undefined],
      PS256: [undefined],
      ES256: [undefined],
    });
  });

  test("are found by name, and those without a name by any", async () => {
    const set = JSON.stringify({
      keys: [es.jwk, { ...es.jwk, kid: "2" }, { ...es.jwk, kid: undefined }],
    });
    expect(await found(set, ["ES256"], "2")).toEqual({ ES256: ["2"] });
    expect(await found(set, ["ES256"], "3")).toEqual({ ES256: [undefined] });
    expect(await found(set, ["ES256"])).toEqual({ ES256: ["es", "2", undefined] });
  });

  test("are tried four at a time", async () => {
    const set = JSON.stringify({ keys: Array(50).fill(es.jwk) });
    expect((await found(set, ["ES256"], "es")).ES256).toHaveLength(4);
  });

  test.each<[string, () => Record<string, unknown>]>([
    ["another use", () => ({ ...es.jwk, use: "enc" })],
    ["other operations", () => ({ ...es.jwk, key_ops: ["sign"] })],
    ["another algorithm", () => ({ ...es.jwk, alg: "ES384" })],
    ["another curve", () => ({ ...es.jwk, crv: "P-384" })],
    ["a private part", () => ({ ...es.privateJwk })],
    ["a point that isn't on its curve", () => ({ ...es.jwk, x: es.jwk.y, y: es.jwk.x })],
    ["a name that is no text", () => ({ ...es.jwk, kid: 5 })],
    ["1024 bits of RSA", () => ({ ...shortRsaKey().jwk })],
    ["a secret", () => ({ kty: "oct", k: "A".repeat(86) })],
  ])("aren't those with %s", async (_, jwk) => {
    await expect(found(JSON.stringify({ keys: [jwk()] }))).rejects.toThrow("has no key for");
    expect(await found(JSON.stringify({ keys: [jwk(), rs.jwk] }), ["RS256"])).toEqual({
      RS256: ["rs"],
    });
  });

  test("may be a secret, for algorithms that have one only", async () => {
    const algorithms = ["HS256", "HS384"];
    expect(await found(`${SECRET}\n`, algorithms)).toEqual({ HS256: [undefined] });
    const jwk = { kty: "oct", k: Buffer.from(SECRET).toString("base64url"), kid: "s" };
    expect(await found(JSON.stringify(jwk), algorithms)).toEqual({ HS256: ["s"] });
    for (const text of [SECRET.slice(1), es.pem, JSON.stringify(es.jwk), ""]) {
      await expect(found(text, algorithms)).rejects.toThrow();
    }
    await expect(found(SECRET, ["ES256"])).rejects.toThrow("must be a JSON Web Key Set");
    await expect(found(SECRET, ["ES256", "HS256"])).rejects.toThrow("must be a JSON Web Key Set");
  });

  test("in PEM aren't private keys", async () => {
    const pem = "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----";
    await expect(found(pem)).rejects.toThrow('must have blocks "PUBLIC KEY" or "CERTIFICATE" only');
    await expect(
      found("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"),
    ).rejects.toThrow("has no key for");
  });
});
