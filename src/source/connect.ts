import type { Auth, Authenticator, ConnectionOptions, NatsConnection, TlsOptions } from "nats";
import { reasonOf, SpillwayError } from "../core/ports/errors.ts";
import type { SourceMessage } from "../core/ports/source.ts";
import { type NatsServers, readServers } from "./servers.ts";
import { guardTransport, guardWebSocket } from "./transport-guard.ts";

export type { Msg, NatsConnection, Status, Subscription } from "nats";

/** Certificates and keys as PEM text, not as file names. */
export interface NatsTls {
  /** Who is trusted to vouch for the server. Default: whom the runtime trusts. */
  readonly ca?: string | undefined;
  /** What we show to a server that wants to know us; needs `key`. */
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
}

/** The secrets that prove who we are: contents of files that may be replaced while we run. */
export interface NatsSecrets {
  /** The seed of an NKey, beginning with `SU`. */
  readonly nkeySeed?: string | undefined;
  /** A credentials file: a user JWT and its NKey seed. */
  readonly creds?: string | undefined;
  /** Wanted by `tls://` even when empty; with `nats://` it makes TLS compulsory. */
  readonly tls?: NatsTls | undefined;
}

/** Where {@linkcode NatsSecrets} come from. */
export interface NatsSecretFiles {
  /**
   * Reads them anew: before each connect and reconnect, as the old ones may have expired.
   *
   * @throws an error for people when one can't be read, or holds something else.
   */
  read(): NatsSecrets;
  /** The error for a file that holds something else. */
  unusable(which: "nkeySeed" | "creds"): Error;
}

/** Where NATS is and who we are. Files are read by the caller: all of these are contents. */
export interface NatsOptions extends NatsSecrets {
  /**
   * `nats://`, `tls://`, `ws://` or `wss://`, at least one and all of one transport; the others of
   * the cluster are learnt from the first that answers. Without a scheme: `nats://`.
   * A user and password, or a token, in the first URL that has one count for all servers, and more
   * than those below, as in nats.go.
   */
  readonly servers: readonly string[];
  /** What NATS' monitoring calls this connection. */
  readonly name: string;
  readonly user?: string | undefined;
  readonly password?: string | undefined;
  readonly token?: string | undefined;
  /** Reads the secrets from their files; without it, they stay as they are. */
  readonly files?: NatsSecretFiles | undefined;
  /**
   * Opens the socket of `wss://`: each runtime takes certificates in its own way and web standards in
   * none, and Node's global `WebSocket` does not say why a server's was refused. Default: the global
   * one.
   */
  readonly dialWebSocket?: ((url: string, tls: NatsTls) => WebSocket) | undefined;
}

/** How long one server may take to let us in. */
const DIAL_TIMEOUT_MS = 5_000;
/**
 * A server that is dead in silence is noticed after two pings without a pong, in one minute: NATS'
 * default of two minutes between pings (ADR-40) would make that six.
 */
const PING_INTERVAL_MS = 20_000;
const PINGS_UNANSWERED = 2;
/** The same server is tried again after this and a random part of the jitter; others at once. */
const RECONNECT_WAIT_MS = 500;
const RECONNECT_JITTER_MS = 1_000;

/** How long secrets that were read are used: all parts of one attempt to connect must have the same ones. */
const SECRETS_GOOD_MS = 100;

/**
 * Connects once: every server is tried, and the promise fails when none lets us in. A connection
 * that was made comes back by itself for ever, whatever the reason it was lost for.
 *
 * The NATS client is loaded when it is needed: the one for TCP wants Node's modules, the one for
 * WebSockets runs where those don't exist.
 *
 * @param stumbles told why a later reconnect can't even be tried, as a file can't be read.
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
    // Said before anything is dialled; nats.js would not notice at first, and be closed later.
    secrets();
    return servers.transport === "tcp"
      ? await connectTcp(options, servers, client as Client, secrets)
      : await connectWebSocket(options, servers, client as Client, secrets);
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
  // nats.js asks for each of these whenever it begins TLS.
  const part = (name: "ca" | "cert" | "key") => ({
    enumerable: true,
    get: () => secrets().tls?.[name],
  });
  const parts = { ca: part("ca"), cert: part("cert"), key: part("key") };
  // Whom a certificate must name when we dial an IP address: Node and Deno take "localhost".
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
    // Of nats.ws alone (`WsConnectionOptions`, which it does not export).
    wsFactory: async (url: string) => {
      socket = dial(url);
      guardWebSocket(socket);
      return { socket, encrypted: url.startsWith("wss:") };
    },
  } as ConnectionOptions);
  try {
    return (await connection) as NatsConnection;
  } catch (thrown) {
    // nats.ws gives up on a socket that is still connecting, and leaves it to connect.
    socket?.close();
    throw thrown;
  }
}

/** What both clients take; they are built from the same source. */
function connectionOptions(
  options: NatsOptions,
  servers: NatsServers,
  client: Client,
  secrets: () => NatsSecrets,
): ConnectionOptions {
  const { user, password, token } = servers.credentials ?? options;
  const authenticator = (nonce?: string): Auth =>
    Object.assign({}, ...authenticatorsOf(secrets(), client).map((sign) => sign(nonce)));
  const signs = options.nkeySeed !== undefined || options.creds !== undefined;
  return {
    servers: [...servers.targets],
    name: options.name,
    ...(signs ? { authenticator } : {}),
    ...(user === undefined ? {} : { user }),
    ...(password === undefined ? {} : { pass: password }),
    ...(token === undefined ? {} : { token }),
    timeout: DIAL_TIMEOUT_MS,
    pingInterval: PING_INTERVAL_MS,
    maxPingOut: PINGS_UNANSWERED,
    maxReconnectAttempts: -1,
    reconnectDelayHandler: () => RECONNECT_WAIT_MS + Math.random() * RECONNECT_JITTER_MS,
    // Credentials may be mended at the server while we try.
    ignoreAuthErrorAbort: true,
  };
}

/** The part of nats.js's connection that we use or change. It is not public, so the version of nats.js is pinned. */
interface Inner {
  readonly protocol?: {
    processError?(text: Uint8Array): void;
    /** Fails the attempt to connect that is under way. */
    connectError?(error: Error): void;
    readonly transport?: { readonly isClosed?: boolean };
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
 * Hears each error of the server in its own words, before whatever follows it on the connection:
 * the status events of nats.js come later, and hold no more than a code.
 *
 * @returns ends it; `undefined` where a host's connection is of a client that is made otherwise.
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

/** Publishes a message on a connection, which keeps it for a while where NATS is away. */
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

/** Which of the secrets that prove who we are can't: none, unless a file has something else in it. */
export async function uselessSecret({
  nkeySeed,
  creds,
}: NatsSecrets): Promise<"nkeySeed" | "creds" | undefined> {
  if (nkeySeed === undefined && creds === undefined) return undefined;
  // Loaded only where it is needed.
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
  // An operator's or an account's seed signs as well, but nobody logs in with it.
  const isUser = nkeySeed === undefined || nkeySeed.trim().startsWith("SU");
  if (!isUser || !canSign(authenticatorsOf({ nkeySeed }, client))) return "nkeySeed";
  return canSign(authenticatorsOf({ creds }, client)) ? undefined : "creds";
}

/** The secrets as they are now, when it is called. Throws where a file can't be used. */
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

/** The part of a NATS client that we use; both clients are built from the same source. */
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
    // nats.js wants Unix line ends and one after the last line, which secret stores like to trim.
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

/** What a NATS client's error, or the code in its status events, says to people. */
export function natsReason(thrown: unknown): string {
  if (!(thrown instanceof Error)) return spelled(String(thrown));
  const { code, message, chainedError } = thrown as Error & { code?: string; chainedError?: Error };
  if (code === "SERVER_OPT_NA") return `the server does not offer ${message}`;
  // Errors of nats.js repeat their code as the message, and say what happened in the chained one.
  // Those of a WebSocket may say no more than which class they are of.
  const texts = [message === code ? "" : message, chainedError?.message, code];
  const text = texts.find((text) => text && !/^(\w*Error|UNKNOWN_ERROR)$/.test(text));
  const line = text?.split("\n", 1)[0] ?? "no reason given";
  // Bun's WebSocket names the URL, whose query may hold a secret.
  return spelled(line.replace(/(:\/\/[^\s'"?]*)\?[^\s'"]*/g, "$1?***"));
}

/** `CONNECTION_REFUSED` as people write it, and NATS' own words without their quotes. */
function spelled(text: string): string {
  if (/^[A-Z0-9_]+$/.test(text)) return text.toLowerCase().replaceAll("_", " ");
  return text.replace(/^'(.*)'$/, "$1");
}
