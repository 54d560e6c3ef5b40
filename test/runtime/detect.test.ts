import { expect, test } from "bun:test";
import { createRuntime } from "../../src/runtime/detect.ts";

const limits = {
  maxConnections: 1000,
  requestTimeoutMs: 60_000,
  maxFrameBytes: 1024,
  readTimeoutMs: 60_000,
  maxBodyBytes: 1024,
  compression: false,
  compressionThresholdBytes: 1024,
};

test("Bun, on which the tests run, listens with Node's sockets, and with its own when told to", async () => {
  expect((await createRuntime(limits, "auto", "listens")).name).toBe("node");
  expect((await createRuntime(limits, "node", "listens")).name).toBe("node");
  expect((await createRuntime(limits, "native", "listens")).name).toBe("bun");
});

test("Bun serves by its own sockets in a host's own server", async () => {
  expect((await createRuntime(limits, "auto", "mounted")).name).toBe("bun");
});
