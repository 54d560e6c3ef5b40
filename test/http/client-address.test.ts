import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { addressGroupOf, ClientAddresses } from "../../src/http/client-address.ts";

const PROXY = "10.0.0.1";
const trusted = { trustedProxies: ["10.0.0.0/8", "2001:db8::/32"] };
const xff = new ClientAddresses({ ...trusted, forwardedHeader: "x-forwarded-for" });
const forwarded = new ClientAddresses({ ...trusted, forwardedHeader: "forwarded" });

describe("X-Forwarded-For", () => {
  test.each([
    ["no header", PROXY, undefined, PROXY],
    ["a client", PROXY, "192.0.2.1", "192.0.2.1"],
    ["a client and its port", PROXY, "192.0.2.1:4711", "192.0.2.1"],
    ["an IPv6 client", PROXY, "2001:db9::1", "2001:db9::1"],
    ["an IPv6 client and its port", PROXY, "[2001:db9::1]:80", "2001:db9::1"],
    ["an IPv4 client in IPv6", PROXY, "::ffff:192.0.2.1", "192.0.2.1"],
    ["a client that made up others", PROXY, "127.0.0.1, 8.8.8.8, 192.0.2.1", "192.0.2.1"],
    ["two proxies", PROXY, "192.0.2.1, 10.0.0.2", "192.0.2.1"],
    ["a proxy with IPv6", "2001:db8::2", "192.0.2.1", "192.0.2.1"],
    ["a peer that is IPv4 in IPv6", "::ffff:10.0.0.1", "192.0.2.1", "192.0.2.1"],
    ["only proxies", PROXY, "10.0.0.3, 10.0.0.2", "10.0.0.3"],
    ["a stranger", "192.0.2.9", "192.0.2.1", "192.0.2.9"],
    ["a name", PROXY, "192.0.2.1, unknown", PROXY],
    ["a short form of an address", PROXY, "127.1", PROXY],
    ["a number", PROXY, "2130706433", PROXY],
    ["nothing", PROXY, "", PROXY],
    ["empty hops", PROXY, "192.0.2.1,,", PROXY],
    ["a client that made up very many", PROXY, `${"8.8.8.8, ".repeat(1000)}192.0.2.1`, "192.0.2.1"],
    ["one hop that is too long", PROXY, `192.0.2.1 ${" ".repeat(5000)}192.0.2.2`, PROXY],
    [
      "only proxies, and a client further to the left than is read",
      PROXY,
      `192.0.2.77${",10.0.0.2".repeat(453)},10.0.0.100`,
      "10.0.0.2",
    ],
    ["an address that is none", PROXY, "999.0.2.1", PROXY],
    ["a peer without an address", "unknown", "192.0.2.1", "unknown"],
  ])("of %s", (_, peer, value, client) => {
    const headers = new Headers(value === undefined ? {} : { "X-Forwarded-For": value });
    expect(xff.of(peer, headers)).toBe(client);
  });

  test("doesn't count beside a proxy that writes Forwarded, nor the other way round", () => {
    const headers = new Headers({ "X-Forwarded-For": "192.0.2.1", Forwarded: "for=192.0.2.2" });
    expect(xff.of(PROXY, headers)).toBe("192.0.2.1");
    expect(forwarded.of(PROXY, headers)).toBe("192.0.2.2");
  });
});

describe("Forwarded", () => {
  test.each([
    ["for=192.0.2.1", "192.0.2.1"],
    ["For=192.0.2.1;proto=https;by=10.0.0.1", "192.0.2.1"],
    ["proto=https; for=192.0.2.1", "192.0.2.1"],
    ['for="192.0.2.1:80"', "192.0.2.1"],
    ['for="[2001:db9::17]:4711"', "2001:db9::17"],
    ["for=198.51.100.1, for=192.0.2.1, for=10.0.0.7", "192.0.2.1"],
    ["for=198.51.100.1", "198.51.100.1"],
    ['for="10.0.0.7";proto=http, for=10.0.0.8', "10.0.0.7"],
    ['for=192.0.2.1, for="192.0.2.2', PROXY],
    ["for=192.0.2.1;for=192.0.2.2", "192.0.2.1"],
    [`${"for=8.8.8.8, ".repeat(1000)}for=192.0.2.1`, "192.0.2.1"],
    ["for=_hidden", PROXY],
    ["for=unknown", PROXY],
    ["proto=https", PROXY],
    ["xfor=192.0.2.1", PROXY],
  ])("of %s", (value, client) => {
    expect(forwarded.of(PROXY, new Headers({ Forwarded: value }))).toBe(client);
  });
});

test("Whatever a client writes before it, what its proxy adds decides", () => {
  const lie = fc.oneof(fc.string(), fc.ipV4(), fc.ipV6(), fc.constant("10.0.0.9"));
  fc.assert(
    fc.property(fc.array(lie, { maxLength: 5 }), (lies) => {
      const value = [...lies, "192.0.2.1"].join(",").replace(/[^\x20-\x7e]/g, "");
      const headers = new Headers({ "X-Forwarded-For": value });
      expect(xff.of(PROXY, headers)).toBe("192.0.2.1");
    }),
  );
});

test("Without trusted proxies the peer is the client", () => {
  const none = new ClientAddresses({ trustedProxies: [], forwardedHeader: "x-forwarded-for" });
  expect(none.of(PROXY, new Headers({ "X-Forwarded-For": "192.0.2.1" }))).toBe(PROXY);
});

test.each([
  ["192.0.2.1", "192.0.2.1"],
  ["::ffff:192.0.2.1", "192.0.2.1"],
  ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
  ["2001:db8:1:2::9", "2001:db8:1:2::/64"],
  ["unknown", "unknown"],
])("The clients of %s are counted as %s", (address, group) => {
  expect(
    addressGroupOf(address)
      .replace(/(:0)+::/, "::")
      .replace(/(:0){4}\/64$/, "::/64"),
  ).toBe(group);
});
