import { Hono } from "hono";
import { NONCE, type SecureHeadersVariables, secureHeaders } from "hono/secure-headers";
import { type ConsoleOptions, consolePage } from "./console-page.ts";

/** Creates the route of the console at `/`. Its policy allows only its own script, and requests only to this host. */
export function consoleRoutes(
  options: ConsoleOptions,
): Hono<{ Variables: SecureHeadersVariables }> {
  const headers = secureHeaders({
    contentSecurityPolicy: {
      defaultSrc: ["'none'"],
      scriptSrc: [NONCE],
      styleSrc: [NONCE],
      // This includes the WebSocket of the same host (CSP 3 §6.7.2.8).
      connectSrc: ["'self'"],
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
    return c.html(consolePage({ ...options, nonce }), 200, { "Cache-Control": "no-store" });
  });
}
