import type { Runtime, SocketLimits } from "./runtime.ts";

/**
 * Loads the adapter of the runtime that this process is, and no other's packages.
 *
 * @param sockets `"node"` takes Node's sockets on Bun and Deno too, which have `node:http`.
 */
export async function createRuntime(
  limits: SocketLimits,
  sockets: "native" | "node",
): Promise<Runtime> {
  const own = await createOwnRuntime(limits);
  if (sockets === "native" || own.name === "node") return own;
  const { createNodeRuntime } = await import("./node.ts");
  // Certificates for NATS are still given in the runtime's own way.
  return Object.assign(createNodeRuntime(limits), { dialWebSocket: own.dialWebSocket });
}

async function createOwnRuntime(limits: SocketLimits): Promise<Runtime> {
  if ("Bun" in globalThis) return (await import("./bun.ts")).createBunRuntime(limits);
  if ("Deno" in globalThis) return (await import("./deno.ts")).createDenoRuntime(limits);
  return (await import("./node.ts")).createNodeRuntime(limits);
}
