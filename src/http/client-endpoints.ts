import { type Context, Hono, type MiddlewareHandler } from "hono";
import type { AccessRefusal } from "../access/authenticator.ts";
import { ANONYMOUS, Grant } from "../core/access/grant.ts";
import type { TokenCheck } from "../core/access/token-check.ts";
import type { Broadcaster } from "../core/broadcaster.ts";
import type { ClientLimit } from "../core/metering/meter.ts";
import type { Clock } from "../core/ports/clock.ts";
import type { ClientSocket } from "../core/ports/socket.ts";
import type { ConnectingClient, Connection } from "../core/sessions/connection.ts";
import { withoutCovered } from "../core/subject/subject.ts";
import { RateLimit } from "../core/timing/rate-limit.ts";
import { PLAIN, SSE, V1 } from "../core/wire/dialect.ts";
import { requestOf, type SubscriptionRequest } from "../core/wire/subscription-request.ts";
import { PLAIN_SUBPROTOCOL, SUBPROTOCOL } from "../protocol/dialects.ts";
import { MAX_ID_LENGTH } from "../protocol/fields.ts";
import { ParameterFault, type StreamQuery } from "../protocol/query.ts";
import type { ConnectionEvents, SocketRuntime } from "../runtime/runtime.ts";
import { addressGroupOf } from "./client-address.ts";
import { parameterNotOf, readQuery } from "./client-query.ts";
import { offersOf } from "./credentials.ts";
import type { EventStreams } from "./event-stream.ts";
import { handshakeFault } from "./handshake.ts";
import { problem, refusalOf, refusedAccess } from "./problem.ts";

export interface StreamOptions {
  readonly path: string;
  /** How many clients may connect per second for ever; `undefined`: any number. */
  readonly maxHandshakesPerSecond?: number | undefined;
}

export interface StreamParts {
  readonly clock: Clock;
  readonly broadcaster: Broadcaster;
  readonly sockets: SocketRuntime;
  readonly eventStreams: EventStreams;
  /**
   * Who the client of a request is, and what it may do.
   *
   * @param mayShowTokenLater whether a client that shows nothing is let in to send a token in a frame. Default: `false`.
   */
  grantOf(c: Context, mayShowTokenLater?: boolean): Promise<Grant | AccessRefusal>;
  /** Returns what checks the tokens that the client sends in frames; `undefined` if it needs none. */
  tokenCheckOf(c: Context): TokenCheck | undefined;
}

/** A client that found no room waits for so much longer than one that was cut. */
const NO_ROOM_MS = 4000;
/** A burst of clients that connect may use so many seconds of the rate. */
const HANDSHAKE_BURST_SECONDS = 5;
const TOO_MANY = {
  address: "Too many clients are connected from this address",
  sub: "Too many clients of this user are connected",
} as const;

interface Env {
  Variables: { grant: Grant; query: StreamQuery; request: SubscriptionRequest };
}

/** The endpoints of the stream: WebSocket, and server-sent events below it. */
export function clientEndpoints(options: StreamOptions, parts: StreamParts): Hono<Env> {
  const { broadcaster, sockets, eventStreams, clock, grantOf, tokenCheckOf } = parts;
  const { maxHandshakesPerSecond: rate } = options;
  const handshakes =
    rate === undefined
      ? undefined
      : new RateLimit(rate, rate * HANDSHAKE_BURST_SECONDS, clock.nowMs());

  const noRoom = (c: Context, detail: string): Response => {
    const seconds = Math.ceil((NO_ROOM_MS + broadcaster.refusedForMs) / 1000);
    return problem(c, 503, `${detail} now`, { "Retry-After": `${seconds}` });
  };
  const tooMany = (c: Context, limit: ClientLimit, detail: string, waitMs = 0): Response => {
    broadcaster.clientLimited(limit);
    const seconds = Math.ceil(Math.max(waitMs, broadcaster.refusedForMs) / 1000);
    return problem(c, 429, detail, { "Retry-After": `${seconds}` });
  };
  /** Stands before all that costs more: a token is checked only for a client that there is room for. */
  const welcome: MiddlewareHandler = async (c, next) => {
    if (broadcaster.refusal === undefined) {
      const waitMs = handshakes === undefined ? 0 : handshakes.take(clock.nowMs());
      if (waitMs > 0) return tooMany(c, "rate", "Too many clients connect", waitMs);
      const excess = broadcaster.excessOfClients(addressGroupOf(sockets.addressOf(c)), ANONYMOUS);
      return excess === undefined ? await next() : tooMany(c, excess, TOO_MANY[excess]);
    }
    const overloaded = broadcaster.refusal === "overloaded";
    const detail = overloaded
      ? "The queues of slow clients are full"
      : "No more clients can be served";
    return noRoom(c, detail);
  };
  /** @param resumes whether the header that browsers send after a reconnect overrides `after`. */
  const query =
    (resumes: boolean): MiddlewareHandler<Env> =>
    async (c, next) => {
      const query = readQuery(c.req.queries());
      if (query instanceof ParameterFault) return problem(c, 400, query.message);
      const lastSeen = resumes ? c.req.header("last-event-id") : undefined;
      if (lastSeen !== undefined && lastSeen.length > MAX_ID_LENGTH) {
        return problem(c, 400, '"Last-Event-ID" must be the id of a message');
      }
      const { subjects, after } = query;
      // A subject that another one covers adds nothing.
      const wanted = subjects === undefined ? "everything" : withoutCovered(subjects);
      const cursor = lastSeen || after;
      const resumed = cursor !== undefined && { after: cursor };
      const request = requestOf("", { ...query, ...resumed, subjects: wanted });
      const isV1 = !resumes && chosenProtocol(c) === SUBPROTOCOL;
      const grant = await grantOf(c, isV1);
      if (!(grant instanceof Grant)) return refusedAccess(c, grant);
      const tooManyOf = broadcaster.excessOfClients(
        addressGroupOf(sockets.addressOf(c)),
        grant.terms.principal,
      );
      if (tooManyOf !== undefined) return tooMany(c, tooManyOf, TOO_MANY[tooManyOf]);
      // A client of v1 says in "subscribe" what it wants; the grant is asked then.
      const asksLater = isV1 && subjects === undefined;
      const refusal = asksLater ? undefined : grant.refusalOf(request);
      if (refusal !== undefined) {
        return refusedAccess(c, { kind: "forbidden", message: capitalized(refusal.message) });
      }
      const granted = grant.applyTo(request);
      const excess = broadcaster.excessOf(grant, granted.subjects);
      if (excess?.retryable) return noRoom(c, "There is no room for more patterns");
      if (excess !== undefined)
        return problem(c, 400, `"subjects" can't be served: ${excess.message}`);
      const fault = broadcaster.startFaultOf(grant, granted);
      if (fault !== undefined) {
        return problem(c, 400, `"${fault.parameter}" can't be served: ${fault.message}`);
      }
      c.set("grant", grant);
      c.set("query", query);
      c.set("request", request);
      await next();
    };
  const addressOf = (c: Context) => {
    const address = sockets.addressOf(c);
    return { address, addressGroup: addressGroupOf(address) };
  };
  const handshake: MiddlewareHandler = async (c, next) => handshakeFault(c) ?? (await next());

  return new Hono<Env>()
    .get(options.path, handshake, welcome, query(false), async (c) => {
      const protocol = chosenProtocol(c);
      const query = c.get("query");
      const isV1 = protocol === SUBPROTOCOL;
      const misplaced = isV1 ? parameterNotOf("v1", query) : undefined;
      if (misplaced !== undefined) {
        const detail = `With ${protocol}, send "${misplaced}" in "subscribe", not in the query`;
        return problem(c, 400, detail);
      }
      const { session } = query;
      const grant = c.get("grant");
      if (session !== undefined && grant.terms.deliveryMode !== "at-least-once") {
        return problem(c, 400, '"session" needs at-least-once; this endpoint is at-most-once');
      }
      if (session !== undefined && !grant.terms.sessions && !grant.awaitsToken) {
        const message = "This client may not name a session";
        return refusedAccess(c, { kind: "forbidden", message });
      }
      // A client that can subscribe gets nothing until it does.
      const request = isV1 ? undefined : c.get("request");
      const dialect = isV1 ? V1 : PLAIN;
      const checkToken = isV1 ? tokenCheckOf(c) : undefined;
      const client = { grant, dialect, request, session, checkToken, ...addressOf(c) };
      const connection = new ClientEvents(broadcaster, client);
      return await sockets.upgrade(c, connection, protocol);
    })
    .get(eventsPath(options.path), onlyGet, welcome, query(true), (c) => {
      const misplaced = parameterNotOf("sse", c.get("query"));
      if (misplaced !== undefined) {
        return problem(
          c,
          400,
          `"${misplaced}" needs a WebSocket: server-sent events can't be acknowledged`,
        );
      }
      const grant = c.get("grant");
      const client = { grant, dialect: SSE, request: c.get("request"), ...addressOf(c) };
      const connection = new ClientEvents(broadcaster, client);
      return eventStreams.open(c, connection, sockets, broadcaster.returnsAfterMs);
    });
}

/** Counts and logs the clients that were not let in, for whatever reason; stands before all else. */
export function countRefused({
  broadcaster,
  sockets,
}: Pick<StreamParts, "broadcaster" | "sockets">): MiddlewareHandler {
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
    : problem(c, 405, "An event stream needs GET", { Allow: "GET" });

/** The first of the client's subprotocols that is spoken here. */
function chosenProtocol(c: Context): string | undefined {
  return offersOf(c.req.raw.headers).find(
    (name) => name === SUBPROTOCOL || name === PLAIN_SUBPROTOCOL,
  );
}

/** One connection's way into the core. */
class ClientEvents implements ConnectionEvents {
  readonly #broadcaster: Broadcaster;
  #client: ConnectingClient | undefined;
  #connection: Connection | undefined;
  /** Bun tells of a close inside of `accept`, when that closes at once. */
  #early: Parameters<ConnectionEvents["closed"]> | undefined;

  constructor(broadcaster: Broadcaster, client: ConnectingClient) {
    this.#broadcaster = broadcaster;
    this.#client = client;
  }

  open(socket: ClientSocket): void {
    const client = this.#client;
    if (client === undefined) return;
    this.#client = undefined;
    this.#connection = this.#broadcaster.accept(socket, client);
    if (this.#early !== undefined) this.#connection.closed(...this.#early);
  }

  message(data: string | Uint8Array): void {
    this.#connection?.receive(data);
  }

  alive(): void {
    this.#connection?.alive();
  }

  closed(...end: Parameters<ConnectionEvents["closed"]>): void {
    if (this.#connection === undefined) this.#early = end;
    else this.#connection.closed(...end);
  }
}

function capitalized(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
