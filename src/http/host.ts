/** A `Host` header (RFC 9110 §7.2): a name, an IPv4 address or an IPv6 one in brackets, perhaps with a port. */
const AUTHORITY = /^(\[[0-9A-Fa-f:.]+\]|[^\s/?#@\\,:[\]]+)(:\d*)?$/;

/** The two parts of a `Host` header. */
export interface Authority {
  /** As in a URL: in lower case, an IPv6 address in brackets and shortened, without a dot at its end. */
  readonly name: string;
  /** Without the colon; empty when none is given. */
  readonly port: string;
}

/** Reads a `Host` header; `undefined` when it is none. */
export function readAuthority(host: string): Authority | undefined {
  const [, name = "", port = ""] = AUTHORITY.exec(host) ?? [];
  const url = `http://${name}`;
  if (!URL.canParse(url)) return undefined;
  return { name: withoutLastDot(new URL(url).hostname), port: port.slice(1) };
}

/** A host as it is configured (an IPv6 address without brackets), as {@linkcode Authority} names it. */
export function hostnameOf(host: string): string {
  return readAuthority(host.includes(":") ? `[${host}]` : host)?.name ?? host;
}

/**
 * Whether a name or an address means this machine alone: `localhost` and all names below it
 * (RFC 6761 §6.3), 127.0.0.0/8 and ::1.
 */
export function isLoopback(host: string): boolean {
  const name = host.startsWith("[") ? host : hostnameOf(host);
  return (
    name === "localhost" ||
    name.endsWith(".localhost") ||
    /^127(?:\.\d+){3}$/.test(name) ||
    name === "[::1]" ||
    // 127.0.0.0/8 as IPv6 writes it.
    /^\[::ffff:7f[0-9a-f]{2}:[0-9a-f]+\]$/.test(name)
  );
}

/** Whether it is an IP address, to which no name can have been made to point. */
export function isAddress(name: string): boolean {
  return name.startsWith("[") || /^\d+(?:\.\d+){3}$/.test(name);
}

/** `localhost.` is the same host as `localhost`. */
function withoutLastDot(name: string): string {
  return name.endsWith(".") ? name.slice(0, -1) : name;
}
