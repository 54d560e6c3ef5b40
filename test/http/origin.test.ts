import { describe, expect, test } from "bun:test";
import { isAllowedOrigin } from "../../src/http/origin.ts";

describe("Origin", () => {
  test.each([
    ["https://app.example.com", "app.example.com"],
    ["https://app.example.com", "app.example.com:443"],
    ["http://app.example.com", "app.example.com:80"],
    ["http://localhost:8080", "localhost:8080"],
    ["http://[::1]:8080", "[::1]:8080"],
  ])("%s is the same host as %s", (origin, host) => {
    expect(isAllowedOrigin(origin, host, [])).toBe(true);
  });

  test.each([
    ["https://evil.example", "app.example.com"],
    ["http://localhost:3000", "localhost:8080"],
    ["https://app.example.com.evil.example", "app.example.com"],
    ["https://app.example.com@evil.example", "app.example.com"],
    ["null", "app.example.com"],
    ["", "app.example.com"],
    ["https://app.example.com", undefined],
    ["https://app.example.com", "app.example.com/@x"],
  ])("%s is another host than %s", (origin, host) => {
    expect(isAllowedOrigin(origin, host, [])).toBe(false);
  });

  test("is welcome from anywhere when it is on the list, or the list says *", () => {
    const list = ["https://app.example.com"];
    expect(isAllowedOrigin("https://app.example.com", "other", list)).toBe(true);
    expect(isAllowedOrigin("http://app.example.com", "other", list)).toBe(false);
    expect(isAllowedOrigin("https://any.example", "other", ["*"])).toBe(true);
  });

  test("is not sent by programs, which may connect", () => {
    expect(isAllowedOrigin(undefined, "app.example.com", [])).toBe(true);
  });
});
