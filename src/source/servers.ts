import { SpillwayError } from "../core/ports/errors.ts";
import type { NatsOptions } from "./connect-options.ts";

/** The servers of {@linkcode NatsOptions}, in the form that the clients take, without secrets. */
export interface NatsServers {
  readonly transport: "tcp" | "websocket";
  /** The addresses that the client dials, with ports. */
  readonly targets: readonly string[];
  /** For people, without secrets. */
  readonly urls: readonly string[];
  /** The host of the first server. */
  readonly host: string;
  /** Whether a connection without TLS is refused. */
  readonly tls: boolean;
  readonly credentials:
    | {
        readonly user?: string | undefined;
        readonly password?: string | undefined;
        readonly token?: string | undefined;
      }
    | undefined;
}

const TRANSPORTS: Readonly<Record<string, NatsServers["transport"]>> = {
  "nats:": "tcp",
  "tls:": "tcp",
  "ws:": "websocket",
  "wss:": "websocket",
};
const PORTS: Readonly<Record<string, string>> = {
  "nats:": "4222",
  "tls:": "4222",
  "ws:": "80",
  "wss:": "443",
};

/**
 * Reads and checks the URLs of the servers. The clients ignore `tls://`, and take digits in a password for the port, so
 * they get addresses without both.
 *
 * @throws SpillwayError `NATS_OPTIONS`, whose message shows no password.
 */
export function readServers(options: NatsOptions): NatsServers {
  const urls = options.servers.map(readUrl);
  const [first] = urls;
  if (first === undefined) throw invalid("Cannot connect to NATS without a server's URL");
  const transport = TRANSPORTS[first.protocol]!;
  for (const url of urls) {
    if (TRANSPORTS[url.protocol] === transport) continue;
    throw invalid(
      `Cannot use ${redactUrl(first.href)} together with ${redactUrl(url.href)}` +
        " as all NATS servers must have the same transport, TCP or WebSocket",
    );
  }
  const { tls } = options;
  if (tls !== undefined && (tls.cert === undefined) !== (tls.key === undefined)) {
    throw invalid("Cannot use a client certificate for NATS without both its cert and its key");
  }
  const certificates = [tls?.ca, tls?.cert].some((pem) => pem !== undefined);
  const secure = urls.some((url) => url.protocol === "wss:");
  if (secure && certificates && options.dialWebSocket === undefined) {
    throw invalid(
      `Cannot use certificates with ${redactUrl(first.href)} as this runtime can't open` +
        " a WebSocket with them",
    );
  }
  const withUser = urls.find((url) => url.username !== "" || url.password !== "");
  return {
    transport,
    targets: urls.map((url) => {
      const address = `${url.hostname}:${url.port || PORTS[url.protocol]}`;
      return transport === "tcp"
        ? address
        : `${url.protocol}//${address}${url.pathname}${url.search}`;
    }),
    urls: urls.map((url) => redactUrl(url.href).replace(/\/$/, "")),
    host: first.hostname.replace(/^\[(.*)\]$/, "$1"),
    tls: tls !== undefined || urls.some((url) => url.protocol === "tls:"),
    credentials: withUser && credentialsOf(withUser),
  };
}

/** Replaces possible secrets in a URL: the part before the host, and the query. */
export function redactUrl(url: string): string {
  return url.replace(/^([a-z][a-z0-9+.-]*:\/\/)?.*@/is, "$1***@").replace(/\?.*/s, "?***");
}

function readUrl(text: string): URL {
  const url = URL.parse(text.includes("://") ? text : `nats://${text}`);
  if (url !== null && url.hostname !== "" && TRANSPORTS[url.protocol] !== undefined) return url;
  throw invalid(
    `Cannot use ${JSON.stringify(redactUrl(text))} as a NATS server as it must be a URL` +
      " that begins with nats://, tls://, ws:// or wss://",
  );
}

/** Reads `user:password@` or `token@` (https://docs.nats.io/using-nats/developer/connecting). */
function credentialsOf(url: URL): NonNullable<NatsServers["credentials"]> {
  try {
    const user = decodeURIComponent(url.username);
    return url.password === ""
      ? { token: user }
      : { user, password: decodeURIComponent(url.password) };
  } catch {
    throw invalid(
      `Cannot read the user and password of ${redactUrl(url.href)} as "%" must begin a` +
        ' percent-encoded character; a "%" itself is "%25"',
    );
  }
}

function invalid(message: string): SpillwayError {
  return new SpillwayError("NATS_OPTIONS", message);
}
