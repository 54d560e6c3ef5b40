import type { ServerWebSocket } from "bun";
import { Hono } from "hono";
import { clientScriptRoute } from "../../src/http/client-script.ts";
import type { ConsoleOptions } from "../../src/http/console-page.ts";
import { consoleRoutes } from "../../src/http/console-routes.ts";

/** What the console asks for. */
export interface Subscribe {
  readonly type: "subscribe";
  readonly id: string;
  readonly subjects: readonly string[];
  readonly policy?: string;
  readonly from?: { readonly after: string };
}

/** The console in somebody's app, with a test in the place of a gateway that speaks `spillway.v1.json`. */
export interface ConsoleHost {
  /** Of the server, without a slash at its end. */
  readonly url: string;
  /** The addresses of all WebSockets so far, from the path on. */
  readonly handshakes: readonly string[];
  /** What was subscribed to so far; each is answered at once. */
  readonly subscribes: readonly Subscribe[];
  /** What else was said by clients so far. */
  readonly said: readonly { readonly type: string }[];
  /** What was posted so far. */
  readonly posts: readonly { readonly path: string; readonly body: string }[];
  /** Sends texts to every client. */
  send(...texts: readonly string[]): void;
  /** Closes every client's socket. */
  close(code: number, reason?: string): void;
  stop(): Promise<void>;
}

/** Mounts the console at `prefix`, with and without a slash at its end. */
export function hostConsole(
  prefix: string,
  options: Partial<ConsoleOptions> & {
    readonly welcome?: object;
    /** More fields of `subscribed`. */
    readonly subscribed?: object;
  } = {},
): ConsoleHost {
  const sockets = new Set<ServerWebSocket<undefined>>();
  const handshakes: string[] = [];
  const subscribes: Subscribe[] = [];
  const said: { type: string }[] = [];
  const posts: { path: string; body: string }[] = [];
  const routes = consoleRoutes(() => ({
    path: "/ws",
    subjects: [">"],
    publish: true,
    acknowledges: false,
    takesToken: false,
    ...options,
  }));
  const app = new Hono({ strict: false })
    .route(prefix, routes)
    .route(prefix, clientScriptRoute("0"));
  app.post("*", async (c) => {
    const body = await c.req.text();
    posts.push({ path: new URL(c.req.url).pathname, body });
    return c.json({ bytes: body.length }, 202);
  });
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch(request, server) {
      if (!request.headers.has("upgrade")) return app.fetch(request);
      handshakes.push(request.url.slice(request.url.indexOf("/", "http://".length)));
      const headers = { "Sec-WebSocket-Protocol": "spillway.v1.json" };
      return server.upgrade(request, { headers }) ? undefined : new Response(null, { status: 400 });
    },
    websocket: {
      open(socket) {
        sockets.add(socket);
        socket.send(notice({ ...WELCOME, ...options.welcome }));
      },
      close: (socket) => void sockets.delete(socket),
      message(socket, text) {
        const frame = JSON.parse(String(text));
        if (frame.type !== "subscribe") {
          said.push(frame);
          return;
        }
        subscribes.push(frame);
        const { id, subjects, policy } = frame;
        const from = "run:0";
        const terms = { sub: id, subjects, policy, from, ...options.subscribed };
        socket.send(notice({ type: "subscribed", id, ...terms }));
      },
    },
  });
  return {
    url: `http://127.0.0.1:${server.port}`,
    handshakes,
    subscribes,
    said,
    posts,
    send(...texts) {
      for (const socket of sockets) for (const text of texts) socket.send(text);
    },
    close(code, reason = "") {
      for (const socket of sockets) socket.close(code, reason);
    },
    stop: () => server.stop(true),
  };
}

const WELCOME = {
  type: "welcome",
  session: "a-session-of-this-host",
  version: "0.0.0",
  server_time: 1_732_300_000_000,
  ping_interval_ms: 30_000,
  upstream: "connected",
  limits: { max_frame_bytes: 65_536, max_subscriptions: 64 },
  delivery_mode: "at-most-once",
};

/** Something else than a message, as the gateway says it. */
export function notice(
  frame: { readonly type: string } & Readonly<Record<string, unknown>>,
): string {
  return JSON.stringify(frame);
}

let messages = 0;

/** A data envelope of a JSON payload. */
export function envelope(subject: string, payload: unknown, encoding?: string): string {
  messages += 1;
  const mark = encoding === undefined ? {} : { encoding };
  const timestamp = 1_732_300_000_000 + messages;
  return JSON.stringify({
    type: "data",
    id: `m:${messages}`,
    timestamp,
    subject,
    ...mark,
    payload,
  });
}
