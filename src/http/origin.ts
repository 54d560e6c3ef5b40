import { readAuthority } from "./host.ts";

/** The default ports, which URLs leave out. */
const DEFAULT_PORTS: readonly number[] = [80, 443];

/**
 * Returns whether a page has the same origin as the gateway, according to the `Host` of its request.
 *
 * Many proxies pass on the name without the port (nginx' `Host $host`). If the gateway listens on another port than 80
 * and 443, such a `Host` comes from a proxy. Then the page's port can't be compared, and only the name decides.
 *
 * @param origin the header, as browsers send it with each WebSocket handshake (RFC 6455 §10.2),
 * each request of another origin, and each POST.
 * @param port the gateway's port; `undefined` if it is unknown.
 */
export function isOwnOrigin(
  origin: string,
  host: string | undefined,
  port: number | undefined,
): boolean {
  const here = host === undefined ? undefined : readAuthority(host);
  if (here === undefined || !URL.canParse(origin)) return false;
  const page = new URL(origin);
  // Parsed with the page's scheme, because Host may have or lack that scheme's default port.
  const url = `${page.protocol}//${here.name}:${here.port}`;
  if (page.origin === "null" || !URL.canParse(url)) return false;
  const own = new URL(url);
  const portIsKnown = here.port !== "" || port === undefined || DEFAULT_PORTS.includes(port);
  return (
    own.hostname === page.hostname.replace(/\.$/, "") && (!portIsKnown || own.port === page.port)
  );
}

/**
 * Returns an `Origin` that is safe to log and to use in a configuration, or `undefined` if it isn't valid. The client
 * chooses the text.
 */
export function printableOrigin(origin: string): string | undefined {
  return /^(?:null|[\w+.-]+:\/\/[\w.:[\]-]+)$/.test(origin) && origin.length <= 300
    ? origin
    : undefined;
}
