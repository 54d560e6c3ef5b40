import { Hono } from "hono";
import { NONCE, type SecureHeadersVariables, secureHeaders } from "hono/secure-headers";
import { type ConsoleOptions, consolePage } from "./console-page.ts";

/** The console at `/`, under a policy that lets only its own script run, and that reach this host alone. */
export function consoleRoutes(
  options: ConsoleOptions,
): Hono<{ Variables: SecureHeadersVariables }> {
  const headers = secureHeaders({
    contentSecurityPolicy: {
      defaultSrc: ["'none'"],
      scriptSrc: [NONCE],
      styleSrc: [NONCE],
      // The WebSocket of the same host is meant too (CSP 3 §6.7.2.8).
      connectSrc: ["'self'"],
      imgSrc: ["data:"],
      baseUri: ["'none'"],
      formAction: ["'none'"],
      frameAncestors: ["'none'"],
      // No text becomes HTML, not even by mistake.
      requireTrustedTypesFor: ["'script'"],
      trustedTypes: ["'none'"],
    },
    xFrameOptions: "DENY",
    // Whether a host and all its subdomains use TLS alone is not for one of its pages to say.
    strictTransportSecurity: false,
  });
  return new Hono<{ Variables: SecureHeadersVariables }>().get("/", headers, (c) => {
    const nonce = c.get("secureHeadersNonce") ?? "";
    return c.html(consolePage({ ...options, nonce }), 200, { "Cache-Control": "no-store" });
  });
}
