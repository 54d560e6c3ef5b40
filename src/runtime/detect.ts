import type { Runtime, SocketLimits } from "./runtime.ts";

/** Loads the adapter of the runtime that this process is, and no other's packages. */
export async function createRuntime(limits: SocketLimits): Promise<Runtime> {
  if ("Bun" in globalThis) return (await import("./bun.ts")).createBunRuntime(limits);
  if ("Deno" in globalThis) return (await import("./deno.ts")).createDenoRuntime(limits);
  return (await import("./node.ts")).createNodeRuntime(limits);
}
