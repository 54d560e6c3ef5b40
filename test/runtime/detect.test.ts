import { expect, test } from "bun:test";
import { createRuntime } from "../../src/runtime/detect.ts";

const limits = { maxFrameBytes: 1024, readTimeoutMs: 60_000, maxBodyBytes: 1024 };

test("Bun, on which the tests run, serves by its own sockets", async () => {
  for (const choice of ["auto", "native"] as const) {
    expect((await createRuntime(limits, choice, "listens")).name).toBe("bun");
  }
});

test("Bun refuses Node's sockets, and says why", async () => {
  const refusal = createRuntime(limits, "node", "listens");
  await expect(refusal).rejects.toMatchObject({ class: "invalid", code: "CONFIG_INVALID" });
  await expect(refusal).rejects.toThrow(/loses what a slow client has not read/);
});
