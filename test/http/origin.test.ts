import { describe, expect, test } from "bun:test";
import { isWelcome } from "../../src/http/origin.ts";

const anywhere = { allowedOrigins: [], loopback: false };

describe("Origin", () => {
  test.each([
    ["https://app.example.com", "app.example.com"],
    ["https://app.example.com", "app.example.com:443"],
    ["http://app.example.com", "app.example.com:80"],
    ["http://localhost:8080", "localhost:8080"],
    ["http://[::1]:8080", "[::1]:8080"],
  ])("%s is the same host as %s", (origin, host) => {
    expect(isWelcome(origin, host, anywhere)).toBe(true);
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
    expect(isWelcome(origin, host, anywhere)).toBe(false);
  });

  test("is welcome from anywhere when it is on the list, or the list says *", () => {
    const listed = { allowedOrigins: ["https://app.example.com"], loopback: true };
    expect(isWelcome("https://app.example.com", "other", listed)).toBe(true);
    expect(isWelcome("http://app.example.com", "other", listed)).toBe(false);
    expect(isWelcome("https://any.example", "other", { ...listed, allowedOrigins: ["*"] })).toBe(
      true,
    );
  });

  test("of the same host is welcome on loopback only when the host is this machine by name", () => {
    const loopback = { ...anywhere, loopback: true };
    for (const host of ["localhost:8080", "127.0.0.1:8080", "[::1]:8080"]) {
      expect(isWelcome(`http://${host}`, host, loopback)).toBe(true);
    }
    // What a page whose name points to 127.0.0.1 sends.
    expect(isWelcome("http://rebound.example:8080", "rebound.example:8080", loopback)).toBe(false);
    expect(isWelcome("http://localhost.evil.example", "localhost.evil.example", loopback)).toBe(
      false,
    );
  });

  test("is not sent by programs, which may connect", () => {
    expect(isWelcome(undefined, "app.example.com", anywhere)).toBe(true);
  });
});
