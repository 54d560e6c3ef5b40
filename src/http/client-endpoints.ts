import { type Context, Hono, type MiddlewareHandler } from "hono";
import type { AuditLog } from "../access/audit-log.ts";
import type { AccessRefusal } from "../access/authenticator.ts";
import { ANONYMOUS, Grant } from "../core/access/grant.ts";
import type { TokenCheck } from "../core/access/token-check.ts";
import type { Broadcaster } from "../core/broadcaster.ts";
import type { Clients } from "../core/clients.ts";
import type { ClientLimit } from "../core/metering/meter.ts";
import type { Clock } from "../core/ports/clock.ts";
import type { ClientSocket } from "../core/ports/socket.ts";
import type { ConnectingClient, Connection } from "../core/sessions/connection.ts";
import { withoutCovered } from "../core/subject/pattern-index.ts";
import { FairRateLimit } from "../core/timing/fair-rate-limit.ts";
import { PLAIN, SSE, V1 } from "../core/wire/dialect.ts";
import { saysEndOf } from "../core/wire/end-cursor.ts";
import { requestOf, type SubscriptionRequest } from "../core/wire/subscription-request.ts";
import { PLAIN_SUBPROTOCOL, SUBPROTOCOL } from "../protocol/dialects.ts";
import { MAX_CURSOR_LENGTH } from "../protocol/fields.ts";
import { ParameterFault, type StreamQuery } from "../protocol/query.ts";
import type { ConnectionEvents } from "../runtime/runtime.ts";
import { addressGroupOf, type RequestSockets } from "./client-address.ts";
import { parameterNotOf, readQuery } from "./client-query.ts";
import { offersOf } from "./credentials.ts";
import { type Derive, made } from "./derive.ts";
import type { EventStreams } from "./event-stream.ts";
import { handshakeFault } from "./handshake.ts";
import { denied, problem, refusalOf, refusedAccess } from "./problem.ts";

export interface StreamOptions {
  readonly path: string;
  /** The number of clients that may connect per second in the long run; `undefined`: any number. */
  readonly maxHandshakesPerSecond?: number | undefined;
}

export interface StreamParts {
  readonly clock: Clock;
  readonly clients: Clients;
  readonly accounts: {
    /** Returns what serves the client of a grant; `undefined`: there is no room for another account. */
    openFor(grant: Grant): Broadcaster | undefined;
    /** Opens the account of a grant, too; resolves when its client can be let in. */
    ready(grant: Grant): Promise<void>;
  };
  readonly sockets: RequestSockets;
  readonly eventStreams: EventStreams;
  readonly audit: AuditLog;
  /**
   * Returns the grant of a request's client, or why it has none.
   *
   * @param mayShowTokenLater whether a client that shows nothing is let in to send a token in a frame. Default: `false`.
   */
  grantOf(c: Context, mayShowTokenLater?: boolean): Promise<Grant | AccessRefusal>;
  /** See {@linkcode Derive}. Default: the options never change. */
  readonly derive?: Derive | undefined;
  /** Returns what checks the tokens that the client sends in frames; `undefined` if it needs none. */
  tokenCheckOf(c: Context, grant: Grant): TokenCheck | undefined;
}

/** A client that is not let in now waits for so much longer than one that was cut. */
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
  const { clients, accounts, sockets, eventStreams, clock, audit, grantOf, tokenCheckOf } = parts;
  const { derive = made } = parts;
  const handshakes = derive<FairRateLimit | undefined>((before) => {
    const { maxHandshakesPerSecond: rate } = options;
    if (rate === undefined) return undefined;
    const limits = [rate, rate * HANDSHAKE_BURST_SECONDS, clock.nowMs()] as const;
    before?.become(...limits);
    return before ?? new FairRateLimit(...limits);
  });

  const addressOf = (c: Context) => {
    const address = sockets.addressOf(c);
    return { address, addressGroup: addressGroupOf(address) };
  };
  const laterSeconds = (): number => Math.ceil((NO_ROOM_MS + clients.refusedForMs) / 1000);
  const noRoom = (c: Context, detail: string): Response =>
    problem(c, 503, `${detail} now`, { "Retry-After": `${laterSeconds()}` });
  const tooMany = (c: Context, limit: ClientLimit, detail: string, waitMs = 0): Response => {
    clients.countLimited(limit);
    audit.record("client_limited", { address: sockets.addressOf(c), limit });
    const seconds = Math.ceil(Math.max(waitMs, clients.refusedForMs) / 1000);
    return problem(c, 429, detail, { "Retry-After": `${seconds}` });
  };
  /** Stands before all that costs more: a token is checked only for a client that there is room for. */
  const requireRoom: MiddlewareHandler = async (c, next) => {
    if (clients.refusal === undefined) {
      const { addressGroup } = addressOf(c);
      // A handshake that finds no room takes nothing of the rate.
      const excess = clients.excessOf(addressGroup, ANONYMOUS);
      if (excess !== undefined) return tooMany(c, excess, TOO_MANY[excess]);
      const waitMs = handshakes()?.take(addressGroup, clock.nowMs()) ?? 0;
      return waitMs === 0 ? await next() : tooMany(c, "rate", "Too many clients connect", waitMs);
    }
    const overloaded = clients.refusal === "overloaded";
    const detail = overloaded
      ? "The queues of slow clients are full"
      : "No more clients can be served";
    return noRoom(c, detail);
  };
  /**
   * Lets in only a client whose grant allows what it asks for.
   *
   * @param isEventStream whether it asks for server-sent events.
   * @param faultOf returns what else speaks against a client.
   */
  const admit =
    (
      isEventStream: boolean,
      faultOf: (c: Context, query: StreamQuery, grant: Grant) => Response | undefined,
    ): MiddlewareHandler<Env> =>
    async (c, next) => {
      const asked = readRequest(c, isEventStream);
      if (typeof asked === "string") return problem(c, 400, asked);
      const { query, request } = asked;
      const isV1 = !isEventStream && chosenProtocol(c) === SUBPROTOCOL;
      const grant = await grantOf(c, isV1);
      if (!(grant instanceof Grant)) return refusedAccess(c, grant, laterSeconds);
      const { principal } = grant.terms;
      const tooManyOf = clients.excessOf(addressOf(c).addressGroup, principal, grant.awaitsToken);
      if (tooManyOf !== undefined) return tooMany(c, tooManyOf, TOO_MANY[tooManyOf]);
      // A client of v1 says in "subscribe" what it wants; the grant is asked then.
      const asksLater = isV1 && query.subjects === undefined;
      const refusal = asksLater ? undefined : grant.refusalOf(request);
      if (refusal !== undefined) {
        return denied(c, { grant, action: "subscribe", reason: refusal.message });
      }
      const misfit = faultOf(c, query, grant);
      if (misfit !== undefined) return misfit;
      const granted = grant.applyTo(request);
      // A client that is refused anyway must not open an account.
      await accounts.ready(grant);
      const broadcaster = accounts.openFor(grant);
      if (broadcaster === undefined) return noRoom(c, "There is no room for another account");
      const excess = broadcaster.excessOf(grant, granted.subjects);
      if (excess?.retryable) return noRoom(c, "There is no room for more patterns");
      if (excess !== undefined) {
        return problem(c, 400, `"subjects" can't be served: ${excess.message}`);
      }
      const fault = broadcaster.startFaultOf(grant, granted);
      if (fault !== undefined) {
        return problem(c, 400, `"${fault.parameter}" can't be served: ${fault.message}`);
      }
      c.set("grant", grant);
      c.set("query", query);
      c.set("request", request);
      await next();
    };
  const handshake: MiddlewareHandler = async (c, next) => handshakeFault(c) ?? (await next());

  return new Hono<Env>()
    .get(options.path, handshake, requireRoom, admit(false, webSocketFault), async (c) => {
      const protocol = chosenProtocol(c);
      const isV1 = protocol === SUBPROTOCOL;
      const { session } = c.get("query");
      const grant = c.get("grant");
      // A client that can subscribe gets nothing until it does.
      const request = isV1 ? undefined : c.get("request");
      const dialect = isV1 ? V1 : PLAIN;
      const checkToken = isV1 ? tokenCheckOf(c, grant) : undefined;
      const client = { grant, dialect, request, session, checkToken, ...addressOf(c) };
      const connection = new ClientEvents(clients, client);
      return await sockets.upgrade(c, connection, protocol);
    })
    .get(eventsPath(options.path), onlyGet, requireRoom, admit(true, eventStreamFault), (c) => {
      // An `EventSource` that gets this status doesn't reconnect.
      if (hasEnded(c, c.get("query"))) return c.body(null, 204);
      const grant = c.get("grant");
      const client = { grant, dialect: SSE, request: c.get("request"), ...addressOf(c) };
      const connection = new ClientEvents(clients, client);
      return eventStreams.open(c, connection, sockets, clients.returnsAfterMs);
    });
}

/** Returns the answer to a client that asks for something that no WebSocket of its grant has. */
function webSocketFault(c: Context, query: StreamQuery, grant: Grant): Response | undefined {
  const protocol = chosenProtocol(c);
  const misplaced = protocol === SUBPROTOCOL ? parameterNotOf("v1", query) : undefined;
  if (misplaced !== undefined) {
    const detail = `With ${protocol}, send "${misplaced}" in "subscribe", not in the query`;
    return problem(c, 400, detail);
  }
  if (query.session === undefined) return undefined;
  const { deliveryMode, sessions } = grant.terms;
  if (deliveryMode !== "at-least-once") {
    return problem(c, 400, '"session" needs at-least-once; this endpoint is at-most-once');
  }
  if (sessions || grant.awaitsToken) return undefined;
  return refusedAccess(c, { kind: "forbidden", message: "This client may not name a session" });
}

/** Returns the answer to a client that asks for something that server-sent events haven't. */
function eventStreamFault(c: Context, query: StreamQuery): Response | undefined {
  const misplaced = parameterNotOf("sse", query);
  if (misplaced === undefined) return undefined;
  const detail = `"${misplaced}" needs a WebSocket: server-sent events can't be acknowledged`;
  return problem(c, 400, detail);
}

/** Counts and logs the clients that were not let in, for whatever reason; stands before all else. */
export function countRefused({
  clients,
  sockets,
}: Pick<StreamParts, "clients" | "sockets">): MiddlewareHandler {
  return async (c, next) => {
    await next();
    const { status } = c.res;
    if (status < 400) return;
    const address = sockets.addressOf(c);
    clients.handshakeRefused({ status, reason: refusalOf(c) ?? "", address });
  };
}

/** Returns the path of the server-sent events. */
export function eventsPath(path: string): string {
  return `${path.replace(/\/+$/, "")}/sse`;
}

/**
 * Reads what a client asks for; a text says why that can't be read.
 *
 * @param isEventStream whether the header that browsers send after a reconnect overrides `after`.
 */
function readRequest(
  c: Context,
  isEventStream: boolean,
): { readonly query: StreamQuery; readonly request: SubscriptionRequest } | string {
  const query = readQuery(c.req.queries());
  if (query instanceof ParameterFault) return query.message;
  const lastSeen = isEventStream ? c.req.header("last-event-id") : undefined;
  if (lastSeen !== undefined && lastSeen.length > MAX_CURSOR_LENGTH) {
    return '"Last-Event-ID" must be the id of a message';
  }
  const { subjects, after } = query;
  // A subject that another one covers adds nothing.
  const wanted = subjects === undefined ? "everything" : withoutCovered(subjects);
  const cursor = lastSeen || after;
  const resumed = cursor !== undefined && { after: cursor };
  return { query, request: requestOf("", { ...query, ...resumed, subjects: wanted }) };
}

/** Whether a client of server-sent events resumes with the end of the only subject that it asks for. */
function hasEnded(c: Context, { subjects = [], after = "" }: StreamQuery): boolean {
  const [subject, ...others] = subjects;
  if (subject === undefined || others.length > 0) return false;
  return saysEndOf(subject, c.req.header("last-event-id") || after);
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
  readonly #clients: Clients;
  #client: ConnectingClient | undefined;
  #connection: Connection | undefined;
  /** Bun tells of a close inside of `accept`, when that closes at once. */
  #early: Parameters<ConnectionEvents["closed"]> | undefined;

  constructor(clients: Clients, client: ConnectingClient) {
    this.#clients = clients;
    this.#client = client;
  }

  open(socket: ClientSocket): void {
    const client = this.#client;
    if (client === undefined) return;
    this.#client = undefined;
    this.#connection = this.#clients.accept(socket, client);
    if (this.#early !== undefined) this.#connection.closed(...this.#early);
  }

  message(data: string | Uint8Array): void {
    this.#connection?.receive(data);
  }

  alive(): void {
    this.#connection?.alive();
  }

  pong(content: Uint8Array): void {
    this.#connection?.pong(content);
  }

  closed(...end: Parameters<ConnectionEvents["closed"]>): void {
    if (this.#connection === undefined) this.#early = end;
    else this.#connection.closed(...end);
  }
}
