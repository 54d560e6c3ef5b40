import { expect, test } from "bun:test";
import fc from "fast-check";
import { AuditLog } from "../../src/access/audit-log.ts";
import type { AccessRefusal } from "../../src/access/authenticator.ts";
import { Grant, type GrantTerms } from "../../src/core/access/grant.ts";
import { Ring } from "../../src/core/history/ring.ts";
import { StreamRegistry } from "../../src/core/history/stream-registry.ts";
import { readClientFrame } from "../../src/core/wire/client-frame.ts";
import { endCursorOf } from "../../src/core/wire/end-cursor.ts";
import { cursorOf } from "../../src/core/wire/envelope.ts";
import { requestOf } from "../../src/core/wire/subscription-request.ts";
import { clientEndpoints } from "../../src/http/client-endpoints.ts";
import { readQuery } from "../../src/http/client-query.ts";
import { EventStreams } from "../../src/http/event-stream.ts";
import { keptLog } from "../access/support/kept-log.ts";
import { Harness, type HarnessOptions } from "../core/support/harness.ts";
import { ManualClock } from "../core/support/manual-clock.ts";

/** In bytes, for NATS and for the key `streams`. */
const LONGEST_STREAM_NAME = 255;
/** The nanoseconds until the year 2200, as `origin` writes the time at which a stream was created. */
const LATEST_EPOCH = BigInt(Date.UTC(2200, 0) * 1e6).toString(36);

const everybody = Grant.forEverybody([">"], {
  deliveryMode: "at-most-once",
  policy: "disconnect",
  allowedPolicies: [],
  startFrom: "new",
  maxSubscriptions: 1,
});

interface Handshake {
  readonly grant?: Partial<GrantTerms>;
  readonly lastEventId?: string | undefined;
  readonly query?: string;
  readonly limits?: Partial<HarnessOptions>;
}

/** The endpoints, with access as given. */
function endpoints(
  access: Partial<GrantTerms> | AccessRefusal,
  limits: Handshake["limits"],
  opened: () => void = () => {},
) {
  const harness = new Harness({ subjects: [">"], ...limits });
  Object.defineProperty(harness, "random", { get: Math.random });
  const { clients, broadcaster } = harness;
  const clock = new ManualClock();
  return clientEndpoints(
    { path: "/ws" },
    {
      clients,
      accounts: {
        openFor: () => {
          opened();
          return broadcaster;
        },
        ready: async () => {
          opened();
        },
      },
      sockets: {
        upgrade: () => Promise.reject(new Error("no WebSocket here")),
        addressOf: () => "192.0.2.1",
      },
      clock,
      audit: new AuditLog(keptLog().log, clock),
      eventStreams: new EventStreams(),
      tokenCheckOf: () => undefined,
      grantOf: async () =>
        "kind" in access ? access : new Grant([">"], { ...everybody.terms, ...access }),
    },
  );
}

/** Sends a request for server-sent events. Returns the status, and whether it opened the account of its client. */
async function handshake({ grant = {}, lastEventId, query = "", limits }: Handshake) {
  let opensAccount = false;
  const app = endpoints(grant, limits, () => {
    opensAccount = true;
  });
  const headers = lastEventId === undefined ? {} : { "Last-Event-ID": lastEventId };
  const response = await app.request(`/ws/sse${query}`, {
    headers: { ...headers } as Record<string, string>,
  });
  await response.body?.cancel();
  return { status: response.status, opensAccount };
}

/** Returns the status of a client that may begin only there. */
async function statusFor(starts: GrantTerms["starts"], lastEventId?: string): Promise<number> {
  return (await handshake({ grant: { starts }, lastEventId })).status;
}

test.each<[string, number, Handshake]>([
  ["asks for nothing else", 200, {}],
  [
    "is one too many of its user",
    429,
    {
      grant: { principal: { issuer: "i", sub: "ann" } },
      limits: { maxClientsPerSub: 0 },
    },
  ],
  ["may not begin there", 403, { grant: { starts: ["after"] } }],
  [
    "may not have the subject",
    403,
    {
      grant: { basis: "claims", receives: { allow: ["a"], deny: [] } },
      query: "?subjects=b",
    },
  ],
  ["asks for what needs a WebSocket", 400, { query: "?session=0123456789abcdef" }],
])(
  "A client that %s is answered with %i, and opens its account only if it is let in",
  async (_, status, asked) => {
    expect(await handshake(asked)).toEqual({ status, opensAccount: status === 200 });
  },
);

test("The grant is asked about Last-Event-ID as about the query's after", async () => {
  expect(await statusFor(["new"])).toBe(200);
  expect(await statusFor(["new"], "0123456789ab:7")).toBe(403);
  expect(await statusFor(["after"], "0123456789ab:7")).toBe(200);
  expect(await statusFor(["after"])).toBe(403);
});

test("A Last-Event-ID that is too long is refused with 400", async () => {
  expect(await statusFor(["new", "after"], "x".repeat(1000))).toBe(400);
});

test("Every id that the gateway makes is taken back, wherever it is sent", async () => {
  const names = fc.string({
    unit: fc.constantFrom(..."AZaz09_-"),
    minLength: 1,
    maxLength: LONGEST_STREAM_NAME,
  });
  const name = fc.oneof(
    names,
    fc.constant("S".repeat(LONGEST_STREAM_NAME)),
    names.map((one) => `KV_${one}`.slice(0, LONGEST_STREAM_NAME)),
  );
  const number = fc.oneof(fc.maxSafeNat(), fc.constant(Number.MAX_SAFE_INTEGER));
  const property = fc.asyncProperty(
    ...[name, number, fc.option(number, { nil: undefined }), fc.boolean()],
    async (stream, sequence, back, ends) => {
      const origin = `${stream}:${LATEST_EPOCH}`;
      const id = cursorOf({ origin, sequence, back });
      const cursor = ends ? endCursorOf({ id, subject: "a".repeat(3000) }) : id;
      const query = readQuery({ after: [cursor] });
      expect(query).toEqual({ after: cursor });
      const frame = readClientFrame(
        JSON.stringify({ type: "subscribe", id: "1", subjects: ["a"], from: { after: cursor } }),
        "v1",
      );
      expect(frame).toMatchObject({ type: "subscribe", from: { after: cursor } });
      expect(await statusFor(["after"], cursor)).toBe(200);
      const inputs = [{ name: stream, subjects: ["a"] }];
      const registry = new StreamRegistry(
        inputs,
        new Ring({ ringMessages: 0, ringBytes: 0 }),
        new ManualClock(),
        () => ({ sequence: 0, number: 0 }),
      );
      const { after = "" } = requestOf("", { subjects: ["a"], after: cursor });
      expect(registry.ofCursor(after)?.position).toEqual({
        origin,
        sequence: Math.max(0, sequence - (back ?? 0)),
      });
    },
  );
  await fc.assert(property, { numRuns: 50 });
});

test("Clients whose tokens can't be checked now are told times that are spread by their number", async () => {
  const app = endpoints({ kind: "unavailable", message: "later" }, {});
  const waits: number[] = [];
  for (let n = 0; n < 3000; n++) {
    const { status, headers } = await app.request("/ws/sse");
    expect(status).toBe(503);
    waits.push(Number(headers.get("retry-after")));
  }
  // At least five seconds each, and three more seconds for three thousand clients.
  expect(Math.min(...waits)).toBeGreaterThanOrEqual(5);
  expect(Math.max(...waits)).toBeWithin(7, 10);
  for (const seconds of [6, 7]) {
    expect(waits.filter((wait) => wait === seconds).length).toBeGreaterThan(100);
  }
});
