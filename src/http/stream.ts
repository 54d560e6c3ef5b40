import { zValidator } from "@hono/zod-validator";
import { Hono } from "hono";
import type { Broadcaster } from "../core/broadcaster.ts";
import type { Client } from "../core/client.ts";
import type { Meter } from "../core/meter.ts";
import { exposes } from "../core/subject.ts";
import { handshakeFault } from "./handshake.ts";
import { isAllowedOrigin, type OriginOptions, originRefusal } from "./origin.ts";
import { problem } from "./problem.ts";
import type { ConnectionEvents, SocketRuntime } from "./sockets.ts";
import { streamQuery } from "./stream-query.ts";

export interface StreamOptions extends OriginOptions {
  readonly path: string;
  /** What clients may have. */
  readonly subjects: readonly string[];
}

export interface StreamParts {
  readonly broadcaster: Broadcaster;
  readonly meter: Meter;
  readonly sockets: SocketRuntime;
}

/** After so many seconds a client that found no room may come again. */
const RETRY_AFTER_SECONDS = "5";

/** The WebSocket endpoint. */
export function streamRoutes(options: StreamOptions, parts: StreamParts): Hono {
  const { broadcaster, meter, sockets } = parts;
  return new Hono().get(
    options.path,
    async (c, next) => {
      await next();
      if (c.res.status >= 400)
        meter.countError("handshake", `handshake refused with ${c.res.status}`);
    },
    async (c, next) => {
      const fault = handshakeFault(c);
      if (fault !== undefined) return fault;
      if (!isAllowedOrigin(c, options)) return originRefusal(c);
      if (!broadcaster.hasRoom()) {
        return problem(c, 503, "No more clients can be served now", {
          "Retry-After": RETRY_AFTER_SECONDS,
        });
      }
      return await next();
    },
    zValidator("query", streamQuery, (result, c) => {
      if (!result.success) return problem(c, 400, result.error.issues[0]?.message ?? "bad query");
    }),
    async (c) => {
      const { subjects } = c.req.valid("query");
      const hidden = subjects?.find(
        (subject) => !options.subjects.some((exposed) => exposes(exposed, subject)),
      );
      if (hidden !== undefined) {
        return problem(c, 403, `Nothing of "${hidden}" is exposed by this endpoint`);
      }
      return await sockets.upgrade(c, connection(broadcaster, subjects));
    },
  );
}

/** One connection's way into the core. */
function connection(
  broadcaster: Broadcaster,
  subjects: readonly string[] | undefined,
): ConnectionEvents {
  let client: Client | undefined;
  // Bun tells of a close inside of `accept`, when that closes at once.
  let early: Parameters<ConnectionEvents["closed"]> | undefined;
  return {
    open(socket) {
      client = broadcaster.accept(socket, subjects);
      if (early !== undefined) client.closed(...early);
    },
    message: (data) => client?.receive(data),
    alive: () => client?.heard(),
    closed(...end) {
      if (client === undefined) early = end;
      else client.closed(...end);
    },
  };
}
