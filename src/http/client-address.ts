import type { Context } from "hono";
import ipaddr from "ipaddr.js";
import type { Fanout } from "../core/ports/socket.ts";
import type { SocketRuntime } from "../runtime/runtime.ts";
import { type Derive, made } from "./derive.ts";

export interface AddressOptions {
  /** The addresses, and ranges of addresses, of proxies in front of the gateway. */
  readonly trustedProxies: readonly string[];
  /** The header in which they add the address of their client. */
  readonly forwardedHeader: "x-forwarded-for" | "forwarded";
}

/** All proxies together add less; a client may have written any amount before. */
const MAX_READ_LENGTH = 4096;

type Range = readonly [ipaddr.IPv4 | ipaddr.IPv6, number];

/**
 * Finds the address of a client behind proxies. Each proxy adds the address of its own client at the end of the header,
 * so the header is read from right to left, as long as a trusted proxy has written: a client may have made up everything
 * that is further to the left.
 *
 * - `X-Forwarded-For`: addresses, separated by commas.
 * - `Forwarded` (RFC 7239): the parameter `for` of each element.
 */
export class ClientAddresses {
  readonly #trusted: readonly Range[];
  readonly #header: AddressOptions["forwardedHeader"];

  constructor({ trustedProxies, forwardedHeader }: AddressOptions) {
    this.#trusted = trustedProxies.map(rangeOf);
    this.#header = forwardedHeader;
  }

  /**
   * Returns the address of a client: of the peer, unless that is a trusted proxy that names another one.
   *
   * @param peer the address of the connection's other end.
   */
  of(peer: string, headers: Headers): string {
    if (this.#trusted.length === 0 || !this.#isTrusted(peer)) return peer;
    const header = headers.get(this.#header);
    if (header === null) return peer;
    let client = peer;
    for (const hop of hopsOf(this.#header, endOf(header)).reverse()) {
      const address = addressOf(hop);
      // If the address that a trusted proxy wrote can't be read, nothing before it can be trusted.
      if (address === undefined) return client;
      client = address;
      if (!this.#isTrusted(address)) return client;
    }
    return client;
  }

  #isTrusted(address: string): boolean {
    if (!ipaddr.isValid(address)) return false;
    const parsed = ipaddr.process(address);
    return this.#trusted.some(
      ([range, bits]) => parsed.kind() === range.kind() && parsed.match(range, bits),
    );
  }
}

/** Makes sockets of requests. It doesn't write to topics, as a fanout does. */
export type RequestSockets = Omit<SocketRuntime, keyof Fanout>;

/** Returns sockets whose peers have the addresses that trusted proxies say. */
export function behindProxies(
  sockets: RequestSockets,
  options: AddressOptions,
  derive: Derive = made,
): RequestSockets {
  const addresses = derive(() => new ClientAddresses(options));
  return {
    upgrade: (c, events, protocol) => sockets.upgrade(c, events, protocol),
    addressOf: (c) => addresses().of(sockets.addressOf(c), c.req.raw.headers),
    ...(sockets.drop !== undefined && { drop: (c: Context) => sockets.drop?.(c) }),
    ...(sockets.keepOpen !== undefined && { keepOpen: (c: Context) => sockets.keepOpen?.(c) }),
  };
}

/** Returns the group under which an address is counted: for IPv6 its /64 network, in which a client may choose any address. */
export function addressGroupOf(address: string): string {
  if (!ipaddr.isValid(address)) return address;
  const parsed = ipaddr.process(address);
  if (parsed.kind() === "ipv4") return parsed.toString();
  return `${ipaddr.IPv6.networkAddressFromCIDR(`${parsed.toString()}/64`).toString()}/64`;
}

function rangeOf(text: string): Range {
  if (ipaddr.isValidCIDR(text)) return ipaddr.parseCIDR(text);
  const address = ipaddr.process(text);
  return [address, address.kind() === "ipv4" ? 32 : 128];
}

/** Returns the end of a header, from the beginning of a hop on. */
function endOf(header: string): string {
  if (header.length <= MAX_READ_LENGTH) return header;
  const end = header.slice(-MAX_READ_LENGTH);
  const comma = end.indexOf(",");
  return comma < 0 ? "" : end.slice(comma + 1);
}

/** Returns the hops that a header names, from left to right; a hop that can't be read is empty. */
function hopsOf(header: AddressOptions["forwardedHeader"], value: string): string[] {
  const elements = value.split(",");
  if (header === "x-forwarded-for") return elements.map((element) => element.trim());
  return elements.map((element) => {
    const [, quoted, token] =
      /(?:^|;)\s*for=(?:"([^"\\]*)"|([^\s;,"]*))\s*(?:;|$)/i.exec(element) ?? [];
    return quoted ?? token ?? "";
  });
}

/** Reads an address with or without a port: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]:80`. */
function addressOf(hop: string): string | undefined {
  const [, bracketed, plain = hop] = /^(?:\[([^\]]*)\]|([\d.]+))(?::\d{1,5})?$/.exec(hop) ?? [];
  const text = bracketed ?? plain;
  // A name, or a short form like `127.1`, is nothing that a proxy writes.
  const isWhole = text.includes(":") || /^\d+(?:\.\d+){3}$/.test(text);
  return isWhole && ipaddr.isValid(text) ? ipaddr.process(text).toString() : undefined;
}
