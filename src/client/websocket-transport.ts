import type { SUBPROTOCOL, TOKEN_OFFER_PREFIX } from "../protocol/dialects.ts";
import { base64Of } from "./payload.ts";
import type { OpenTransport, TransportEvents } from "./transport.ts";

const PROTOCOL: typeof SUBPROTOCOL = "spillway.v1.json";
const TOKEN_PREFIX: typeof TOKEN_OFFER_PREFIX = "spillway-token.";
/** `readyState` of an open WebSocket. */
const OPEN = 1;
/** The close code of a connection that is lost. */
const LOST = 1006;

/** Writes a token in base64url, as a subprotocol may not have other characters. */
function tokenOffer(token: string): string {
  const base64 = base64Of(new TextEncoder().encode(token));
  return TOKEN_PREFIX + base64.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** Speaks `spillway.v1.json` over a WebSocket. */
export const openWebSocket: OpenTransport = ({ url, token, session }, events, { WebSocket }) => {
  if (WebSocket === undefined)
    throw new Error("This runtime has no WebSocket: pass one in platform");
  const query = session ? `${url.includes("?") ? "&" : "?"}session=${session}` : "";
  const protocols = token === undefined ? [PROTOCOL] : [PROTOCOL, tokenOffer(token)];
  const socket = new WebSocket(url.replace(/^http/, "ws") + query, protocols);
  let listener: TransportEvents | undefined = events;
  const end = (code: number, reason: string): void => {
    const last = listener;
    listener = undefined;
    last?.close(code, reason);
  };
  socket.onmessage = ({ data }) => {
    if (typeof data !== "string") return;
    try {
      for (const line of data.split("\n")) if (line) listener?.frame(JSON.parse(line));
    } catch (error) {
      // Nobody could catch it: a program would end.
      end(LOST, `unreadable: ${error}`);
      socket.close();
    }
  };
  socket.onclose = ({ code, reason }) => end(code, reason);
  socket.onerror = () => {
    // Node 22 tells no close of a socket that can't be opened. Otherwise a close follows, which says more.
    if (socket.readyState < OPEN) end(LOST, "");
  };
  return {
    send(frame) {
      if (socket.readyState === OPEN) socket.send(JSON.stringify(frame));
    },
    close(code, reason) {
      listener = undefined;
      const leave = (): void => socket.close(code, reason);
      // React Native on Android ignores a `close` that comes before.
      socket.onopen = leave;
      leave();
    },
  };
};
