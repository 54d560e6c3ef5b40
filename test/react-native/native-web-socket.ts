/** The native module behind React Native's `WebSocket`, as far as an app can notice the difference, on the sockets of `ws`. */
import WebSocket from "ws";

/** Emits an event of a socket to the app. */
type Emit = (name: string, body: Readonly<Record<string, unknown>>) => void;

/** The close code of a connection that is lost. */
const LOST = 1006;

export interface NativeWebSocket {
  connect(url: string, protocols: string[] | null, options: object, id: number): void;
  send(message: string, id: number): void;
  close(code: number, reason: string, id: number): void;
  addListener(name: string): void;
  removeListeners(count: number): void;
}

/**
 * Makes the module as the platforms have it (`WebSocketModule.kt`, `RCTWebSocketModule.mm`). Both send the `Origin` of the
 * URL. Android knows a socket only while it is open, so that a `close` before that has no effect.
 */
export function nativeWebSocket(platform: "android" | "ios", emit: Emit): NativeWebSocket {
  const sockets = new Map<number, WebSocket>();

  const lost = (id: number, message: string | null): void => {
    sockets.delete(id);
    emit("websocketFailed", { id, message });
  };

  return {
    connect(url, protocols, _options, id) {
      const socket = new WebSocket(url, protocols ?? [], {
        headers: { Origin: new URL(url.replace(/^ws/, "http")).origin },
      });
      let failure: string | null = null;
      if (platform === "ios") sockets.set(id, socket);
      socket.on("open", () => {
        sockets.set(id, socket);
        emit("websocketOpen", { id, protocol: socket.protocol });
      });
      socket.on("message", (data, isBinary) => {
        if (!isBinary) emit("websocketMessage", { id, type: "text", data: `${data}` });
      });
      socket.on("error", ({ message }) => {
        failure = message;
      });
      socket.on("close", (code, reason) => {
        if (code === LOST) lost(id, failure);
        else {
          const said = platform === "ios" && reason.length === 0 ? null : `${reason}`;
          emit("websocketClosed", { id, code, reason: said });
        }
      });
    },

    send(message, id) {
      const socket = sockets.get(id);
      if (socket !== undefined) socket.send(message);
      else if (platform === "android") {
        lost(id, "client is null");
        emit("websocketClosed", { id, code: 0, reason: "client is null" });
      }
    },

    close(code, reason, id) {
      const socket = sockets.get(id);
      sockets.delete(id);
      if (socket?.readyState === WebSocket.CONNECTING) socket.terminate();
      else socket?.close(code, reason);
    },

    addListener() {},
    removeListeners() {},
  };
}
