import ipaddr from "ipaddr.js";
import { z } from "zod";
import { key } from "./key-facts.ts";
import { boolean, choice, integer, list, stating, timeout } from "./value-schemas.ts";

/** An IP address, or a range of addresses in CIDR notation (RFC 4632 §3.1, RFC 4291 §2.3). */
function addressRange() {
  const limits = 'an IP address or a range like "10.0.0.0/8"';
  const error = `must be ${limits}`;
  const isValid = (given: string) => ipaddr.isValid(given) || ipaddr.isValidCIDR(given);
  return stating(z.string({ error }).refine(isValid, { error }), "text", limits);
}

/** The keys of how much one client, or one address, may take of the gateway; and of how its address is known. */
export const limitKeys = {
  max_clients_per_address: key(
    "advanced",
    "The maximum number of connected clients of one IP address; IPv6 addresses with the same first 64 bits count as one. Without a token, it also has at most so many sessions without a connection. By default only max_clients counts.",
    integer(1, 1_000_000).optional(),
  ),
  max_clients_per_sub: key(
    "advanced",
    "The maximum number of connected clients of one user (the sub of a token), and of its sessions without a connection. By default only max_clients counts.",
    integer(1, 1_000_000).optional(),
  ),
  max_handshakes_per_second: key(
    "advanced",
    "The sustained number of clients that may connect per second; a burst may use five seconds of it, of which one address leaves a quarter to others. Clients that must wait are told with Retry-After when to try again. By default there is no limit.",
    integer(1, 1_000_000).optional(),
  ),
  max_publishes_per_second: key(
    "advanced",
    "The sustained number of messages and requests per second that a user, or an address for clients without a token, may publish on all connections and by POST; a burst may use two seconds of it. More are refused with too_many_requests. As many POSTs that their token doesn't allow are checked of one address; more are answered 429.",
    integer(1, 1_000_000).prefault(100),
  ),
  max_request_timeout: key(
    "advanced",
    "The longest time that a client may wait for the answer to a request.",
    timeout().prefault("10s"),
  ),
  publisher_header: key(
    "advanced",
    "Names the publisher in messages that clients publish, in the NATS headers Spillway-Sub and Spillway-Issuer.",
    boolean().prefault(false),
  ),
  trusted_proxies: key(
    "advanced",
    "The addresses of proxies in front of the gateway. The gateway believes a forwarded address only if one of these sent it.",
    list(addressRange(), 'addresses or ranges like "10.0.0.0/8"').prefault([]),
  ),
  forwarded_header: key(
    "advanced",
    "The header in which trusted_proxies add the address of their client. A proxy passes on the other header as the client wrote it, so only one counts.",
    choice(["x-forwarded-for", "forwarded"]).prefault("x-forwarded-for"),
  ),
};
