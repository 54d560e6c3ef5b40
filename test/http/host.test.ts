import { describe, expect, test } from "bun:test";
import { isLoopback, readAuthority } from "../../src/http/host.ts";

describe("Host header", () => {
  test.each([
    ["localhost", "localhost", ""],
    ["LocalHost:8080", "localhost", "8080"],
    ["localhost.:8080", "localhost", "8080"],
    ["localhost:", "localhost", ""],
    ["[::1]:8080", "[::1]", "8080"],
    ["[0:0:0:0:0:0:0:1]", "[::1]", ""],
    ["127.0.0.1.", "127.0.0.1", ""],
    ["bücher.example:80", "xn--bcher-kva.example", "80"],
  ])("%s names %s, port %j", (header, name, port) => {
    expect(readAuthority(header)).toEqual({ name, port });
  });

  test.each([
    "",
    ":8080",
    "localhost@evil.example",
    "localhost/evil.example",
    "localhost#.evil.example",
    "localhost\\.evil.example",
    "localhost, evil.example",
    "localhost evil.example",
    "localhost:80:80",
    "localhost:x",
    "[::1",
    "::1",
    "[evil.example]",
  ])("%j names nothing", (header) => {
    expect(readAuthority(header)).toBeUndefined();
  });
});

describe("Loopback", () => {
  test.each([
    "localhost",
    "LOCALHOST",
    "localhost.",
    "app.localhost",
    "127.0.0.1",
    "127.0.1.1",
    "127.255.255.254",
    "::1",
    "0:0:0:0:0:0:0:1",
    "[::1]",
    "::ffff:127.0.0.1",
  ])("%s is this machine", (host) => {
    expect(isLoopback(host)).toBe(true);
  });

  test.each([
    "0.0.0.0",
    "::",
    "128.0.0.1",
    "192.168.1.7",
    "::ffff:10.0.0.1",
    "::2",
    "localhost.evil.example",
    "evil-localhost",
    "127.0.0.1.evil.example",
    "127.evil.example",
    "",
  ])("%j isn't only this machine", (host) => {
    expect(isLoopback(host)).toBe(false);
  });
});
