import { describe, expect, test } from "bun:test";
import { RESERVED_PATHS } from "../../src/config/address.ts";
import { parseConfig } from "../../src/config/parse.ts";
import { refusalOf } from "./refusal.ts";

describe("Host", () => {
  test.each([
    "127.0.0.1",
    "0.0.0.0",
    "::",
    "::1",
    "2001:db8::7",
    "localhost",
    "my_host.example.com",
  ])("may be %s", (host) => expect(parseConfig({ host }).host).toBe(host));
});

describe("Host name", () => {
  test.each(["", "a b", "a:80", "::g", "[::1]", "http://a", "-a", "a/b", ".", ":"])(
    "can't be %j",
    (host) => {
      expect(refusalOf({ host })).toBe(
        `Cannot use configuration: "host" is "${host}" but must be an IP address or a host name`,
      );
    },
  );
});

describe("Port", () => {
  test.each([0, 1, 80, 1024, 65_535])("may be %d", (port) => {
    expect(parseConfig({ port }).port).toBe(port);
  });

  test.each([-1, 65_536])("can't be %d", (port) => {
    expect(refusalOf({ port })).toContain(`"port" is ${port} but must be 0 (any free port) or`);
  });
});

describe("Path", () => {
  test.each(["/ws", "/dashboard/stream", "/v1.0/~ws_-/", "/livez2", "/publisher"])(
    "may be %s",
    (path) => expect(parseConfig({ path }).path).toBe(path),
  );

  test.each([...RESERVED_PATHS, "/livez/", "//", "/publish/", "/publish/orders.eu"])(
    "can't be the gateway's own %s",
    (path) => expect(refusalOf({ path })).toContain("other than the gateway's own"),
  );
});

describe("Path that clients would make another of", () => {
  test.each(["/a/../b", "/./ws", "/ws/..", "//x", "/a//b"])("can't be %s", (path) =>
    expect(refusalOf({ path })).toContain('a path that begins with "/", like "/live/ws"'),
  );
});

describe("Web origin", () => {
  test.each([
    ["*", "*"],
    ["null", "null"],
    ["https://app.example.com", "https://app.example.com"],
    ["HTTPS://App.Example.COM:443", "https://app.example.com"],
    ["http://localhost:5173", "http://localhost:5173"],
    ["capacitor://LocalHost", "capacitor://localhost"],
  ])("%s is what a browser sends as %s", (given, sent) => {
    expect(parseConfig({ allowed_origins: [given] }).allowedOrigins).toEqual([sent]);
  });

  test.each([
    "app.example.com",
    "https://a/",
    "https://a/b",
    "https://u@a",
    "https://a b",
    "https://a:x",
    "NULL",
    "",
  ])("can't be %j", (origin) => {
    expect(refusalOf({ allowed_origins: [origin] })).toBe(
      `Cannot use configuration: "allowed_origins" is "${origin}" but must be "*", "null" or an origin like "https://app.example.com", without a path`,
    );
  });
});

describe("Web host", () => {
  test.each([
    ["*", "*"],
    ["App.Example.COM", "app.example.com"],
    ["app.example.com.", "app.example.com"],
    ["bücher.example", "xn--bcher-kva.example"],
    ["192.0.2.7", "192.0.2.7"],
    ["2001:db8:0::7", "[2001:db8::7]"],
    ["[::1]", "[::1]"],
  ])("%s is in a URL %s", (given, named) => {
    expect(parseConfig({ allowed_hosts: [given] }).allowedHosts).toEqual([named]);
  });

  test.each([
    "app.example.com:8080",
    "https://app.example.com",
    "app.example.com/",
    "*.example.com",
    "a@b",
    "a b",
    "[::1]:80",
    "",
  ])("can't be %j", (host) => {
    expect(refusalOf({ allowed_hosts: [host] })).toBe(
      `Cannot use configuration: "allowed_hosts" is "${host}" but must be "*" or a host name like "app.example.com", without a port`,
    );
  });
});

describe("NATS URLs", () => {
  test.each([
    ["nats://a:4222", ["nats://a:4222"]],
    ["nats://a, tls://b:4223", ["nats://a", "tls://b:4223"]],
    [
      ["ws://a", "wss://b/path"],
      ["ws://a", "wss://b/path"],
    ],
    [
      ["nats://a,nats://b", "nats://c"],
      ["nats://a", "nats://b", "nats://c"],
    ],
    [[], []],
  ])("%j are %j", (given, urls) => {
    expect(parseConfig({ nats_url: given }).natsUrls).toEqual(urls);
  });

  test.each(["", "a", "localhost:4222", "http://a", "nats://a,"])("can't be %j", (given) => {
    expect(refusalOf({ nats_url: given })).toEndWith(
      'but must be a URL that begins with "nats://", "tls://", "ws://" or "wss://"',
    );
  });

  test("can't be a number", () => {
    expect(refusalOf({ nats_url: 4222 })).toBe(
      'Cannot use configuration: "nats_url" is 4222 but must be URLs in a list or separated by commas, all "nats://" and "tls://" or all "ws://" and "wss://"',
    );
  });
});
