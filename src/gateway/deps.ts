import type { AuthorizeHook } from "../access/hook.ts";
import type { Clock } from "../core/ports/clock.ts";
import type { Log } from "../core/ports/log.ts";
import type { ClientEnd, ClientInfo } from "../core/ports/observer.ts";
import type { MessageSource, Publisher } from "../core/ports/source.ts";
import type { MetricsRegistry } from "../metrics/prometheus.ts";
import type { CreateRuntime } from "../runtime/runtime.ts";
import type { NatsConnection } from "../source/connect.ts";

/** See {@linkcode GatewayDeps.onConnect}. */
export type ConnectHook = (client: ClientInfo) => void | Promise<void>;
/** See {@linkcode GatewayDeps.onDisconnect}. */
export type DisconnectHook = (client: ClientInfo, end: ClientEnd) => void | Promise<void>;

/** What a host may hand in. Each has a default. */
export interface GatewayDeps<WebSocketOption = unknown> {
  /** A connection to NATS that the host keeps and closes itself. It takes precedence over `nats_url`. */
  readonly natsConnection?: NatsConnection | undefined;
  /** A registry of `prom-client` that shows the gateway's metrics too. */
  readonly metricsRegistry?: MetricsRegistry | undefined;
  /** Takes the log. By default, LogTape's category `["spillway"]` does. */
  readonly log?: Log | undefined;
  /**
   * Decides who a client is, before all other authenticators; with it, clients must show who they are. It returns
   * the client's claims, in the shape of an access token's, `undefined` to leave the decision to the others, or
   * `null` to refuse the client. If it throws or rejects, or a promise takes longer than `authorizer_timeout`, the log
   * says so, and the client is answered with 503. `docs/security.md` has an example.
   */
  readonly authorize?: AuthorizeHook | undefined;
  /**
   * Called soon after a client connected. The client may already have messages then. If the hook throws or rejects, the log
   * says so (at most once a second), and the client stays connected. The gateway doesn't wait for a promise that the
   * hook returns. Code that runs synchronously delays all clients, as anywhere in the event loop.
   */
  readonly onConnect?: ConnectHook | undefined;
  /**
   * Called once for each `onConnect`, after the client disconnected. Its errors are logged as those of `onConnect`.
   */
  readonly onDisconnect?: DisconnectHook | undefined;
  /**
   * The source of the messages, instead of NATS and of the in-memory source. Each gateway needs a source of
   * its own. With a `publish` it also takes what `gateway.publish` and dead letters publish.
   */
  readonly source?: (MessageSource & Partial<Publisher>) | undefined;
  /** The runtime that serves and upgrades, instead of the one that the gateway finds. The key `sockets` has no effect then. */
  readonly runtime?: CreateRuntime<WebSocketOption> | undefined;
  /**
   * Reads a file that the configuration names, instead of the file system. It may be called often, and throws if there is
   * no such file.
   */
  readonly readTextFile?: ((path: string) => string) | undefined;
  /** The time, instead of the system's. */
  readonly clock?: Clock | undefined;
}

/** Headers of a message by name, each with a value or several. */
export type PublishHeaders = Readonly<Record<string, string | readonly string[]>>;
