/** The WebSocket subprotocols that the gateway speaks. */
export const SUBPROTOCOLS = ["spillway.v1.json"] as const;
