import type { Context } from "hono";
import { problem } from "./problem.ts";

export interface OriginOptions {
  /** Origins like `https://app.example.com`, or `*` for all. */
  readonly allowedOrigins: readonly string[];
  /** Whether only this machine can connect, because the server listens on loopback. */
  readonly loopback: boolean;
}

const LOOPBACK_NAMES = new Set(["localhost", "127.0.0.1", "[::1]"]);

/** Whether an address, as it is configured, is one that only this machine reaches. */
export function isLoopback(host: string): boolean {
  return LOOPBACK_NAMES.has(host) || host === "::1";
}

/**
 * Whether a browser's page may use this gateway.
 *
 * Browsers send `Origin` with every WebSocket handshake and every POST (RFC 6455 §10.2) and
 * nothing else protects a server on their user's machine or network from the pages they visit.
 * Other clients send none, and are not what this check is about.
 *
 * A page from the same host is welcome. On loopback that host must be this machine by name: a page
 * whose name was made to point here (DNS rebinding) is from the "same host" too. A proxy on the same
 * machine passes another name on, which then must be in `allowed_origins`.
 */
export function isAllowedOrigin(c: Context, options: OriginOptions): boolean {
  return isWelcome(c.req.header("origin"), c.req.header("host"), options);
}

/** As `isAllowedOrigin`, of the two headers. */
export function isWelcome(
  origin: string | undefined,
  host: string | undefined,
  { allowedOrigins, loopback }: OriginOptions,
): boolean {
  if (origin === undefined || allowedOrigins.includes("*") || allowedOrigins.includes(origin)) {
    return true;
  }
  if (host === undefined || !URL.canParse(origin)) return false;
  const page = new URL(origin);
  if (loopback && !LOOPBACK_NAMES.has(page.hostname)) return false;
  // Parsed, because the scheme's own port may be written or left out.
  const here = `${page.protocol}//${host}`;
  return URL.canParse(here) && new URL(here).href === `${page.origin}/`;
}

/** Says what to do, to whoever configures the gateway. */
export function originRefusal(c: Context): Response {
  const origin = c.req.header("origin");
  const detail =
    origin === "null"
      ? "Pages from files and sandboxes may not connect: serve the page over HTTP"
      : `Pages from ${origin} may not connect: add it to allowed_origins`;
  return problem(c, 403, detail);
}
