/** A `Host` header (RFC 9110 §7.2): a name, an IPv4 address, or an IPv6 address in brackets, with or without a port. */
const AUTHORITY = /^(\[[0-9A-Fa-f:.]+\]|[^\s/?#@\\,:[\]]+)(:\d*)?$/;

/** The two parts of a `Host` header. */
export interface Authority {
  /** As in a URL: in lower case, without a final dot; an IPv6 address is shortened and in brackets. */
  readonly name: string;
  /** Without the colon; empty if there is none. */
  readonly port: string;
}

/** Reads a `Host` header. Returns `undefined` if it is malformed. */
export function readAuthority(host: string): Authority | undefined {
  const [, name = "", port = ""] = AUTHORITY.exec(host) ?? [];
  const url = `http://${name}`;
  if (!URL.canParse(url)) return undefined;
  return { name: withoutLastDot(new URL(url).hostname), port: port.slice(1) };
}

/** Returns the {@linkcode Authority}'s name of a configured host, whose IPv6 address has no brackets. */
export function hostnameOf(host: string): string {
  return readAuthority(host.includes(":") ? `[${host}]` : host)?.name ?? host;
}

/**
 * Returns whether a name or an address always means this machine: `localhost` and all names below it
 * (RFC 6761 §6.3), 127.0.0.0/8 and ::1.
 */
export function isLoopback(host: string): boolean {
  const name = host.startsWith("[") ? host : hostnameOf(host);
  return (
    name === "localhost" ||
    name.endsWith(".localhost") ||
    /^127(?:\.\d+){3}$/.test(name) ||
    name === "[::1]" ||
    // 127.0.0.0/8 as an IPv6 address.
    /^\[::ffff:7f[0-9a-f]{2}:[0-9a-f]+\]$/.test(name)
  );
}

/** Returns whether a host is an IP address, which DNS rebinding can't use. */
export function isAddress(name: string): boolean {
  return name.startsWith("[") || /^\d+(?:\.\d+){3}$/.test(name);
}

/** `localhost.` is the same host as `localhost`. */
function withoutLastDot(name: string): string {
  return name.endsWith(".") ? name.slice(0, -1) : name;
}
