import { SpillwayError } from "../core/errors.ts";
import type { Runtime, SocketLimits } from "./runtime.ts";

/** Whose sockets clients connect to; see the configuration's key `sockets`. */
export type SocketChoice = "auto" | "native" | "node";

/**
 * Loads the adapter for the runtime that this process is, and no other's packages.
 *
 * Node's sockets also serve on Deno, through its `node:http`: flushes leave in one write there, which
 * Deno's own sockets can't do, and that makes them some thirty times as fast (bench/RESULTS.md). On Bun they don't:
 * Bun replaces the package `ws` by one of its own, under which what a slow client has not read is
 * lost (seen on Bun 1.4.5).
 *
 * @param choice `"auto"` takes the fastest that works; in a host's own server always the runtime's.
 * @throws SpillwayError `"CONFIG_INVALID"` (invalid) for `"node"` on Bun.
 */
export async function createRuntime(
  limits: SocketLimits,
  choice: SocketChoice,
  placement: "listens" | "mounted",
): Promise<Runtime> {
  const own = await createOwnRuntime(limits);
  const auto = own.name === "deno" && placement === "listens" ? "node" : "native";
  if (own.name === "node" || (choice === "auto" ? auto : choice) === "native") return own;
  if (own.name === "bun") {
    throw new SpillwayError(
      "invalid",
      "CONFIG_INVALID",
      'Cannot use configuration: "sockets" is "node" but must be "auto" or "native" on Bun, whose replacement of the package ws loses what a slow client has not read',
    );
  }
  const { createNodeRuntime } = await import("./node.ts");
  // Certificates for NATS are still given in the runtime's own way.
  return Object.assign(createNodeRuntime(limits), { dialWebSocket: own.dialWebSocket });
}

async function createOwnRuntime(limits: SocketLimits): Promise<Runtime> {
  if ("Bun" in globalThis) return (await import("./bun.ts")).createBunRuntime(limits);
  if ("Deno" in globalThis) return (await import("./deno.ts")).createDenoRuntime(limits);
  return (await import("./node.ts")).createNodeRuntime(limits);
}
