import { beforeEach, describe, expect, test } from "bun:test";
import type { Log } from "../../../src/core/ports/log.ts";
import { Harness, type HarnessOptions } from "../support/harness.ts";

type Level = keyof Log;
type Line = Record<string, unknown> & { readonly event?: string };

let harness: Harness;
let lines: Map<Level, Line[]>;

const summaries = () => lines.get("info")?.filter(({ event }) => event === "clients") ?? [];
const details = () => lines.get("debug") ?? [];
const refuse = (status: number, reason = "no") =>
  harness.clients.handshakeRefused({ status, reason, address: "192.0.2.7" });

beforeEach(() => begin());

function begin(options: Partial<HarnessOptions> = {}): void {
  harness = new Harness(options);
  lines = new Map();
  for (const level of ["debug", "info"] as const) {
    harness.log[level] = (_, properties = {}) =>
      void lines.set(level, [...(lines.get(level) ?? []), properties]);
  }
}

describe("Connections are logged", () => {
  test("at debug, a line for each that comes, goes and is refused", () => {
    const client = harness.join(["a.>", "b"]);
    harness.joinV1();
    harness.clock.advance(1500);
    client.connection.closed(1006);
    refuse(403, "Pages from there may not connect");
    const reason = "Pages from there may not connect";
    expect(details()).toMatchObject([
      { event: "client_connected", client: 1, address: "test", dialect: "plain", subjects: 2 },
      { event: "client_connected", client: 2, subjects: 0 },
      { event: "client_left", client: 1, reason: "vanished", seconds: 1.5 },
      { event: "handshake_refused", address: "192.0.2.7", status: 403, reason },
    ]);
  });

  test("with what a client was sent and has not confirmed when it is gone", () => {
    begin({ markIntervalMs: 400, lowWaterBytes: 10_000, highWaterBytes: 20_000 });
    const clients = [harness.join(), harness.join()];
    for (const { socket } of clients) socket.readsOnDemand();
    for (let n = 0; n < 3; n++) {
      harness.publish("x".repeat(1000));
      harness.clock.advance(400);
      if (n < 2) clients[0]!.socket.read();
    }
    for (const { connection } of clients) connection.closed(1006);
    const left = details().filter(({ event }) => event === "client_left");
    const [one, three] = left.map(({ unconfirmed_bytes }) => Number(unconfirmed_bytes));
    expect(one).toBeWithin(1000, 1200);
    expect(three).toBeWithin(3000, 3600);
  });

  test("at info, in one line for each interval in which something happened", () => {
    harness.clock.advance(60_000);
    expect(summaries()).toEqual([]);
    const clients = Array.from({ length: 5 }, () => harness.join());
    clients[0]?.connection.closed(1006);
    clients[1]?.connection.closed(1000);
    clients[2]?.session.end("no_pong");
    for (let n = 0; n < 1000; n++) refuse(n % 2 === 0 ? 403 : 400);
    expect(summaries()).toEqual([]);
    harness.clock.advance(10_000);
    expect(summaries()).toEqual([
      {
        event: "clients",
        connected: 5,
        left: 3,
        left_by: " (vanished: 1, client: 1, no_pong: 1)",
        refused: 1000,
        refused_by: " (403: 500, 400: 500)",
        active: 2,
      },
    ]);
    harness.clock.advance(60_000);
    expect(summaries()).toHaveLength(1);
    // The next line has what happened since.
    harness.clock.advance(10_000);
    expect(summaries().slice(1)).toMatchObject([
      { connected: 0, left: 2, left_by: " (no_pong: 2)", refused: 0, refused_by: "", active: 0 },
    ]);
  });

  test("with no more of what a client said than one reads", () => {
    refuse(400, "x".repeat(100_000));
    harness.joinWith({ id: "", subjects: ["a"], durable: "d".repeat(100_000) });
    for (const line of details()) expect(JSON.stringify(line).length).toBeLessThan(1000);
  });

  test("to the last one, when the gateway stops, and no timer is left", async () => {
    harness.join();
    await harness.clients.drain(0);
    expect(summaries()).toMatchObject([{ connected: 1, left: 1, active: 0 }]);
    expect(harness.clock.timers).toBe(0);
  });
});

describe("Clients that are cut", () => {
  test("are logged with their reason, one line a second for each", () => {
    const harness = new Harness({ maxMalformedFrames: 0 });
    for (let n = 0; n < 3; n++) harness.join().send("x");
    expect(harness.warnings).toMatchObject([{ code: 4400, client: "test", others: 0 }]);
    harness.clock.advance(1000);
    harness.join().send("x");
    expect(harness.warnings[1]).toMatchObject({ code: 4400, others: 2 });
  });
});
