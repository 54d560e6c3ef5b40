import { describe, expect, test } from "bun:test";
import { nkeys } from "nats";
import { parseConfig } from "../../src/config/parse.ts";
import { readNatsOptions } from "../../src/gateway/nats-options.ts";
import { createOperator } from "../source/credentials.ts";

const seedOf = (pair: ReturnType<typeof nkeys.createUser>): string =>
  new TextDecoder().decode(pair.getSeed());
const pem = (what: string): string => `-----BEGIN ${what}-----\nMIIB\n-----END ${what}-----\n`;

const USER_SEED = seedOf(nkeys.createUser());
const CERTIFICATE = pem("CERTIFICATE");
const PRIVATE_KEY = pem("EC PRIVATE KEY");

/** What is made of such files: the path is the content. */
function read(files: Readonly<Record<string, string>>) {
  const config = parseConfig({ nats_url: "nats://127.0.0.1", ...files });
  const never = () => Promise.reject(new Error("Dialled")) as never;
  return readNatsOptions(config, never, async (path) => path);
}

describe("Files for NATS", () => {
  test("are read, each into its own place", async () => {
    const { creds } = createOperator();
    expect(await read({ nats_nkey_file: `${USER_SEED}\n` })).toMatchObject({
      nkeySeed: `${USER_SEED}\n`,
    });
    expect(await read({ nats_creds_file: creds })).toMatchObject({ creds });
    expect(
      await read({
        nats_tls_ca_file: CERTIFICATE,
        nats_tls_cert_file: CERTIFICATE,
        nats_tls_key_file: PRIVATE_KEY,
      }),
    ).toMatchObject({ tls: { ca: CERTIFICATE, cert: CERTIFICATE, key: PRIVATE_KEY } });
  });

  test("may have a password or a token, of which the last line break is no part", async () => {
    const user = { nats_user: "u" };
    expect(await read({ ...user, nats_password_file: "p w\n" })).toMatchObject({
      user: "u",
      password: "p w",
    });
    expect(await read({ ...user, nats_password: "p" })).toMatchObject({ password: "p" });
    expect(await read({ nats_token_file: "t\r\n" })).toMatchObject({ token: "t" });
    expect(await read({ nats_token: "t" })).toMatchObject({ token: "t" });
  });

  test.each([
    ["nats_password_file", { nats_user: "u", nats_password_file: "two\nlines" }],
    ["nats_token_file", { nats_token_file: "\n" }],
    ["nats_nkey_file", { nats_nkey_file: "nonsense" }],
    ["nats_nkey_file", { nats_nkey_file: USER_SEED.slice(0, -2) }],
    ["nats_nkey_file", { nats_nkey_file: nkeys.createUser().getPublicKey() }],
    ["nats_nkey_file", { nats_nkey_file: seedOf(nkeys.createOperator()) }],
    ["nats_creds_file", { nats_creds_file: USER_SEED }],
    ["nats_creds_file", { nats_creds_file: createOperator().creds.replace(/^SU.*$/m, "SUNONE") }],
    ["nats_tls_ca_file", { nats_tls_ca_file: PRIVATE_KEY }],
    ["nats_tls_cert_file", { nats_tls_cert_file: "nonsense", nats_tls_key_file: PRIVATE_KEY }],
    ["nats_tls_key_file", { nats_tls_cert_file: CERTIFICATE, nats_tls_key_file: CERTIFICATE }],
  ])("with something else in them are refused, naming %s (%#)", async (key, files) => {
    const thrown = await read(files).catch((error: unknown) => error);
    expect(thrown).toMatchObject({
      class: "invalid",
      code: "CONFIG_INVALID",
      message: expect.stringMatching(new RegExp(`"${key}" is .* but must hold`, "s")),
    });
  });
});
