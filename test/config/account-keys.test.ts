import { describe, expect, test } from "bun:test";
import { checkReport } from "../../src/config/describe.ts";
import { parseConfig } from "../../src/config/parse.ts";
import { load, loadRefusalOf, refusalOf } from "./refusal.ts";

const SECRET = "hunter2";
const nats_url = "nats://localhost:4222";
const tokens_file = "/run/tokens.json";
const acme = { name: "acme", nats_creds_file: "/run/acme.creds" };

/** The text with which accounts are refused, without what all such texts begin with. */
function accountsRefusal(accounts: unknown, more: object = {}): string {
  return refusalOf({ nats_url, ...more, accounts }).replace(/^Cannot use configuration: /, "");
}

describe("Accounts", () => {
  test("have the fields of the configuration's own connection", () => {
    const [account] = parseConfig({ nats_url, accounts: [acme] }).accounts;
    expect(account).toEqual({ name: "acme", natsCredsFile: "/run/acme.creds" } as never);
    const own = { name: "globex", nats_url: "nats://a,nats://b", nats_user: "u" };
    expect(parseConfig({ accounts: [own] }).accounts).toEqual([
      { name: "globex", natsUrls: ["nats://a", "nats://b"], natsUser: "u" } as never,
    ]);
  });

  test.each([
    [
      "is no list",
      acme,
      '"accounts" is an object but must be a list of objects with name and a login',
    ],
    ["has no name", [{ nats_user: "u" }], '"accounts[0].name" is missing but must be a name'],
    [
      "has a name with a dot",
      [{ ...acme, name: "a.b" }],
      '"accounts[0].name" is "a.b" but must be a name',
    ],
    [
      "has a misspelt field",
      [{ ...acme, nats_usr: "u" }],
      '"accounts[0].nats_usr" is not a known key; did you mean "nats_user"?',
    ],
    [
      "has the name of another",
      [acme, { ...acme }],
      '"accounts[1].name" is "acme" but must not be the name of another account',
    ],
    [
      "has two logins",
      [{ ...acme, nats_user: "u" }],
      '"accounts[0].nats_creds_file" is "/run/acme.creds" but must not be set with "nats_user": use only one way to log in',
    ],
    [
      "has a password without a user",
      [{ ...acme, nats_password_file: "/p" }],
      '"accounts[0].nats_password_file" is "/p" but must not be set without "nats_user"',
    ],
    [
      "has half a certificate",
      [{ ...acme, nats_tls_key_file: "/k" }],
      '"accounts[0].nats_tls_key_file" is "/k" but must not be set without "nats_tls_cert_file"',
    ],
    [
      "has nothing of its own",
      [{ name: "acme" }],
      '"accounts[0].nats_url" is missing but must be set, or a login: account "acme" would be the same as without it',
    ],
    [
      "logs in as the default connection",
      [{ name: "acme", nats_url }],
      '"accounts[0].name" is "acme" but must have another login or nats_url than the connection of "nats_url"',
    ],
    [
      "logs in as another one",
      [acme, { ...acme, name: "other" }],
      '"accounts[1].name" is "other" but must have another login or nats_url than account "acme"',
    ],
    [
      "logs in as another one at one of its servers",
      [
        { ...acme, nats_url: ["nats://b", "nats://c"] },
        { ...acme, name: "other", nats_url: "nats://c" },
      ],
      '"accounts[1].name" is "other" but must have another login or nats_url than account "acme"',
    ],
  ])("that %s is refused", (_, accounts, problem) => {
    expect(accountsRefusal(accounts)).toContain(problem);
  });

  test("with equal logins may be of different servers", () => {
    const accounts = [acme, { ...acme, name: "other", nats_url: "nats://elsewhere" }];
    expect(parseConfig({ nats_url: "nats://a", accounts }).accounts).toHaveLength(2);
  });

  test("without nats_url need one for all, which has no login that would take precedence", () => {
    expect(refusalOf({ accounts: [acme] })).toContain(
      '"accounts[0].nats_url" is missing but must be set, as "nats_url" is not',
    );
    expect(accountsRefusal([acme], { nats_url: `nats://u:${SECRET}@a` })).toBe(
      '"accounts[0].nats_url" is missing but must be set: the URLs of "nats_url" have a login, which would be used instead',
    );
  });

  test("that anonymous names must be there", () => {
    const anonymous = [{ subjects: { allow: ["a"] }, account: "initech" }];
    expect(accountsRefusal([acme], { anonymous })).toBe(
      '"anonymous[0].account" is "initech" but must be the name of one of "accounts"',
    );
  });

  test("need something that tells which client is of which account", async () => {
    const files = { f: { nats_url, accounts: [acme] } };
    expect(await loadRefusalOf({ argv: ["--config", "f"], files })).toContain(
      '"accounts" is a list of 1 but nothing says which client is of which account: set',
    );
    const authorized = { f: { nats_url, accounts: [acme], tokens_file } };
    expect(await load({ argv: ["--config", "f"], files: authorized })).toHaveProperty("config");
  });

  test("may be all that there is of NATS, also with streams", async () => {
    const accounts = [{ name: "acme", nats_url }];
    const files = { f: { accounts, tokens_file, streams: ["ORDERS"] } };
    expect(await load({ argv: ["--config", "f"], files })).toHaveProperty("config");
    const without = { f: { ...files.f, authorizer_subject: "_AUTH.gateway" } };
    expect(await loadRefusalOf({ argv: ["--config", "f"], files: without })).toContain(
      '"authorizer_subject" is "_AUTH.gateway" but needs NATS: set "nats_url"',
    );
  });

  test("are reported without their secrets, and errors don't show them", async () => {
    const accounts = [
      { name: "acme", nats_user: "u", nats_password: SECRET },
      { name: "globex", nats_token: SECRET },
      { name: "initech", nats_url: `nats://u:${SECRET}@a` },
    ];
    const files = { f: { nats_url, accounts, tokens_file } };
    const loaded = await load({ argv: ["--config", "f"], files });
    const report = checkReport(loaded);
    expect(report).not.toContain(SECRET);
    expect(report).toContain(
      '[{"name":"acme","nats_user":"u","nats_password":"***"},{"name":"globex","nats_token":"***"},{"name":"initech","nats_url":["nats://***@a"]}]',
    );
    for (const wrong of [
      { nats_user: "u", nats_token: SECRET },
      { nats_password: SECRET },
      { nats_password: [SECRET] },
      { nats_url: `http://u:${SECRET}@a` },
      { nats_url: [`nats://a`, `ws://u:${SECRET}@a`] },
    ]) {
      expect(accountsRefusal([{ name: "acme", ...wrong }])).not.toContain(SECRET);
    }
  });
});
