import { zValidator } from "@hono/zod-validator";
import { type Context, Hono, type MiddlewareHandler } from "hono";
import type { z } from "zod";
import type { Broadcaster } from "../core/broadcaster.ts";
import type { FrameHandler } from "../core/frame-handler.ts";
import type { ClientSocket } from "../core/ports/socket.ts";
import { MAX_ID_LENGTH } from "../core/wire/client-frame.ts";
import { type Dialect, PLAIN, SSE, V1 } from "../core/wire/dialect.ts";
import type { DeliveryMode } from "../core/wire/server-frame.ts";
import type { SubscriptionRequest } from "../core/wire/subscription-request.ts";
import type { ConnectionEvents, SocketRuntime } from "../runtime/sockets.ts";
import type { EventStreams } from "./event-stream.ts";
import { handshakeFault } from "./handshake.ts";
import { problem, refusalOf } from "./problem.ts";
import { streamParameters, streamQuery } from "./stream-query.ts";
import { SUBPROTOCOLS } from "./subprotocols.ts";

export interface StreamOptions {
  readonly path: string;
  readonly deliveryMode: DeliveryMode;
}

export interface StreamParts {
  readonly broadcaster: Broadcaster;
  readonly sockets: SocketRuntime;
  readonly eventStreams: EventStreams;
}

/** A client that found no room waits for so much longer than one that was cut. */
const NO_ROOM_MS = 4000;

/** The endpoints of the stream: WebSocket, and server-sent events below it. */
export function streamRoutes(options: StreamOptions, parts: StreamParts): Hono {
  const { broadcaster, sockets, eventStreams } = parts;

  const noRoom = (c: Context, detail: string): Response => {
    const seconds = Math.ceil((NO_ROOM_MS + broadcaster.refusedForMs) / 1000);
    return problem(c, 503, `${detail} now`, { "Retry-After": `${seconds}` });
  };
  const welcome: MiddlewareHandler = async (c, next) => {
    if (broadcaster.refusal === undefined) return await next();
    const overloaded = broadcaster.refusal === "overloaded";
    const detail = overloaded ? "Too much waits for slow clients" : "No more clients can be served";
    return noRoom(c, detail);
  };
  const query = zValidator("query", streamQuery, (result, c) => {
    if (!result.success) return problem(c, 400, result.error.issues[0]?.message ?? "bad query");
    const hidden = broadcaster.hiddenOf(result.data.subjects);
    if (hidden !== undefined) {
      return problem(c, 403, `Nothing of "${hidden}" is exposed by this endpoint`);
    }
    const excess = broadcaster.excessOf(result.data.subjects);
    if (excess?.retryable) return noRoom(c, "There is no room for more patterns");
    if (excess !== undefined)
      return problem(c, 400, `"subjects" can't be served: ${excess.message}`);
    const { replaying, durables } = broadcaster.streams;
    const request = requestOf(result.data);
    const fault = replaying.faultOf(request);
    if (fault !== undefined) return problem(c, 400, `"from" can't be served: ${fault}`);
    const conflict = durables.faultOf(request);
    if (conflict !== undefined) return problem(c, 400, `"durable" can't be served: ${conflict}`);
  });
  const handshake: MiddlewareHandler = async (c, next) => handshakeFault(c) ?? (await next());

  return new Hono()
    .get(options.path, handshake, welcome, query, async (c) => {
      const protocol = chosenProtocol(c);
      const query = c.req.valid("query");
      const said = [...Object.keys(streamParameters.shape), "durable"];
      const asked = said.find((name) => name in query);
      if (protocol !== undefined && asked !== undefined) {
        return problem(
          c,
          400,
          `In ${protocol}, "${asked}" is said in "subscribe", not in the query`,
        );
      }
      const { session } = query;
      if (session !== undefined && options.deliveryMode !== "at-least-once") {
        return problem(c, 400, '"session" is of at-least-once; this endpoint is at-most-once');
      }
      // A client that can subscribe gets nothing until it does.
      const request = protocol === undefined ? requestOf(query) : undefined;
      const dialect = protocol === undefined ? PLAIN : V1;
      return await sockets.upgrade(
        c,
        new Connection(broadcaster, dialect, request, session),
        protocol,
      );
    })
    .get(eventsPath(options.path), onlyGet, welcome, query, (c) => {
      const query = c.req.valid("query");
      const acked = query.session !== undefined ? "session" : "durable";
      if (query[acked] !== undefined) {
        return problem(c, 400, `"${acked}" is of WebSockets: events can't be acknowledged`);
      }
      const { after, ...asked } = requestOf(query);
      // A browser that reconnects sends what it saw last, which the query can't know.
      const lastSeen = c.req.header("last-event-id") || after;
      if (lastSeen !== undefined && lastSeen.length > MAX_ID_LENGTH) {
        return problem(c, 400, '"Last-Event-ID" must be the id of a message');
      }
      const request = { ...asked, after: lastSeen };
      const connection = new Connection(broadcaster, SSE, request);
      return eventStreams.open(c, connection, sockets, broadcaster.returnsAfterMs);
    });
}

/** Counts and logs the clients that were not let in, for whatever reason; stands before all else. */
export function countRefused({ broadcaster, sockets }: StreamParts): MiddlewareHandler {
  return async (c, next) => {
    await next();
    const { status } = c.res;
    if (status < 400) return;
    const address = sockets.addressOf(c);
    broadcaster.handshakeRefused({ status, reason: refusalOf(c) ?? "", address });
  };
}

/** Where the server-sent events are. */
export function eventsPath(path: string): string {
  return `${path.replace(/\/+$/, "")}/sse`;
}

/** Hono answers HEAD with what answers GET, which here would never end. */
const onlyGet: MiddlewareHandler = async (c, next) =>
  c.req.raw.method === "GET"
    ? await next()
    : problem(c, 405, "An event stream is read with GET", { Allow: "GET" });

/** The first of the client's subprotocols that is spoken here. */
function chosenProtocol(c: Context): string | undefined {
  const offered = c.req.header("sec-websocket-protocol")?.split(",") ?? [];
  return offered
    .map((name) => name.trim())
    .find((name) => SUBPROTOCOLS.some((own) => own === name));
}

function requestOf(query: z.output<typeof streamQuery>): SubscriptionRequest {
  const { subjects, policy, max_rate: maxRate, after, from: start, durable } = query;
  return { id: "", subjects, policy, maxRate, after, start, durable };
}

/** One connection's way into the core. */
class Connection implements ConnectionEvents {
  readonly #broadcaster: Broadcaster;
  readonly #dialect: Dialect;
  #request: SubscriptionRequest | undefined;
  readonly #session: string | undefined;
  #conversation: FrameHandler | undefined;
  /** Bun tells of a close inside of `accept`, when that closes at once. */
  #early: Parameters<ConnectionEvents["closed"]> | undefined;

  constructor(
    broadcaster: Broadcaster,
    dialect: Dialect,
    request: SubscriptionRequest | undefined,
    session?: string,
  ) {
    this.#session = session;
    this.#broadcaster = broadcaster;
    this.#dialect = dialect;
    this.#request = request;
  }

  open(socket: ClientSocket): void {
    this.#conversation = this.#broadcaster.accept(
      socket,
      this.#dialect,
      this.#request,
      this.#session,
    );
    this.#request = undefined;
    if (this.#early !== undefined) this.#conversation.client.closed(...this.#early);
  }

  message(data: string | Uint8Array): void {
    this.#conversation?.receive(data);
  }

  alive(): void {
    this.#conversation?.alive();
  }

  closed(...end: Parameters<ConnectionEvents["closed"]>): void {
    if (this.#conversation === undefined) this.#early = end;
    else this.#conversation.client.closed(...end);
  }
}
