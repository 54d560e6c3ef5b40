import { readAuthority } from "./host.ts";

/** The ports that URLs leave out. */
const DEFAULT_PORTS: readonly number[] = [80, 443];

/**
 * Whether a page is from the same origin as the gateway, as far as the `Host` of its request tells.
 *
 * Many proxies pass the name on without the port (nginx' `Host $host`). A gateway that listens on
 * another port than 80 and 443 gets such a `Host` from a proxy only, so that the page's port can't
 * be compared: the name alone decides.
 *
 * @param origin the header, as browsers send it with each WebSocket handshake (RFC 6455 §10.2),
 * each request of another origin, and each POST.
 * @param port where the gateway listens; `undefined` where that isn't known.
 */
export function isOwnOrigin(
  origin: string,
  host: string | undefined,
  port: number | undefined,
): boolean {
  const here = host === undefined ? undefined : readAuthority(host);
  if (here === undefined || !URL.canParse(origin)) return false;
  const page = new URL(origin);
  // Parsed with the page's scheme, because that scheme's own port may be written or left out.
  const url = `${page.protocol}//${here.name}:${here.port}`;
  if (page.origin === "null" || !URL.canParse(url)) return false;
  const own = new URL(url);
  const portIsKnown = here.port !== "" || port === undefined || DEFAULT_PORTS.includes(port);
  return (
    own.hostname === page.hostname.replace(/\.$/, "") && (!portIsKnown || own.port === page.port)
  );
}

/**
 * An `Origin` as it may stand in a log and a configuration: `undefined` for what isn't one. Whoever
 * sends it chooses the text.
 */
export function printableOrigin(origin: string): string | undefined {
  return /^(?:null|[\w+.-]+:\/\/[\w.:[\]-]+)$/.test(origin) && origin.length <= 300
    ? origin
    : undefined;
}
