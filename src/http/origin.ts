/**
 * Whether a browser's page may use this gateway.
 *
 * Browsers send `Origin` with every WebSocket handshake and every POST (RFC 6455 §10.2) and
 * nothing else protects a server on their user's machine or network from the pages they visit.
 * Other clients send none, and are not what this check is about.
 *
 * @param host the request's `Host`: a page from the same host is always welcome.
 * @param allowed origins like `https://app.example.com`, or `*` for all.
 */
export function isAllowedOrigin(
  origin: string | undefined,
  host: string | undefined,
  allowed: readonly string[],
): boolean {
  if (origin === undefined || allowed.includes("*") || allowed.includes(origin)) return true;
  if (host === undefined || !URL.canParse(origin)) return false;
  const page = new URL(origin);
  // Parsed, because the scheme's own port may be written or left out.
  const here = `${page.protocol}//${host}`;
  return URL.canParse(here) && new URL(here).href === `${page.origin}/`;
}
