import { type Context, Hono } from "hono";
import { NONCE, type SecureHeadersVariables, secureHeaders } from "hono/secure-headers";
import type { ClientUrl } from "./client-url.ts";
import { type ConsoleOptions, consolePage } from "./console-page.ts";

/**
 * Creates the route of the console at `/`. Its policy allows only its own script, and requests only to the gateway.
 *
 * @param clients where clients connect, if that is not where the page is asked for.
 */
export function consoleRoutes(
  options: () => ConsoleOptions,
  clients?: ClientUrl,
): Hono<{ Variables: SecureHeadersVariables }> {
  const headers = secureHeaders({
    contentSecurityPolicy: {
      defaultSrc: ["'none'"],
      scriptSrc: [NONCE],
      styleSrc: [NONCE],
      // This includes the WebSocket of the same host (CSP 3 §6.7.2.8).
      connectSrc: ["'self'", ...(clients === undefined ? [] : streamSources(clients))],
      imgSrc: ["data:"],
      baseUri: ["'none'"],
      formAction: ["'none'"],
      frameAncestors: ["'none'"],
      // The script can't turn a text into HTML, not even by mistake.
      requireTrustedTypesFor: ["'script'"],
      trustedTypes: ["'none'"],
    },
    xFrameOptions: "DENY",
    // One page must not decide that its host and all subdomains use only TLS.
    strictTransportSecurity: false,
  });
  return new Hono<{ Variables: SecureHeadersVariables }>().get("/", headers, (c) => {
    const nonce = c.get("secureHeadersNonce") ?? "";
    const base = clients?.(new URL(c.req.url)).origin;
    return c.html(consolePage({ ...options(), base, nonce }), 200, { "Cache-Control": "no-store" });
  });
}

/** Allows the page to connect to another port: by WebSocket, and to publish. */
function streamSources(clients: ClientUrl): ((c: Context) => string)[] {
  const origin = (c: Context): string => clients(new URL(c.req.url)).origin;
  return [origin, (c) => origin(c).replace(/^http/, "ws")];
}
