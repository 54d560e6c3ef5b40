import { expect } from "bun:test";
import type { Harness, TestClient } from "./harness.ts";
import { stateOf } from "./harness.ts";

/** The payload that makes a client lag. */
export const KILOBYTE = "x".repeat(1024);

/** Connects a client that reads nothing and lags, and one that keeps up. */
export function joinLagging(harness: Harness): { slow: TestClient; healthy: TestClient } {
  const slow = harness.join();
  const healthy = harness.join();
  slow.socket.reads = false;
  harness.publish(KILOBYTE);
  harness.clock.advance(300);
  expect(stateOf(slow.session)).toBe("queued");
  return { slow, healthy };
}
