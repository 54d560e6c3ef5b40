import { expect, test } from "bun:test";
import { measureLags } from "../../../src/core/sessions/client-lags.ts";

test("Half of the clients, nine of ten, and so on have no more lag than the value of their part", () => {
  const connections = [30, 10, 20].map((bytes, id) => ({
    lag: () => ({ id, address: "", seconds: bytes / 10, bytes }),
  }));
  const lags = measureLags(connections, 0);
  expect(lags.bytes).toEqual({ p50: 20, p90: 30, p99: 30, max: 30 });
  expect(lags.seconds).toEqual({ p50: 2, p90: 3, p99: 3, max: 3 });
});
