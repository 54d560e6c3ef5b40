import { expect, test } from "bun:test";
import { Grant } from "../../src/core/access/grant.ts";
import { clientEndpoints } from "../../src/http/client-endpoints.ts";
import { EventStreams } from "../../src/http/event-stream.ts";
import { Harness } from "../core/support/harness.ts";
import { ManualClock } from "../core/support/manual-clock.ts";

const everybody = Grant.forEverybody([">"], {
  deliveryMode: "at-most-once",
  policy: "disconnect",
  allowedPolicies: [],
  startFrom: "new",
  maxSubscriptions: 1,
});

/** Returns the status of a request for server-sent events by a client that may begin only there. */
async function statusFor(starts: Grant["terms"]["starts"], lastEventId?: string): Promise<number> {
  const { broadcaster } = new Harness({ subjects: [">"] });
  const app = clientEndpoints(
    { path: "/ws" },
    {
      broadcaster,
      sockets: {
        write: () => ({ grownBytes: 0, refused: 0 }),
        upgrade: () => Promise.reject(new Error("no WebSocket here")),
        addressOf: () => "192.0.2.1",
      },
      clock: new ManualClock(),
      eventStreams: new EventStreams(),
      tokenCheckOf: () => undefined,
      grantOf: async () => new Grant([">"], { ...everybody.terms, starts }),
    },
  );
  const headers = lastEventId === undefined ? {} : { "Last-Event-ID": lastEventId };
  const response = await app.request("/ws/sse", {
    headers: { ...headers } as Record<string, string>,
  });
  await response.body?.cancel();
  return response.status;
}

test("The grant is asked about Last-Event-ID as about the query's after", async () => {
  expect(await statusFor(["new"])).toBe(200);
  expect(await statusFor(["new"], "0123456789ab:7")).toBe(403);
  expect(await statusFor(["after"], "0123456789ab:7")).toBe(200);
  expect(await statusFor(["after"])).toBe(403);
});

test("A Last-Event-ID that is too long is refused with 400", async () => {
  expect(await statusFor(["new", "after"], "x".repeat(1000))).toBe(400);
});
