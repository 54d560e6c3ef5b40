import type { ServerWebSocket } from "bun";
import { Hono } from "hono";
import type { ConsoleOptions } from "../../src/http/console-page.ts";
import { consoleRoutes } from "../../src/http/console-routes.ts";

/** The console in somebody's app, with a test in the gateway's place. */
export interface ConsoleHost {
  /** Of the server, without a slash at its end. */
  readonly url: string;
  /** The addresses of all WebSockets so far, from the path on. */
  readonly handshakes: readonly string[];
  /** What was posted so far. */
  readonly posts: readonly { readonly path: string; readonly body: string }[];
  /** Sends texts to every client. */
  send(...texts: readonly string[]): void;
  /** Closes every client's socket. */
  close(code: number, reason?: string): void;
  stop(): Promise<void>;
}

/** Mounts the console at `prefix`, with and without a slash at its end. */
export function hostConsole(prefix: string, options: Partial<ConsoleOptions> = {}): ConsoleHost {
  const sockets = new Set<ServerWebSocket<undefined>>();
  const handshakes: string[] = [];
  const posts: { path: string; body: string }[] = [];
  const routes = consoleRoutes({
    path: "/ws",
    subjects: [">"],
    publish: true,
    acknowledges: false,
    ...options,
  });
  const app = new Hono({ strict: false }).route(prefix, routes);
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
      return server.upgrade(request) ? undefined : new Response(null, { status: 400 });
    },
    websocket: {
      open: (socket) => void sockets.add(socket),
      close: (socket) => void sockets.delete(socket),
      message() {},
    },
  });
  return {
    url: `http://127.0.0.1:${server.port}`,
    handshakes,
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
