import { describe, expect, test } from "bun:test";
import { parseConfig } from "../../src/config/parse.ts";
import type { Log } from "../../src/core/ports/log.ts";
import { createListeningGateway } from "../../src/gateway/gateway.ts";
import { createRegistry } from "../../src/metrics/prometheus.ts";
import { MemorySource } from "../../src/source/memory.ts";

const SILENT: Log = { debug() {}, info() {}, warn() {}, error() {} };

/** A source that fails, and counts how often it was asked to stop. */
class FailingSource extends MemorySource {
  stops = 0;
  readonly #failing: "drain" | "stop" | "both";

  constructor(failing: "drain" | "stop" | "both") {
    super();
    this.#failing = failing;
  }

  override async drain(timeoutMs: number): Promise<void> {
    if (this.#failing !== "stop") throw new Error("drain failed");
    await super.drain(timeoutMs);
  }

  override async stop(timeoutMs: number): Promise<void> {
    this.stops++;
    await super.stop(timeoutMs);
    if (this.#failing !== "drain") throw new Error("stop failed");
  }
}

/** The close code of a WebSocket. */
function closed(socket: WebSocket): Promise<number> {
  return new Promise((resolve) => socket.addEventListener("close", ({ code }) => resolve(code)));
}

describe("A stop", () => {
  test.each([
    ["drain", "drain failed"],
    ["stop", "stop failed"],
    ["both", "drain failed"],
  ] as const)(
    "whose source fails at %s tells the clients, closes every listener and says so",
    async (failing, reason) => {
      const source = new FailingSource(failing);
      const ports: number[] = [];
      const log: Log = {
        ...SILENT,
        info: (_, properties) => {
          if (properties?.event === "admin_listening") ports.push(Number(properties.port));
        },
      };
      const gateway = createListeningGateway(parseConfig({ port: 0, admin_port: 0 }), {
        source,
        log,
      });
      await gateway.start();
      ports.push(gateway.address!.port);
      expect(ports).toHaveLength(2);
      const client = new WebSocket(`ws://127.0.0.1:${gateway.address!.port}/ws`);
      await new Promise((resolve) => client.addEventListener("open", resolve));
      const told = closed(client);
      await expect(gateway.stop(1000)).rejects.toMatchObject({
        code: "STOP_FAILED",
        message: `Cannot stop: ${reason}`,
      });
      expect(await told).toBe(1001);
      expect(source.stops).toBe(1);
      for (const port of ports)
        await expect(fetch(`http://127.0.0.1:${port}/livez`)).rejects.toThrow();
      // It can be started again.
      await gateway.start();
      expect((await fetch(`http://127.0.0.1:${gateway.address!.port}/livez`)).status).toBe(200);
      await gateway.stop(1000).catch(() => {});
    },
  );

  test("waits for a collector of telemetry that never answers, but not longer than it may take", async () => {
    let flushes = 0;
    const flush = (): Promise<void> => {
      flushes++;
      return new Promise(() => {});
    };
    const telemetry = { registry: createRegistry(), flush };
    const gateway = createListeningGateway(parseConfig({ port: 0 }), { log: SILENT, telemetry });
    await gateway.start();
    await gateway.stop(400);
    expect(flushes).toBe(1);
  });
});
