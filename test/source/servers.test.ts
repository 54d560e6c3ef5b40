import { describe, expect, test } from "bun:test";
import { readServers, redactUrl } from "../../src/source/servers.ts";

const read = (...servers: string[]) => readServers({ servers, name: "test" });

describe("readServers", () => {
  test.each([
    ["nats://nats.example:4333", "nats.example:4333"],
    ["nats://nats.example", "nats.example:4222"],
    ["nats.example", "nats.example:4222"],
    ["10.0.0.1:4333", "10.0.0.1:4333"],
    ["tls://[::1]:4333", "[::1]:4333"],
    ["nats://user:123@nats.example", "nats.example:4222"],
    ["ws://nats.example", "ws://nats.example:80/"],
    ["wss://nats.example/nats?region=eu", "wss://nats.example:443/nats?region=eu"],
    ["wss://user:123@nats.example:8443", "wss://nats.example:8443/"],
  ])("%s is dialled as %s", (url, target) => {
    expect(read(url).targets).toEqual([target]);
  });

  test("the scheme says the transport, and whether TLS is compulsory", () => {
    expect(read("nats://a")).toMatchObject({ transport: "tcp", tls: false });
    expect(read("tls://a")).toMatchObject({ transport: "tcp", tls: true });
    expect(read("ws://a")).toMatchObject({ transport: "websocket" });
    expect(readServers({ servers: ["nats://a"], name: "test", tls: {} }).tls).toBe(true);
  });

  test("a user and password, or a token, are taken from the URL and decoded", () => {
    expect(read("nats://me:p%40ss%3A1@a").credentials).toEqual({ user: "me", password: "p@ss:1" });
    expect(read("nats://s3cret@a").credentials).toEqual({ token: "s3cret" });
    expect(read("nats://a").credentials).toBeUndefined();
  });

  test.each([
    [
      "http://a",
      'Cannot use "http://a" as a NATS server as it must be a URL that begins with nats://',
    ],
    ["nats://", 'Cannot use "nats://" as a NATS server'],
    ["nats://me:se/cret@", 'Cannot use "nats://***@" as a NATS server'],
    ["nats://me:100%@a", 'Cannot read the user and password of nats://***@a as "%"'],
  ])("%s is refused without its password", (url, message) => {
    expect(() => read(url)).toThrow(message);
  });

  test("no server at all is refused", () => {
    expect(() => read()).toThrow("Cannot connect to NATS without a server's URL");
  });

  test("servers of different transports are refused", () => {
    expect(() => read("nats://a", "ws://x:y@b")).toThrow(
      "Cannot use nats://a together with ws://***@b/ as all NATS servers must have the same transport",
    );
  });

  test("certificates for wss:// are refused where nothing can dial with them", () => {
    const options = { servers: ["wss://a"], name: "test", tls: { ca: "PEM" } };
    expect(() => readServers(options)).toThrow("this runtime can't open a WebSocket with them");
    expect(readServers({ ...options, dialWebSocket: () => ({}) as WebSocket }).tls).toBe(true);
  });

  test("half a client certificate is refused", () => {
    expect(() => readServers({ servers: ["tls://a"], name: "test", tls: { cert: "PEM" } })).toThrow(
      "both its cert and its key",
    );
  });
});

describe("redactUrl", () => {
  test.each([
    ["nats://user:pass@host:4222", "nats://***@host:4222"],
    ["nats://token@host", "nats://***@host"],
    ["user:pa@ss@host:4222", "***@host:4222"],
    ["nats://user:pa/ss?x@host", "nats://***@host"],
    ["wss://host/nats?jwt=ey", "wss://host/nats?***"],
    ["nats://host:4222", "nats://host:4222"],
  ])("%s becomes %s", (url, shown) => {
    expect(redactUrl(url)).toBe(shown);
  });
});
