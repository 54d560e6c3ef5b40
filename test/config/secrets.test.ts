import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { loadRefusalOf, type Sources } from "./refusal.ts";

const SECRET = "hunter2";

describe("Secrets never appear in errors:", () => {
  test.each<[string, Sources]>([
    ["password without NATS", { env: { SPILLWAY_NATS_PASSWORD: SECRET } }],
    ["password without user", { env: { SPILLWAY_NATS_PASSWORD: SECRET, NATS_URL: "nats://a" } }],
    [
      "token beside user",
      { env: { SPILLWAY_NATS_TOKEN: SECRET, SPILLWAY_NATS_USER: "u", NATS_URL: "nats://a" } },
    ],
    [
      "password that is a list",
      { argv: ["--config", "f"], files: { f: { nats_password: [SECRET] } } },
    ],
    ["misspelt key", { argv: ["--config", "f"], files: { f: { nats_pasword: SECRET } } }],
    ["misspelt variable", { env: { SPILLWAY_NATS_PASWORD: SECRET } }],
    ["unknown flag, in two words", { argv: ["--nats-password", SECRET] }],
    ["unknown flag, in one word", { argv: [`--nats-password=${SECRET}`] }],
    ["unknown short flag", { argv: [`-p=${SECRET}`] }],
    [
      "file that is no JSON",
      { argv: ["--config", "f"], files: { f: `{"nats_password": ${SECRET}}` } },
    ],
    ["file that is a JSON text", { argv: ["--config", "f"], files: { f: `"${SECRET}"` } }],
    ["login in a URL of another scheme", { env: { NATS_URL: `http://u:${SECRET}@a` } }],
    ["login in a URL without a scheme", { env: { NATS_URL: `u:${SECRET}@a` } }],
    ["login that has a comma", { env: { NATS_URL: `nats://u:${SECRET},x@a` } }],
    ["login in a URL of another transport", { argv: ["--nats", `nats://a,ws://u:${SECRET}@b`] }],
    ["token in a URL's query", { env: { NATS_URL: `nats://a?jwt=${SECRET},b` } }],
    [
      "login in the URL of keys",
      {
        argv: ["--config", "f"],
        files: {
          f: { issuers: [{ issuer: "i", audience: "a", jwks_url: `https://u:${SECRET}@i` }] },
        },
      },
    ],
    [
      "object where a port belongs",
      { argv: ["--config", "f"], files: { f: { port: { nats_token: SECRET } } } },
    ],
  ])("%s", async (_, sources) => {
    expect(await loadRefusalOf(sources)).not.toContain(SECRET);
  });

  test("nor do they when anything else is wrong as well", async () => {
    const wrong = fc.constantFrom(
      '{"nats_user":5}',
      '{"port":1}',
      "{,}",
      '{"ports":[]}',
      '{"components":{}}',
    );
    await fc.assert(
      fc.asyncProperty(wrong, fc.boolean(), async (file, url) => {
        const env = {
          SPILLWAY_NATS_PASSWORD: SECRET,
          SPILLWAY_NATS_TOKEN: SECRET,
          ...(url && { NATS_URL: `nats://u:${SECRET}@host` }),
        };
        const line = await loadRefusalOf({ argv: ["--config", "f"], env, files: { f: file } });
        expect(line).not.toContain(SECRET);
      }),
    );
  });
});
