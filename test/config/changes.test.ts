import { describe, expect, test } from "bun:test";
import { changesBetween, shownConfig } from "../../src/config/changes.ts";
import type { ConfigInput } from "../../src/config/input.generated.ts";
import { parseConfig } from "../../src/config/parse.ts";

function changes(before: ConfigInput, after: ConfigInput) {
  return changesBetween(parseConfig(before), parseConfig(after));
}

describe("The changes between two configurations", () => {
  test("are none between equal ones, however they are written", () => {
    expect(changes({ write_timeout: "5s" }, { write_timeout: "5000ms" })).toEqual([]);
    expect(changes({ max_queue_bytes: 1024 }, { max_queue_bytes: "1KiB" })).toEqual([]);
  });

  test("have each key with its values as written in a file, and whether a reload can make them", () => {
    const found = changes(
      { max_clients: 5, max_queue_bytes: "2KiB", path: "/a" },
      { max_clients: 6, max_queue_bytes: "1MiB", path: "/b", max_connection_age: "90s" },
    );
    expect(found).toEqual([
      { key: "path", before: '"/a"', after: '"/b"', reloads: false },
      { key: "max_connection_age", before: undefined, after: '"1m30s"', reloads: true },
      { key: "max_clients", before: "5", after: "6", reloads: true },
      { key: "max_queue_bytes", before: '"2KiB"', after: '"1MiB"', reloads: true },
    ]);
  });

  test("show no secret, also inside of accounts", () => {
    const withPassword = (password: string): ConfigInput => ({
      nats_url: "nats://a:4222",
      nats_user: "u",
      nats_password: password,
    });
    expect(changes(withPassword("hidden-1"), withPassword("hidden-2"))).toMatchObject([
      { key: "nats_password", before: '"***"', after: '"***"' },
    ]);
    const withAccount = (password: string): ConfigInput => ({
      ...withPassword("hidden-0"),
      tokens_file: "tokens.json",
      accounts: [
        { name: "acme", nats_url: `nats://bob:${password}@b` },
        { name: "bolt", nats_user: "b", nats_password: password },
      ],
    });
    const [change] = changes(withAccount("hidden-1"), withAccount("hidden-2"));
    expect(change).toMatchObject({ key: "accounts", reloads: false });
    expect(change?.after).toContain("nats://***@b");
    expect(JSON.stringify(change)).not.toContain("hidden");
    expect(JSON.stringify(shownConfig(parseConfig(withAccount("hidden-1"))))).not.toContain(
      "hidden",
    );
  });
});
