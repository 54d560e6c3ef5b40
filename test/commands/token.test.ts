import { describe, expect, test } from "bun:test";
import { generateKeyPairSync } from "node:crypto";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { tokenParts } from "../../src/access/jwt.ts";
import { run } from "./host.ts";

const folder = mkdtempSync(join(tmpdir(), "spillway-token-"));
const pair = generateKeyPairSync("ec", { namedCurve: "P-256" });
const PRIVATE = pair.privateKey.export({ format: "pem", type: "pkcs8" }) as string;
const keysFile = join(folder, "keys.pem");
writeFileSync(keysFile, pair.publicKey.export({ format: "pem", type: "spki" }));

const ISSUER = { issuer: "https://login", audience: "spillway", keys_file: keysFile };
const files = {
  "f.json": { issuers: [{ ...ISSUER, algorithms: ["ES256"] }], subjects: ["orders.>", "stock.>"] },
  "key.pem": PRIVATE,
};
const CONFIG = ["--config", "f.json"];

async function made(...argv: string[]): Promise<string> {
  const { code, output, error } = await run(
    ["token", "make", ...CONFIG, "--key", "key.pem", "--sub", "u_42", ...argv],
    { files },
  );
  expect({ code, error }).toEqual({ code: 0, error: "" });
  return output.trim();
}

describe("spillway token make", () => {
  test("makes a token of the configuration's issuer, which token inspect takes", async () => {
    const token = await made(
      "--allow",
      "orders.u_42.>",
      "--deny",
      "orders.u_42.secret",
      "--ttl",
      "5m",
    );
    const parts = tokenParts(token);
    expect(parts?.header).toEqual({ alg: "ES256", typ: "at+jwt" });
    expect(parts?.claims).toMatchObject({ iss: "https://login", aud: "spillway", sub: "u_42" });
    const { iat, exp } = (parts?.claims ?? {}) as { iat: number; exp: number };
    expect(exp - iat).toBe(300);
    const inspected = await run(["token", "inspect", ...CONFIG], { files, input: `${token}\n` });
    expect(inspected.code).toBe(0);
    expect(inspected.output).toContain('takes it: "u_42" of the issuer "https://login"\n');
    expect(inspected.output).toContain(
      "  may receive: orders.u_42.>, but not orders.u_42.secret\n",
    );
    expect(inspected.output).toContain("  may publish: nothing\n");
  });

  test("takes further claims and header fields, and a key from the standard input", async () => {
    const details = '[{"type":"spillway","actions":["publish"],"subjects":{"allow":["chat.>"]}}]';
    const { output, error } = await run(
      [
        ...["token", "make", "--iss", "me", "--aud", "you", "--sub", "a", "--alg", "HS512"],
        ...["--kid", "k1", "--typ", "JWT", "--claim", "role=admin"],
        ...["--claim", `authorization_details=${details}`],
      ],
      { input: "s".repeat(64) },
    );
    expect(error).toBe("");
    expect(tokenParts(output.trim())).toMatchObject({
      header: { alg: "HS512", kid: "k1", typ: "JWT" },
      claims: { iss: "me", aud: "you", role: "admin", authorization_details: JSON.parse(details) },
    });
  });

  test.each<[string[], string, string]>([
    [
      ["--sub", "a"],
      PRIVATE,
      "Cannot make the token without its iss: set --iss, or name a configuration that has issuers (--config)",
    ],
    [["--iss", "a", "--aud", "b"], PRIVATE, "Cannot make the token without its sub: set --sub"],
    [
      ["--iss", "a", "--aud", "b", "--sub", "c"],
      "short",
      "Cannot sign with the key, as it must have 32 bytes or more for HS256",
    ],
    [["--iss", "a", "--aud", "b", "--sub", "c"], "", "Cannot sign with the key, as it is empty"],
    [
      ["--iss", "a", "--aud", "b", "--sub", "c", "--alg", "RS256"],
      PRIVATE,
      "Cannot sign with the key, as it is not for the algorithm RS256",
    ],
    [
      ["--iss", "a", "--aud", "b", "--sub", "c", "--key", "none.pem"],
      "",
      "Cannot read the key: no such file",
    ],
    [
      ["--iss", "a", "--aud", "b", "--sub", "c", "--ttl", "5"],
      "",
      '"--ttl" is "5" but must be a duration like "10m", of at least "1s"',
    ],
    [
      ["--iss", "a", "--aud", "b", "--sub", "c", "--ttl", "0s"],
      "",
      '"--ttl" is "0s" but must be a duration like "10m", of at least "1s"',
    ],
    [
      ["--iss", "a", "--aud", "b", "--sub", "c", "--claim", "x"],
      "",
      '"--claim" is "x" but must be like "role=admin"',
    ],
    [
      ["--iss", "a", "--aud", "b", "--sub", "c", "--allow", "a..b"],
      PRIVATE,
      'Cannot make the token: "authorization_details"',
    ],
  ])("%j is refused with 1, and shows no key", async (argv, input, says) => {
    const { code, output, error } = await run(["token", "make", ...argv], { input });
    expect({ code, output }).toEqual({ code: 1, output: "" });
    expect(error).toStartWith(says);
    expect(error).not.toContain("PRIVATE");
  });
});

describe("spillway token inspect", () => {
  test("says why the configuration refuses a token", async () => {
    const other = { "f.json": { issuers: [{ ...ISSUER, audience: "other" }] } };
    const input = await made();
    const refused = await run(["token", "inspect", ...CONFIG], { files: other, input });
    expect(refused.code).toBe(1);
    expect(refused.output).toContain(
      "refuses it (unauthenticated): The token isn't for this gateway: its audience (aud) is another one.",
    );
    const json = await run(["token", "inspect", ...CONFIG, "--json"], { files: other, input });
    expect(JSON.parse(json.output)).toMatchObject({
      claims: { sub: "u_42" },
      accepted: false,
      kind: "unauthenticated",
      not_asked: [],
    });
  });

  test("says that a text is no JSON Web Token, and that nothing reads tokens", async () => {
    const { code, output } = await run(["token", "inspect"], { input: "hello" });
    expect(code).toBe(1);
    expect(output).toContain("This is no JSON Web Token.\n");
    expect(output).toMatch(/This configuration reads no tokens: .+ name it with --config\.\n/);
  });

  test("names what it doesn't ask", async () => {
    const asking = {
      "f.json": {
        ...files["f.json"],
        nats_url: "nats://a",
        authorizer_subject: "auth",
        revocation_bucket: "r",
      },
    };
    const { output } = await run(["token", "inspect", ...CONFIG], {
      files: asking,
      input: await made(),
    });
    expect(output).toContain(
      "Not asked here: authorizer_subject.\nNot asked here: revocation_bucket.\n",
    );
  });

  test("needs a token", async () => {
    expect(await run(["token", "inspect"])).toEqual({
      code: 1,
      output: "",
      error:
        "Cannot inspect the token: standard input has none\nMore: spillway explain COMMAND_INVALID\n",
    });
  });
});
