import type { Runtime, RuntimeOptions } from "./runtime.ts";

/** Whose sockets clients connect to; see the configuration's key `sockets`. */
export type SocketChoice = "auto" | "native" | "node";

/**
 * Loads the adapter for the runtime that this process is, and no other's packages.
 *
 * Node's sockets also serve on Bun and Deno, through their `node:http`: there a whole flush leaves in
 * one write per client. Bun's publish writes 32 frames at a time and Deno's own sockets one, so
 * that Node's carry several times as much on both (bench/RESULTS.md says how much, and what memory
 * they take for it).
 *
 * @param choice `"auto"` takes the fastest; in a host's own server always the runtime's own.
 */
export async function createRuntime(
  limits: RuntimeOptions,
  choice: SocketChoice,
  placement: "listens" | "mounted",
): Promise<Runtime> {
  const own = await createOwnRuntime(limits);
  const auto = placement === "listens" ? "node" : "native";
  if (own.name === "node" || (choice === "auto" ? auto : choice) === "native") return own;
  const { createNodeRuntime } = await import("./node.ts");
  // Certificates for NATS are still given in the runtime's own way.
  return Object.assign(createNodeRuntime(limits), { dialWebSocket: own.dialWebSocket });
}

async function createOwnRuntime(limits: RuntimeOptions): Promise<Runtime> {
  if ("Bun" in globalThis) return (await import("./bun.ts")).createBunRuntime(limits);
  if ("Deno" in globalThis) return (await import("./deno.ts")).createDenoRuntime(limits);
  return (await import("./node.ts")).createNodeRuntime(limits);
}
