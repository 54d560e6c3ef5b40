import { describe, expect, test } from "bun:test";
import type { MessageSource, SourceStatus } from "../../src/core/ports/source.ts";
import { Readiness } from "../../src/gateway/readiness.ts";
import { Harness } from "../core/support/harness.ts";

/** A readiness whose source's status the test sets. */
function readiness() {
  const harness = new Harness({ maxClients: 1 });
  let status: SourceStatus = { state: "idle" };
  const source: MessageSource = {
    name: "NATS",
    get status() {
      return status;
    },
    start() {},
    subscribe() {},
    unsubscribe() {},
    async drain() {},
    async stop() {},
  };
  const judge = new Readiness(harness.clock, source, harness.broadcaster, harness.clients);
  const become = (next: SourceStatus): void => {
    status = next;
    judge.sourceChanged(next);
  };
  return { harness, judge, become };
}

const LOST: SourceStatus = { state: "connecting", reason: "connection refused" };
const CONNECTED: SourceStatus = { state: "connected", to: "127.0.0.1:4222" };
const NOT_READY = { ready: false, reasons: ["NATS is not connected: connection refused"] };
const READY = { ready: true, reasons: [] };

describe("Readiness", () => {
  test("ends with the beginning of a drain, and says only that", () => {
    const { harness, judge, become } = readiness();
    judge.started();
    become(CONNECTED);
    judge.draining();
    const draining = { ready: false, reasons: ["the gateway is draining: it stops soon"] };
    expect(judge.report()).toEqual(draining);
    harness.clients.refuse();
    expect(judge.report()).toEqual(draining);
    judge.stopped();
    harness.clients.open();
    judge.started();
    become(CONNECTED);
    expect(judge.report()).toEqual(READY);
  });

  test("is not there before the start, and not after the stop", () => {
    const { judge, become } = readiness();
    const stopped = { ready: false, reasons: ["the gateway is not running"] };
    expect(judge.report()).toEqual(stopped);
    judge.started();
    become(CONNECTED);
    expect(judge.report()).toEqual(READY);
    judge.stopped();
    become({ state: "idle" });
    expect(judge.report()).toEqual(stopped);
  });

  test("is refused at once as long as NATS was never connected, with the reason", () => {
    const { judge, become } = readiness();
    judge.started();
    become(LOST);
    expect(judge.report()).toEqual(NOT_READY);
  });

  test("outlives a lost connection for two seconds, counted from the loss", () => {
    const { harness, judge, become } = readiness();
    judge.started();
    become(CONNECTED);
    become(LOST);
    harness.clock.advance(1999);
    become(LOST);
    expect(judge.report()).toEqual(READY);
    harness.clock.advance(1);
    expect(judge.report()).toEqual(NOT_READY);
    become(CONNECTED);
    expect(judge.report()).toEqual(READY);
  });

  test("is refused when no more clients are taken in", () => {
    const { harness, judge, become } = readiness();
    judge.started();
    become(CONNECTED);
    harness.join();
    expect(judge.report()).toEqual({
      ready: false,
      reasons: ["the maximum number of clients (max_clients) is connected"],
    });
  });
});
