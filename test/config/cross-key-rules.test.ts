import { describe, expect, test } from "bun:test";
import { parseConfig } from "../../src/config/parse.ts";
import { refusalOf } from "./refusal.ts";

const nats = { nats_url: "nats://localhost:4222" };

describe("Keys that don't agree are refused:", () => {
  test.each<[string, unknown, string]>([
    [
      "a ping that comes too late",
      { ping_interval: "60s" },
      '"ping_interval" is "1m" but must be shorter than "read_timeout" ("1m"), or every client that only listens is disconnected',
    ],
    [
      "water marks in the wrong order",
      { high_water_bytes: 1000 },
      '"low_water_bytes" is "256KiB" but must be less than "high_water_bytes" ("1kB")',
    ],
    [
      "dead letters that would come back",
      { subjects: ["orders", "dead.>"], dead_letter_subject: "dead.orders" },
      `"dead_letter_subject" is "dead.orders" but must not match "subjects" or a stream's subjects: clients would get the dead letters`,
    ],
    [
      "publishing into NATS",
      { ...nats, publish: true },
      '"publish" is true but must not be set with "nats_url": it opens all subjects; "publish_subjects" says what clients may publish to',
    ],
    [
      "subjects to publish to where publishing is off",
      { publish: false, publish_subjects: ["a"] },
      '"publish_subjects" is a list of 1 but must not be set with "publish": false, which turns publishing off',
    ],
    [
      "one port for clients and operators",
      { port: 9000, admin_port: 9000 },
      '"admin_port" is 9000 but must be another one than "port"',
    ],
    [
      "two logins, one of them in the URL",
      { nats_url: "nats://u:p@a", nats_user: "v" },
      '"nats_user" is "v" but must not be set with a login in "nats_url", which would be used instead',
    ],
    [
      "a certificate without its key",
      { tls_cert_file: "c" },
      '"tls_cert_file" is "c" but must not be set without "tls_key_file"',
    ],
    [
      "a key without its certificate",
      { tls_key_file: "k" },
      '"tls_key_file" is "k" but must not be set without "tls_cert_file"',
    ],
    [
      "authorities of clients without a certificate",
      { tls_client_ca_files: ["a"] },
      '"tls_client_ca_files" is a list of 1 but must not be set without "tls_cert_file"',
    ],
    [
      "names of clients without an authority",
      { tls_cert_file: "c", tls_key_file: "k", tls_client_names: ["n"] },
      '"tls_client_names" is a list of 1 but must not be set without "tls_client_ca_files"',
    ],
    [
      "a version of TLS without a certificate",
      { tls_min_version: "1.3" },
      '"tls_min_version" is "1.3" but must not be set without "tls_cert_file"',
    ],
    [
      "operators' tokens without their port",
      { admin_tokens_file: "t" },
      '"admin_tokens_file" is "t" but must not be set without "admin_port"',
    ],
    [
      "a user without NATS",
      { nats_user: "u" },
      '"nats_user" is "u" but must not be set without "nats_url"',
    ],
    [
      "a password without a user",
      { ...nats, nats_password: "p" },
      '"nats_password" must not be set without "nats_user"',
    ],
    [
      "a password twice",
      { ...nats, nats_user: "u", nats_password: "p", nats_password_file: "f" },
      '"nats_password_file" is "f" but must not be set with "nats_password": use one of them',
    ],
    [
      "a token twice",
      { ...nats, nats_token: "t", nats_token_file: "f" },
      '"nats_token_file" is "f" but must not be set with "nats_token": use only one way to log in',
    ],
    [
      "two ways to log in",
      { ...nats, nats_user: "u", nats_password: "p", nats_token: "t" },
      '"nats_token" must not be set with "nats_user": use only one way to log in',
    ],
    [
      "two other ways to log in",
      { ...nats, nats_nkey_file: "k", nats_token: "t" },
      '"nats_nkey_file" is "k" but must not be set with "nats_token": use only one way to log in',
    ],
    [
      "a certificate without its key",
      { ...nats, nats_tls_cert_file: "c" },
      '"nats_tls_cert_file" is "c" but must not be set without "nats_tls_key_file"',
    ],
    [
      "a key without its certificate",
      { ...nats, nats_tls_key_file: "k" },
      '"nats_tls_key_file" is "k" but must not be set without "nats_tls_cert_file"',
    ],
    [
      "two transports",
      { nats_url: ["nats://a", "wss://b"] },
      '"nats_url[1]" is "wss://b" but must be of the same transport as the first URL: all "nats://" and "tls://", or all "ws://" and "wss://"',
    ],
  ])("%s", (_, raw, problem) => {
    expect(refusalOf(raw)).toBe(`Cannot use configuration: ${problem}`);
  });

  test("all at once, beside keys that are wrong by themselves", () => {
    const raw = {
      prot: 9000,
      path: "ws",
      ping_interval: "60s",
      nats_password: "p",
      nats_user: "u",
      nats_tls_ca_file: "ca",
      streams: ["A"],
      subjects: ["a"],
      ring_messages: 0,
      ring_bytes: 0,
    };
    const without = 'must not be set without "nats_url"';
    const ring =
      'is 0 but must not be 0 with "streams": a client that has caught up continues from there';
    expect(refusalOf(raw).split("\n").slice(1).map(leading)).toEqual(
      [
        '- "path" is "ws" but must be a path that begins with',
        '- "prot" is not a known key; did you mean "port"?',
        '- "ping_interval" is "1m" but must be shorter than',
        '- "subjects" is a list of 1 but must not contain "a"',
        `- "ring_messages" ${ring}`,
        `- "ring_bytes" ${ring}`,
        `- "nats_user" is "u" but ${without}`,
        `- "nats_password" ${without}`,
        `- "nats_tls_ca_file" is "ca" but ${without}`,
      ].map(leading),
    );
  });

  test.each<[string, object, string]>([
    ["is wrong", { ping_interval: "70s", read_timeout: "80" }, '"read_timeout" is "80"'],
    [
      "is misspelt",
      { ping_interval: "70s", read_timout: "80s" },
      '"read_timout" is not a known key',
    ],
    ["is no URL", { nats_url: "localhost", nats_user: "u" }, '"nats_url" is "localhost"'],
  ])("but not where a key that it is about %s, as nobody knows what it says", (_, raw, says) => {
    expect(refusalOf(raw)).toStartWith(`Cannot use configuration: ${says}`);
    expect(refusalOf(raw).split("\n")).toHaveLength(1);
  });

  test("but not publish: false with NATS, nor publish: true without", () => {
    expect(parseConfig({ ...nats, publish: false }).publish).toBe(false);
    expect(parseConfig({ publish: true }).publish).toBe(true);
  });
});

/** The beginning of a line, for lists of many. */
function leading(line: string): string {
  return line.slice(0, 50);
}
