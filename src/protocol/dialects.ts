/**
 * How a client speaks with the gateway.
 *
 * - `"plain"`: a WebSocket without subprotocol.
 * - `"v1"`: a WebSocket with the subprotocol {@linkcode SUBPROTOCOL}.
 * - `"sse"`: server-sent events.
 */
export type DialectName = "plain" | "v1" | "sse";

export const SUBPROTOCOL = "spillway.v1.json";
