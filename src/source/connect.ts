import type {
  Auth,
  Authenticator,
  ConnectionOptions,
  MsgHdrs,
  NatsConnection,
  TlsOptions,
} from "nats";
import { reasonOf, SpillwayError } from "../core/ports/errors.ts";
import type { SourceMessage } from "../core/ports/source.ts";
import type { NatsOptions, NatsSecrets } from "./connect-options.ts";
import { type NatsServers, readServers } from "./servers.ts";
import { guardTransport, guardWebSocket } from "./transport-guard.ts";

export type { Msg, MsgHdrs, NatsConnection, Status, Subscription } from "nats";

/** How long one server may take to accept our login. */
const DIAL_TIMEOUT_MS = 5_000;
/**
 * A server that does not answer two pings counts as dead: after one minute. With NATS' default of two minutes
 * between pings (ADR-40), it would be six minutes.
 */
const PING_INTERVAL_MS = 20_000;
const PINGS_UNANSWERED = 2;
/** The same server is tried again after this and a random part of the jitter, other servers at once. */
const RECONNECT_WAIT_MS = 500;
const RECONNECT_JITTER_MS = 1_000;

/** How long secrets are kept after they were read: all parts of one attempt to connect must use the same ones. */
const SECRETS_GOOD_MS = 100;

/**
 * Connects once: tries every server, and rejects if none accepts the login. A connection that was made
 * reconnects by itself for ever.
 *
 * Loads the NATS client that is needed: the one for TCP requires Node's modules, the one for WebSockets does
 * not.
 *
 * @param stumbles called when a later reconnect is impossible because a file can't be read.
 * @throws SpillwayError `NATS_OPTIONS` (invalid), `NATS_DENIED` or `NATS_UNREACHABLE` (transient).
 */
export async function connectNats(
  options: NatsOptions,
  stumbles: (reason: string) => void = () => {},
): Promise<NatsConnection> {
  const servers = readServers(options);
  try {
    const client = servers.transport === "tcp" ? await import("nats") : await import("nats.ws");
    const secrets = secretsOf(options, client as Client, stumbles);
    // Fails before anything is dialled. nats.js would fail later, and close the connection.
    secrets();
    const connection =
      servers.transport === "tcp"
        ? await connectTcp(options, servers, client as Client, secrets)
        : await connectWebSocket(options, servers, client as Client, secrets);
    forgetFutureDials(connection);
    return connection;
  } catch (thrown) {
    throw new SpillwayError(
      isDenial(thrown) ? "NATS_DENIED" : "NATS_UNREACHABLE",
      `Cannot connect to NATS at ${servers.urls.join(", ")}: ${natsReason(thrown)}`,
      { cause: thrown },
    );
  }
}

async function connectTcp(
  options: NatsOptions,
  servers: NatsServers,
  client: Client,
  secrets: () => NatsSecrets,
): Promise<NatsConnection> {
  const { NodeTransport } = await import("nats/lib/src/node_transport.js");
  guardTransport(NodeTransport, DIAL_TIMEOUT_MS);
  // nats.js reads these whenever it begins TLS.
  const part = (name: "ca" | "cert" | "key") => ({
    enumerable: true,
    get: () => secrets().tls?.[name],
  });
  const parts = { ca: part("ca"), cert: part("cert"), key: part("key") };
  // The host that the certificate must name. For an IP address, Node and Deno would take "localhost".
  const tls = Object.defineProperties({ host: servers.host }, parts) as TlsOptions;
  return await client.connect({
    ...connectionOptions(options, servers, client, secrets),
    ...(servers.tls ? { tls } : {}),
  });
}

async function connectWebSocket(
  options: NatsOptions,
  servers: NatsServers,
  client: Client,
  secrets: () => NatsSecrets,
): Promise<NatsConnection> {
  let socket: WebSocket | undefined;
  const dial = (url: string): WebSocket =>
    options.dialWebSocket !== undefined && url.startsWith("wss:")
      ? options.dialWebSocket(url, secrets().tls ?? {})
      : new WebSocket(url);
  const connection = client.connect({
    ...connectionOptions(options, servers, client, secrets),
    // An option of nats.ws alone (`WsConnectionOptions`, which it does not export).
    wsFactory: async (url: string) => {
      socket = dial(url);
      guardWebSocket(socket);
      return { socket, encrypted: url.startsWith("wss:") };
    },
  } as ConnectionOptions);
  try {
    return (await connection) as NatsConnection;
  } catch (thrown) {
    // nats.ws gives up a socket that is still connecting without closing it.
    socket?.close();
    throw thrown;
  }
}

/** The options of both clients, which are built from the same source. */
function connectionOptions(
  options: NatsOptions,
  servers: NatsServers,
  client: Client,
  secrets: () => NatsSecrets,
): ConnectionOptions {
  // nats.js calls it at each connect.
  const authenticator = (nonce?: string): Auth => {
    const current = secrets();
    const signed = authenticatorsOf(current, client).map((sign) => sign(nonce));
    const { password, token } = current;
    const login = servers.credentials ?? { user: options.user, password, token };
    return Object.assign({}, ...signed, loginOf(login));
  };
  return {
    servers: [...servers.targets],
    name: options.name,
    authenticator,
    timeout: DIAL_TIMEOUT_MS,
    pingInterval: PING_INTERVAL_MS,
    maxPingOut: PINGS_UNANSWERED,
    maxReconnectAttempts: -1,
    reconnectDelayHandler: () => RECONNECT_WAIT_MS + Math.random() * RECONNECT_JITTER_MS,
    // An operator may correct the credentials at the server while we try.
    ignoreAuthErrorAbort: true,
  };
}

/** Returns what the client sends of a login. */
function loginOf({ user, password, token }: NonNullable<NatsServers["credentials"]>): Auth {
  return {
    ...(user !== undefined && { user }),
    ...(password !== undefined && { pass: password }),
    ...(token !== undefined && { auth_token: token }),
  } as Auth;
}

/** The part of nats.js's connection that we use or change. It is not public, so the version of nats.js is pinned. */
interface Inner {
  readonly protocol?: {
    processError?(text: Uint8Array): void;
    /** Fails the attempt to connect that is under way. */
    connectError?(error: Error): void;
    readonly transport?: { readonly isClosed?: boolean };
    readonly options?: { reconnectDelayHandler?(): number };
    readonly servers?: { getServers?(): readonly { lastConnect: number }[] };
  };
}

/**
 * Lets the connection reconnect although the wall clock was set back. nats.js dials a server only when its last dial is long
 * enough ago by that clock, so that it would wait for as long as the clock was set back.
 */
function forgetFutureDials(connection: NatsConnection): void {
  const { options, servers } = (connection as Inner).protocol ?? {};
  const delay = options?.reconnectDelayHandler;
  if (options === undefined || delay === undefined) return;
  options.reconnectDelayHandler = () => {
    const nowMs = Date.now();
    for (const server of servers?.getServers?.() ?? []) {
      if (server.lastConnect > nowMs) server.lastConnect = 0;
    }
    return delay();
  };
}

/**
 * Fails an attempt to reconnect whose socket the server has closed, so that the next attempt follows: a server
 * that is about to stop may greet and then close. nats.js waits for an answer to its login until the attempt
 * times out.
 */
export function failClosedAttempt(connection: NatsConnection): void {
  const { protocol } = connection as Inner;
  if (protocol?.transport?.isClosed !== true) return;
  protocol.connectError?.(new Error("the server closed the connection before the login"));
}

/**
 * Calls with each error of the server, in the server's words and before anything that follows on the connection. The
 * status events of nats.js come later, and have only a code.
 *
 * @returns ends that; `undefined` if a host's connection has another client inside.
 */
export function hearErrors(
  connection: NatsConnection,
  hear: (text: string) => void,
): (() => void) | undefined {
  const { protocol } = connection as Inner;
  const process = protocol?.processError;
  if (protocol === undefined || typeof process !== "function") return undefined;
  const decoder = new TextDecoder();
  let isOver = false;
  protocol.processError = (text) => {
    if (!isOver) hear(spelled(decoder.decode(text)));
    process.call(protocol, text);
  };
  const ours = protocol.processError;
  return () => {
    isOver = true;
    if (protocol.processError === ours) protocol.processError = process;
  };
}

/** Returns the subject that we may not publish to, if an error of the server says so. */
export function deniedSubject(error: string): string | undefined {
  return /^permissions violation for publish to "(.+)"$/i.exec(error)?.[1];
}

/** Loads what makes headers of messages. */
export async function headersMaker(): Promise<() => MsgHdrs> {
  return (await import("nats.ws")).headers;
}

/** Publishes a message on a connection, which keeps it for a while if it is lost. */
export async function publishOn(
  connection: NatsConnection,
  { subject, data, headers }: SourceMessage,
): Promise<void> {
  const client = await import("nats.ws");
  const named = client.headers();
  for (const [name, values] of headers ?? []) {
    for (const value of values) named.append(name, value);
  }
  connection.publish(subject, data, { headers: named });
}

/** Returns which secret can't sign a login, as its file has unexpected contents; `undefined` if none. */
export async function uselessSecret({
  nkeySeed,
  creds,
}: NatsSecrets): Promise<"nkeySeed" | "creds" | undefined> {
  if (nkeySeed === undefined && creds === undefined) return undefined;
  // Loads the client only if it is needed.
  return uselessOf({ nkeySeed, creds }, await import("nats.ws"));
}

function uselessOf(
  { nkeySeed, creds }: NatsSecrets,
  client: Authenticators,
): "nkeySeed" | "creds" | undefined {
  if (nkeySeed === undefined && creds === undefined) return undefined;
  const canSign = (authenticators: readonly Authenticator[]): boolean => {
    try {
      for (const sign of authenticators) sign("nonce");
      return true;
    } catch {
      return false;
    }
  };
  // Seeds of operators and accounts can sign, too, but can't log in.
  const isUser = nkeySeed === undefined || nkeySeed.trim().startsWith("SU");
  if (!isUser || !canSign(authenticatorsOf({ nkeySeed }, client))) return "nkeySeed";
  return canSign(authenticatorsOf({ creds }, client)) ? undefined : "creds";
}

/** Returns a function that reads the present secrets. It throws if a file can't be used. */
function secretsOf(
  options: NatsOptions,
  client: Authenticators,
  stumbles: (reason: string) => void,
): () => NatsSecrets {
  const { files } = options;
  if (files === undefined) return () => options;
  let secrets: NatsSecrets = {};
  let readMs = Number.NEGATIVE_INFINITY;
  return () => {
    if (performance.now() - readMs < SECRETS_GOOD_MS) return secrets;
    try {
      const read = files.read();
      const useless = uselessOf(read, client);
      if (useless !== undefined) throw files.unusable(useless);
      secrets = read;
      readMs = performance.now();
      return read;
    } catch (thrown) {
      stumbles(reasonOf(thrown));
      throw thrown;
    }
  };
}

/** The used part of a NATS client; both clients are built from the same source. */
type Client = Pick<typeof import("nats"), "connect"> & Authenticators;
type Authenticators = Pick<typeof import("nats"), "credsAuthenticator" | "nkeyAuthenticator">;

function authenticatorsOf(
  { nkeySeed, creds }: NatsSecrets,
  client: Authenticators,
): Authenticator[] {
  const encoder = new TextEncoder();
  const authenticators: Authenticator[] = [];
  if (nkeySeed !== undefined) {
    authenticators.push(client.nkeyAuthenticator(encoder.encode(nkeySeed.trim())));
  }
  if (creds !== undefined) {
    // nats.js requires Unix line ends, and one after the last line, which secret stores often trim.
    const lines = `${creds.replaceAll("\r\n", "\n").trim()}\n`;
    authenticators.push(client.credsAuthenticator(encoder.encode(lines)));
  }
  return authenticators;
}

function isDenial(thrown: unknown): boolean {
  const { code } = thrown as { code?: unknown };
  return (
    code === "AUTHORIZATION_VIOLATION" || code === "BAD_CREDS" || code === "BAD_AUTHENTICATION"
  );
}

/** Returns the error of a NATS client, or the code in its status events, in words for people. */
export function natsReason(thrown: unknown): string {
  if (!(thrown instanceof Error)) return spelled(String(thrown));
  const { code, message, chainedError } = thrown as Error & { code?: string; chainedError?: Error };
  if (code === "SERVER_OPT_NA") return `the server does not offer ${message}`;
  // Errors of nats.js repeat their code as the message, and have the cause in the chained error. Errors of a
  // WebSocket may have only the name of a class.
  const texts = [message === code ? "" : message, chainedError?.message, code];
  const text = texts.find((text) => text && !/^(\w*Error|UNKNOWN_ERROR)$/.test(text));
  const line = text?.split("\n", 1)[0] ?? "no reason given";
  // Bun's WebSocket names the URL, whose query may contain a secret.
  return spelled(line.replace(/(:\/\/[^\s'"?]*)\?[^\s'"]*/g, "$1?***"));
}

/** Writes `CONNECTION_REFUSED` as people do, and removes the quotes from NATS' texts. */
function spelled(text: string): string {
  if (/^[A-Z0-9_]+$/.test(text)) return text.toLowerCase().replaceAll("_", " ");
  return text.replace(/^'(.*)'$/, "$1");
}
