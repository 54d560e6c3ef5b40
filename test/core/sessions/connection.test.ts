import { describe, expect, test } from "bun:test";
import { Harness } from "../support/harness.ts";

describe("Connection", () => {
  test("ends once, and frames that it sends after the end change nothing", () => {
    const harness = new Harness();
    const { connection, session, socket, send } = harness.join();
    session.end("going_away");
    session.end("slow_consumer");
    connection.closed(1006);
    send("x");
    expect(socket.closedWith).toBe(1001);
    expect([...harness.meter.disconnections].filter(([, count]) => count > 0)).toEqual([
      ["going_away", 1],
    ]);
    expect(harness.meter.errorsTotal).toBe(0);
    harness.expectBalance();
  });
});
