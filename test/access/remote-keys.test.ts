import { afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { gzipSync } from "node:zlib";
import { RemoteKeys } from "../../src/access/remote-keys.ts";
import type { VerificationKey } from "../../src/access/verification-keys.ts";
import { ManualClock } from "../core/support/manual-clock.ts";
import { until } from "../support/event-log.ts";
import { keptLog } from "./support/kept-log.ts";
import { answering, KeyServer } from "./support/key-server.ts";
import { keySet, newKey, type SigningKey } from "./support/signing-keys.ts";

const COOLDOWN_MS = 10_000;
const REFRESH_MS = 600_000;
const MAX_AGE_MS = 86_400_000;

let one: SigningKey;
let two: SigningKey;
let server: KeyServer;
const stops: (() => void)[] = [];

beforeAll(async () => {
  [one, two] = await Promise.all([newKey("one"), newKey("two")]);
});
beforeEach(async () => {
  server = await KeyServer.start(answering(keySet(one)));
});
afterEach(async () => {
  for (const stop of stops.splice(0)) stop();
  await server.stop();
});

/** Waits until the server was asked once. */
async function untilAsked(): Promise<void> {
  await until(
    "request",
    async () => server.requests,
    (count) => count === 1,
  );
}

function loading(url = server.url) {
  const clock = new ManualClock();
  const { log, lines } = keptLog();
  const keys = new RemoteKeys({ url, algorithms: ["ES256", "HS256"], clock, log });
  stops.push(() => keys.stop());
  /** What is found: the names of keys, or why none is. */
  const find = async (kid?: string) => {
    const found = await keys.find("ES256", kid);
    return typeof found === "string" ? found : found.map((key) => key.kid).join();
  };
  return { clock, lines, keys, find };
}

describe("Keys at a URL", () => {
  test("are loaded once, for all who wait", async () => {
    const { find } = loading();
    const all = await Promise.all(Array.from({ length: 100 }, () => find("one")));
    expect(new Set(all)).toEqual(new Set(["one"]));
    expect(await find()).toBe("one");
    expect(server.requests).toBe(1);
  });

  test("that nobody knows cause one request in ten seconds, however many ask", async () => {
    const { find, clock } = loading();
    expect(await find("one")).toBe("one");
    for (let round = 1; round <= 3; round++) {
      const asked = Array.from({ length: 10_000 }, (_, index) => find(`../${round}/${index}`));
      expect(new Set(await Promise.all(asked))).toEqual(new Set(["unknown"]));
      expect(server.requests).toBe(round);
      clock.advance(COOLDOWN_MS);
    }
    expect(await find("one")).toBe("one");
  });

  test("are found after a rotation, and the old ones are gone", async () => {
    const { find, clock } = loading();
    expect(await find("one")).toBe("one");
    server.answer = answering(keySet(two));
    expect(await find("two")).toBe("unknown");
    clock.advance(COOLDOWN_MS);
    expect(await find("two")).toBe("two");
    expect(await find("one")).toBe("unknown");
  });

  test("that are old are loaded anew while they are used", async () => {
    const { find, clock } = loading();
    expect(await find("one")).toBe("one");
    server.answer = answering(keySet(two));
    clock.advance(REFRESH_MS);
    expect(await find("one")).toBe("one");
    expect(server.requests).toBe(1);
    clock.advance(1);
    expect(await find("one")).toBe("one");
    await until(
      "rotation",
      () => find("two"),
      (found) => found === "two",
    );
    expect(server.requests).toBe(2);
  });

  test("are used for a day while the server is down, and then no more", async () => {
    const { find, clock, lines } = loading();
    expect(await find("one")).toBe("one");
    await server.stop();
    clock.advance(MAX_AGE_MS);
    expect(await find("one")).toBe("one");
    expect(await find("two")).toBe("unavailable");
    clock.advance(1);
    expect(await find("one")).toBe("unavailable");
    await server.listen();
    clock.advance(COOLDOWN_MS);
    expect(await find("one")).toBe("one");
    expect(lines.at(0)).toMatchObject({ level: "warn", event: "keys_failed", url: server.url });
    expect(lines.at(-1)).toMatchObject({ level: "info", event: "keys_loaded" });
  });

  test("whose server is down at the start cause one request in ten seconds", async () => {
    server.answer = answering("", 503);
    const { find, clock, lines } = loading();
    for (let time = 0; time < 100; time++) expect(await find("one")).toBe("unavailable");
    expect(server.requests).toBe(1);
    server.answer = answering(keySet(one));
    clock.advance(COOLDOWN_MS);
    expect(await find("one")).toBe("one");
    expect(lines).toHaveLength(2);
  });

  test.each<[string, () => KeyServer["answer"], string]>([
    [
      "is no JSON",
      () => answering("<html>Welcome</html>", 200, { "Content-Type": "text/html" }),
      "isn't a JSON Web Key Set",
    ],
    ["is no key set", () => answering('{"issuer":"x"}'), '"keys"'],
    ["is a list", () => answering("[]"), "isn't a JSON Web Key Set"],
    ["is empty", () => answering(""), "isn't a JSON Web Key Set"],
    ["has no key that fits", () => answering('{"keys":[]}'), "has no key for ES256"],
    [
      "has a private key only",
      () => answering(JSON.stringify({ keys: [one.privateJwk] })),
      "no key",
    ],
    [
      "has a secret only",
      () => answering(JSON.stringify({ keys: [{ kty: "oct", k: "A".repeat(86), kid: "one" }] })),
      "no key",
    ],
    [
      "is a secret",
      () => answering("0123456789abcdef0123456789abcdef"),
      "isn't a JSON Web Key Set",
    ],
    [
      "has 101 keys",
      () => answering(JSON.stringify({ keys: Array(101).fill(one.jwk) })),
      "100 keys",
    ],
    ["is huge", () => answering(`{"keys":[],"x":"${"x".repeat(300_000)}"}`), "262144 bytes"],
    [
      "is huge once it is decompressed",
      () => (response) =>
        void response
          .writeHead(200, { "Content-Encoding": "gzip" })
          .end(gzipSync(`{"keys":[],"x":"${"x".repeat(300_000)}"}`)),
      "262144 bytes",
    ],
    [
      "never ends",
      () => (response) => {
        response.writeHead(200);
        const more = (): void => {
          while (!response.destroyed && response.write("x".repeat(65_536)));
          response.once("drain", more);
        };
        more();
      },
      "262144 bytes",
    ],
    ["has another status", () => answering(keySet(one), 404), "404"],
    ["is a part", () => answering(keySet(one), 206), "206"],
    ["isn't UTF-8", () => (response) => void response.end(Buffer.from([0x7b, 0xff, 0x7d])), ""],
    ["is cut off", () => (response) => void response.socket?.destroy(), ""],
  ])("aren't taken from an answer that %s", async (_, answer, reason) => {
    server.answer = answer();
    const { find, lines } = loading();
    expect(await find("one")).toBe("unavailable");
    expect(lines).toHaveLength(1);
    expect(lines[0]?.reason).toContain(reason);
  });

  test("aren't taken from another place", async () => {
    const elsewhere = await KeyServer.start(answering(keySet(two)));
    server.answer = answering("", 302, { Location: elsewhere.url });
    const { find, lines } = loading();
    expect(await find("two")).toBe("unavailable");
    expect(elsewhere.requests).toBe(0);
    expect(lines[0]?.reason).toContain("302");
    await elsewhere.stop();
  });

  test.each<[string, KeyServer["answer"]]>([
    ["says nothing", () => {}],
    ["begins and says no more", (response) => void response.writeHead(200).write('{"keys":[')],
  ])("are given up after five seconds if the server %s", async (_, answer) => {
    server.answer = answer;
    const { find, clock, lines } = loading();
    const found = find("one");
    await untilAsked();
    clock.advance(4999);
    expect(await Promise.race([found, Promise.resolve("waiting")])).toBe("waiting");
    clock.advance(1);
    expect(await found).toBe("unavailable");
    expect(lines[0]?.reason).toContain("5000 ms");
    expect(clock.timers).toBe(0);
  });

  test("aren't waited for after the stop", async () => {
    server.answer = () => {};
    const { find, keys, clock, lines } = loading();
    const found = find("one");
    await untilAsked();
    keys.stop();
    expect(await found).toBe("unavailable");
    expect(lines).toEqual([]);
    expect(clock.timers).toBe(0);
  });

  test("aren't asked for after the stop, and those of the next start count", async () => {
    server.answer = () => {};
    const { find, keys, lines } = loading();
    const found = find("one");
    await untilAsked();
    keys.stop();
    expect(await find("one")).toBe("unavailable");
    expect(server.requests).toBe(1);
    server.answer = answering(keySet(two));
    keys.start(() => {});
    expect(await find("two")).toBe("two");
    await found;
    // A failure that ended with the stop isn't one of the requests after it.
    expect(await find("one")).toBe("unknown");
    expect(lines).toEqual([]);
  });

  test("accept what they have proved until they are loaded without the key, and say when that is", async () => {
    const { find, keys, clock } = loading();
    let changes = 0;
    keys.start(() => changes++);
    const [{ id }] = (await keys.find("ES256", "one")) as [VerificationKey];
    expect([keys.accepts(id), keys.accepts("other"), changes]).toEqual([true, false, 1]);
    server.answer = answering(keySet(one, two));
    clock.advance(COOLDOWN_MS);
    expect(await find("two")).toBe("two");
    expect([keys.accepts(id), changes]).toEqual([true, 1]);
    server.answer = answering(keySet(two));
    clock.advance(COOLDOWN_MS);
    expect(await find("three")).toBe("unknown");
    expect([keys.accepts(id), changes]).toEqual([false, 2]);
    // They may be other ones by now.
    clock.advance(MAX_AGE_MS + 1);
    expect(keys.accepts(id)).toBe(true);
  });

  test("are logged without the query of their URL", async () => {
    server.answer = answering("", 500);
    const { find, lines } = loading(`${server.url}?key=hunter2`);
    await find("one");
    expect(JSON.stringify(lines)).not.toContain("hunter2");
  });
});
