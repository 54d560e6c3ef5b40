import { describe, expect, test } from "bun:test";
import { Hono } from "hono";
import { AuditLog } from "../../src/access/audit-log.ts";
import type { AccessRefusal, AccessRequest } from "../../src/access/authenticator.ts";
import { Grant } from "../../src/core/access/grant.ts";
import { Meter } from "../../src/core/metering/meter.ts";
import type { Log } from "../../src/core/ports/log.ts";
import { AccessLog } from "../../src/http/access-log.ts";
import { Admission, type AdmissionOptions } from "../../src/http/admission.ts";
import { Guard } from "../../src/http/origin-guard.ts";
import { refusedAccess } from "../../src/http/problem.ts";
import { ManualClock } from "../core/support/manual-clock.ts";

const OPTIONS = {
  deliveryMode: "at-most-once",
  policy: "disconnect",
  allowedPolicies: [],
  startFrom: "new",
  maxSubscriptions: 1,
} as const;
const everybody = Grant.forEverybody([">"], OPTIONS);
const awaiting = Grant.awaitingToken([">"], OPTIONS);

interface Setting extends Partial<AdmissionOptions> {
  readonly isRequired?: boolean;
  readonly answer?: Grant | AccessRefusal;
  readonly allowedOrigins?: readonly string[];
}

/** An app whose clients are admitted; `asked` has what was asked of Access. */
function admitting(setting: Setting = {}) {
  const { isRequired = true, answer = everybody, allowedOrigins = [], ...options } = setting;
  const asked: AccessRequest[] = [];
  const said: Record<string, unknown>[] = [];
  const say = (message: string, properties = {}) => void said.push({ message, ...properties });
  const log: Log = { debug: say, info: say, warn: say, error: say };
  const clock = new ManualClock();
  const sockets = {
    write: () => ({ grownBytes: 0, refused: 0 }),
    upgrade: () => Promise.reject(new Error("no WebSocket here")),
    addressOf: () => "192.0.2.1",
  };
  const guard = new Guard(
    {
      allowedOrigins,
      allowedHosts: [],
      host: "127.0.0.1",
      eventsPath: "/ws/sse",
      takesCredentials: isRequired,
    },
    { log, clock, listening: () => undefined },
  );
  const silent = { debug() {}, info() {}, warn() {}, error() {} };
  const audit = new AuditLog(silent, clock);
  const access = {
    isRequired,
    admit: async (request: AccessRequest) => {
      asked.push(request);
      return answer;
    },
    refusalNow: () => undefined,
  };
  const meter = new Meter();
  /** The grants whose accounts were opened. */
  const opened: Grant[] = [];
  const accounts = { ready: async (grant: Grant) => void opened.push(grant) };
  const refusals = new AccessLog({ log, clock, meter, sockets, audit });
  const admission = new Admission(
    { tokenCookie: "token", allowQueryToken: false, ...options },
    { access, sockets, guard, log: refusals, accounts },
  );
  const app = new Hono();
  app.use("*", guard.handler, refusals.handler);
  // Checks tokens as those of frames.
  app.get("/frame/:tokens", async (c) => {
    const check = admission.tokenCheckOf(c, c.req.query("first") === "" ? awaiting : everybody);
    for (const token of c.req.param("tokens").split(",")) await check?.(token);
    return c.text("");
  });
  app.all("*", async (c) => {
    const grant = await admission.grantOf(c);
    return grant instanceof Grant ? c.text("in") : refusedAccess(c, grant);
  });
  const ask = (headers: Record<string, string>, path = "/x") =>
    app.request(`http://gw.example${path}`, { headers: { Host: "gw.example", ...headers } });
  return { ask, asked, said, meter, clock, opened };
}

describe("A cookie", () => {
  test.each<[string, Record<string, string>, boolean]>([
    ["of a page of the gateway's own origin", { Origin: "http://gw.example" }, true],
    ["of a page of an allowed origin", { Origin: "https://app.example" }, true],
    ["of an EventSource of the own origin", { "Sec-Fetch-Site": "same-origin" }, true],
    ["of a program", {}, false],
    ["of a link or an address bar", { "Sec-Fetch-Site": "none" }, false],
    [
      "of a link on another site",
      {
        "Sec-Fetch-Site": "cross-site",
        "Sec-Fetch-Mode": "navigate",
        "Sec-Fetch-Dest": "document",
      },
      false,
    ],
    ["of a sandbox", { Origin: "null" }, false],
  ])("%s: does it count? %#", async (_, headers, counts) => {
    const { ask, asked } = admitting({ allowedOrigins: ["https://app.example", "null"] });
    expect((await ask({ Cookie: "token=abc; other=1", ...headers })).status).toBe(200);
    const [request] = asked;
    const cookie = { kind: "token", token: "abc", place: "cookie" } as const;
    expect(request?.credentials).toEqual(counts ? cookie : { kind: "none" });
    expect(request?.headers.has("cookie")).toBe(counts);
  });

  test("of any other page doesn't count where all origins may connect", async () => {
    const { ask, asked } = admitting({ allowedOrigins: ["*", "https://app.example"] });
    const evil = await ask({ Origin: "https://evil.example", Cookie: "token=abc" });
    expect(evil.headers.get("access-control-allow-origin")).toBe("https://evil.example");
    expect(evil.headers.has("access-control-allow-credentials")).toBe(false);
    const named = await ask({ Origin: "https://app.example", Cookie: "token=abc" });
    expect(named.headers.get("access-control-allow-credentials")).toBe("true");
    expect(asked.map(({ credentials }) => credentials.kind)).toEqual(["none", "token"]);
  });

  test("of a foreign page is refused with the page", async () => {
    const { ask, asked } = admitting();
    const evil = await ask({ Origin: "https://evil.example", Cookie: "token=abc" });
    expect(evil.status).toBe(403);
    expect(asked).toEqual([]);
  });
});

describe("Pages of allowed origins", () => {
  const page = { Origin: "https://app.example" };

  test("may send credentials only where clients must show some", async () => {
    const allowedOrigins = ["https://app.example", "null"];
    const allowed = async (isRequired: boolean, Origin: string) =>
      (await admitting({ isRequired, allowedOrigins }).ask({ Origin })).headers.get(
        "access-control-allow-credentials",
      );
    expect(await allowed(true, page.Origin)).toBe("true");
    expect(await allowed(false, page.Origin)).toBeNull();
    expect(await allowed(true, "null")).toBeNull();
  });
});

describe("Credentials", () => {
  test("are not read where nobody must show any: a proxy may want them", async () => {
    const { ask, asked } = admitting({ isRequired: false });
    expect((await ask({ Authorization: "Digest x" }, "/x?access_token=1")).status).toBe(200);
    expect(asked.map(({ credentials }) => credentials)).toEqual([{ kind: "none" }]);
  });

  test.each<[string, Record<string, string>, string, number, string | null]>([
    ["none", {}, "/x", 401, 'Bearer realm="Spillway"'],
    [
      "a bad token",
      { Authorization: "Bearer x" },
      "/x",
      401,
      'Bearer realm="Spillway", error="invalid_token"',
    ],
    [
      "an unknown scheme",
      { Authorization: "Digest x" },
      "/x",
      401,
      'Bearer realm="Spillway", error="invalid_token"',
    ],
    [
      "a token in the query",
      {},
      "/x?access_token=x",
      401,
      'Bearer realm="Spillway", error="invalid_token"',
    ],
    ["a malformed token", { Authorization: "Bearer x y" }, "/x", 400, null],
  ])("that are %s are answered as RFC 6750 says", async (_, headers, path, status, challenge) => {
    const answer = { kind: "unauthenticated", message: "no" } as const;
    const response = await admitting({ answer }).ask(headers, path);
    expect(response.status).toBe(status);
    expect(response.headers.get("www-authenticate")).toBe(challenge);
  });

  test("may be asked for by Basic, where there are passwords", async () => {
    const answer = { kind: "unauthenticated", message: "no" } as const;
    const { ask } = admitting({ answer, passwordsFile: "p" });
    expect((await ask({})).headers.get("www-authenticate")).toBe(
      'Bearer realm="Spillway", Basic realm="Spillway", charset="UTF-8"',
    );
  });
});

describe("Refused clients", () => {
  test("are counted by kind, and logged once in ten seconds of each", async () => {
    const answer = { kind: "unavailable", message: "later", detail: "NATS is away" } as const;
    const { ask, said, meter, clock } = admitting({ answer });
    for (let n = 0; n < 3; n++) {
      expect((await ask({})).status).toBe(503);
      expect((await ask({ Authorization: "Bearer a b" })).status).toBe(400);
    }
    clock.advance(10_000);
    await ask({});
    expect(meter.accessRefused).toEqual({
      malformed: 3,
      unauthenticated: 0,
      forbidden: 0,
      unavailable: 4,
    });
    expect(said).toMatchObject([
      {
        event: "access_refused",
        kind: "unavailable",
        detail: "NATS is away",
        address: "192.0.2.1",
      },
      { event: "access_refused", kind: "malformed" },
      { event: "access_refused", kind: "unavailable", others: 2 },
    ]);
  });

  test("are counted and logged also if they show their token in a frame", async () => {
    const answer = { kind: "forbidden", message: "no", detail: "no such account" } as const;
    const { ask, said, meter } = admitting({ answer });
    await ask({}, "/frame/token");
    await ask({}, "/frame/to%20ken");
    expect(meter.accessRefused).toMatchObject({ forbidden: 1, malformed: 1 });
    expect(said).toMatchObject([
      { kind: "forbidden", detail: "no such account", address: "192.0.2.1" },
      { kind: "malformed", address: "192.0.2.1" },
    ]);
  });
});

describe("The account of a client", () => {
  test("is not opened for what an HTTP request shows, as its other limits are checked later", async () => {
    const { ask, opened } = admitting();
    expect((await ask({ Authorization: "Bearer abc" })).status).toBe(200);
    expect(opened).toEqual([]);
  });

  test("is opened by the first valid token in a frame, and never by another one", async () => {
    const { ask, opened } = admitting();
    await ask({}, "/frame/a,b,c?first");
    expect(opened).toEqual([everybody]);
    await ask({}, "/frame/a,b");
    expect(opened).toHaveLength(1);
    const refusing = admitting({ answer: { kind: "unauthenticated", message: "no" } });
    await refusing.ask({}, "/frame/a?first");
    expect(refusing.opened).toEqual([]);
  });
});

test("The check of a password is told when its client leaves, and other checks aren't", async () => {
  const { ask, asked } = admitting();
  await ask({ Authorization: `Basic ${btoa("ann:secret")}` });
  await ask({ Authorization: "Bearer abc" });
  expect(asked.map(({ left }) => left instanceof AbortSignal)).toEqual([true, false]);
});
