import type { Runtime, RuntimeOptions } from "./runtime.ts";

/** The sockets that clients connect to; see the configuration's key `sockets`. */
export type SocketChoice = "auto" | "native" | "node";

/**
 * Loads the adapter for the runtime of this process, and no other's packages.
 *
 * Node's sockets also serve on Bun and Deno, through their `node:http`. With them, a whole flush takes one write per
 * client; Bun's publish writes 32 frames at a time and Deno's own sockets one. So Node's sockets carry several times as
 * much on both (bench/RESULTS.md has the figures, and the memory that they take).
 *
 * @param choice `"auto"` is the fastest, and in a host's own server always the runtime's own sockets.
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
  // Connections to NATS still get their certificates in the runtime's own way.
  return Object.assign(createNodeRuntime(limits), { dialWebSocket: own.dialWebSocket });
}

/** Whether this is Cloudflare Workers, which also say that they are Node. */
export function isCloudflare(): boolean {
  return (globalThis.navigator as Navigator | undefined)?.userAgent === "Cloudflare-Workers";
}

async function createOwnRuntime(limits: RuntimeOptions): Promise<Runtime> {
  if ("Bun" in globalThis) return (await import("./bun.ts")).createBunRuntime(limits);
  if ("Deno" in globalThis) return (await import("./deno.ts")).createDenoRuntime(limits);
  return (await import("./node.ts")).createNodeRuntime(limits);
}
