import { describe, expect, test } from "bun:test";
import { isOwnOrigin } from "../../src/http/origin.ts";

const PORT = 8080;

describe("Origin", () => {
  test.each([
    ["https://app.example.com", "app.example.com"],
    ["https://app.example.com", "app.example.com:443"],
    ["http://app.example.com", "app.example.com:80"],
    ["http://localhost:8080", "localhost:8080"],
    ["http://localhost:8080", "LOCALHOST:8080"],
    ["http://localhost.:8080", "localhost.:8080"],
    ["http://[::1]:8080", "[::1]:8080"],
    ["http://[::1]:8080", "[0:0:0:0:0:0:0:1]:8080"],
  ])("%s is the gateway's own at %s", (origin, host) => {
    expect(isOwnOrigin(origin, host, PORT)).toBe(true);
    expect(isOwnOrigin(origin, host, undefined)).toBe(true);
  });

  test.each([
    ["https://evil.example", "app.example.com"],
    ["http://localhost:3000", "localhost:8080"],
    ["https://localhost:8080", "localhost:80"],
    ["https://app.example.com.evil.example", "app.example.com"],
    ["https://app.example.com@evil.example", "app.example.com"],
    ["https://sub.app.example.com:8443", "app.example.com"],
    ["app://app.example.com", "app.example.com"],
    ["null", "app.example.com"],
    ["", "app.example.com"],
    ["https://app.example.com", undefined],
    ["https://app.example.com", "app.example.com/@x"],
    ["https://app.example.com", "app.example.com, evil.example"],
  ])("%s is another than the gateway's at %s", (origin, host) => {
    expect(isOwnOrigin(origin, host, PORT)).toBe(false);
    expect(isOwnOrigin(origin, host, undefined)).toBe(false);
  });

  test("is compared without its port where a proxy has left that out of Host", () => {
    const origin = "https://app.example.com:8443";
    expect(isOwnOrigin(origin, "app.example.com", 8080)).toBe(true);
    expect(isOwnOrigin(origin, "app.example.com:8444", 8080)).toBe(false);
    // There, browsers leave it out themselves.
    for (const port of [80, 443]) expect(isOwnOrigin(origin, "app.example.com", port)).toBe(false);
    // Nobody knows whether a host's own server listens there.
    expect(isOwnOrigin(origin, "app.example.com", undefined)).toBe(false);
  });
});
