/**
 * How a client speaks with the gateway.
 *
 * - `"plain"`: a WebSocket without subprotocol, or with {@linkcode PLAIN_SUBPROTOCOL}.
 * - `"v1"`: a WebSocket with the subprotocol {@linkcode SUBPROTOCOL}.
 * - `"sse"`: server-sent events.
 */
export type DialectName = "plain" | "v1" | "sse";

export const SUBPROTOCOL = "spillway.v1.json";

/**
 * For plain clients that offer a token among the subprotocols: browsers close a connection whose answer names none of
 * the offered ones (RFC 6455 §4.1), and the token is never named in the answer.
 */
export const PLAIN_SUBPROTOCOL = "spillway.plain.json";

/** A subprotocol that begins with this has a token in base64url (RFC 4648 §5). It is never chosen. */
export const TOKEN_OFFER_PREFIX = "spillway-token.";
