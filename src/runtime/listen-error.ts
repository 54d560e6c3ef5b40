import { lookup } from "node:dns/promises";
import { createServer, isIP } from "node:net";
import { reasonOf, SpillwayError } from "../core/ports/errors.ts";

/** How long the lookup of a host name may take. Then the error is reported without its result. */
const LOOKUP_TIMEOUT_MS = 5000;

/** The part of Deno's namespace that is used here. */
interface DenoNamespace {
  listen(options: { hostname: string; port: number }): { close(): void };
}

/**
 * Returns the error for an address that the gateway can't listen on. The message says what is wrong in the same words
 * on every runtime.
 *
 * Runtimes report the same failure differently, so this looks up the host name and tries its addresses once more:
 *
 * - Bun: for a host name, the error's code may be that of an earlier system call. An unknown name is reported as
 *   "port in use".
 * - Deno: `node:net` reports every unlisted failure as EINVAL; `Deno.listen` has the real code.
 */
export async function cannotListen(
  host: string,
  port: number,
  cause: unknown,
): Promise<SpillwayError> {
  const address = `${isIP(host) === 6 ? `[${host}]` : host}:${port}`;
  const reason = await explain(host, port, cause);
  const message = `Cannot listen on ${address}: ${reason}`;
  return new SpillwayError("LISTEN_FAILED", message, { cause });
}

/**
 * Tries whether nobody listens on an address, and frees it again. A port that processes share can't tell them from strangers.
 *
 * @throws SpillwayError `"LISTEN_FAILED"` (transient) if the address can't be used.
 */
export async function expectFree(host: string, port: number): Promise<void> {
  const addresses = isIP(host) === 0 ? await addressesOf(host).catch(() => [host]) : [host];
  for (const address of addresses) {
    const error = await tryListen(address, port);
    if (error !== undefined) throw await cannotListen(host, port, error);
  }
}

async function explain(host: string, port: number, cause: unknown): Promise<string> {
  let addresses = [host];
  if (isIP(host) === 0) {
    try {
      addresses = await addressesOf(host);
    } catch (error) {
      return lookupReason(host, error);
    }
  }
  for (const address of addresses) {
    const error = await tryListen(address, port);
    if (error !== undefined) return listenReason(host, address, port, error);
  }
  return listenReason(host, host, port, cause);
}

async function addressesOf(name: string): Promise<string[]> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const timeout = new Promise<never>((_, reject) => {
    const error = Object.assign(new Error("no answer in time"), { code: "ETIMEOUT" });
    timer = setTimeout(() => reject(error), LOOKUP_TIMEOUT_MS);
  });
  try {
    const found = await Promise.race([lookup(name, { all: true }), timeout]);
    return found.map(({ address }) => address);
  } finally {
    clearTimeout(timer);
  }
}

/** Tries to listen on an address. Returns the error, or `undefined` if it works now. */
function tryListen(address: string, port: number): Promise<unknown> {
  const { Deno } = globalThis as { Deno?: DenoNamespace };
  if (Deno !== undefined) {
    try {
      Deno.listen({ hostname: address, port }).close();
      return Promise.resolve(undefined);
    } catch (error) {
      return Promise.resolve(error);
    }
  }
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", resolve);
    server.listen({ host: address, port }, () => server.close(() => resolve(undefined)));
  });
}

function lookupReason(name: string, error: unknown): string {
  switch (codeOf(error)) {
    case "ENOTFOUND":
    case "ENODATA":
      return `the host name "${name}" is unknown`;
    case "EAI_AGAIN":
    case "ETIMEOUT":
    case "ETIMEDOUT":
      return `the host name "${name}" can't be looked up, as no name server answers`;
    default:
      return `the host name "${name}" can't be looked up: ${reasonOf(error)}`;
  }
}

function listenReason(host: string, address: string, port: number, error: unknown): string {
  const shown = host === address ? address : `${address} (${host})`;
  switch (codeOf(error)) {
    case "EADDRINUSE":
      return "the port is in use";
    case "EADDRNOTAVAIL":
      return `${shown} is not an address of this machine${isIP(address) === 6 ? ", or IPv6 is off" : ""}`;
    case "EAFNOSUPPORT":
      return `this machine has no IPv${isIP(address) === 6 ? 6 : 4}`;
    case "EACCES":
    case "EPERM":
      return `this user may not listen on port ${port}: the system keeps low ports for root and for programs with CAP_NET_BIND_SERVICE`;
    case "EMFILE":
    case "ENFILE":
      return "no more files may be open: raise the limit (ulimit -n)";
    default:
      return reasonOf(error);
  }
}

function codeOf(error: unknown): unknown {
  return (error as { code?: unknown } | undefined)?.code;
}
