import { POLICIES } from "../protocol/fields.ts";
import { accessKeys } from "./access-keys.ts";
import { accountKeys } from "./account-keys.ts";
import {
  headerName,
  hostName,
  instanceName,
  natsUrls,
  portNumber,
  streamInput,
  subjectPattern,
  urlPath,
  webHost,
  webOrigin,
} from "./address.ts";
import { deliveryKeys } from "./delivery-keys.ts";
import { factsOf, type KeyFacts, key } from "./key-facts.ts";
import { limitKeys } from "./limit-keys.ts";
import { listenerKeys } from "./listener-keys.ts";
import { natsLoginKeys } from "./nats-login-keys.ts";
import { presenceKeys } from "./presence-keys.ts";
import {
  boolean,
  choice,
  duration,
  durationOrAuto,
  integer,
  integerOrAuto,
  list,
  size,
  timeout,
} from "./value-schemas.ts";

/**
 * Every key of a configuration file except {@linkcode FILE_KEYS}: the only source of names, types, limits,
 * defaults and descriptions. Errors are reported in this order. A key that StreamKit has too has StreamKit's
 * name; `fieldName` returns a key's name in code.
 */
export const keys = {
  name: key(
    "advanced",
    "The name of this instance in logs, in StreamKit and at NATS.",
    instanceName().prefault("websocket-output"),
  ),
  host: key(
    "basic",
    'The address to listen on; "0.0.0.0" or "::" listens on all network interfaces.',
    hostName().prefault("127.0.0.1"),
  ),
  port: key("basic", "The TCP port to listen on.", portNumber().prefault(8080)),
  path: key("basic", "The path of the WebSocket.", urlPath().prefault("/ws")),
  subjects: key(
    "basic",
    "The NATS subjects to carry; * matches one token, > at the end matches one or more.",
    list(subjectPattern(), "one or more NATS subjects").prefault([">"]),
  ),
  streams: key(
    "basic",
    'The JetStream streams to carry, with or without a subject ("ORDERS" or "ORDERS:orders.>"), and key-value buckets as "KV_settings". If a stream is named, subjects has no default.',
    list(streamInput(), 'streams: "ORDERS", or "ORDERS:orders.>"').prefault([]),
  ),
  nats_url: key(
    "basic",
    "The URLs of the NATS servers. Without one, the gateway carries what is posted to /publish/<subject>, in memory.",
    natsUrls().prefault([]),
    "login",
  ),
  ...deliveryKeys,
  ...limitKeys,
  write_timeout: key(
    "advanced",
    "Disconnects a client whose connection accepts no more data for this long, and which confirms nothing that it was sent. A client that lags has less in flight than the kernel's buffers hold: if it stops reading, read_timeout ends it.",
    timeout().prefault("5s"),
  ),
  read_timeout: key(
    "advanced",
    "Disconnects a client that sends nothing for this long, not even a pong.",
    timeout().prefault("1m"),
  ),
  ping_interval: key(
    "advanced",
    "The time between two pings of a client; must be shorter than read_timeout.",
    timeout().prefault("30s"),
  ),
  flush_interval: key(
    "advanced",
    "The maximum time that a message waits so that several are sent in one write; 0s sends on every turn of the event loop. auto: no wait while flushes need less than about 2/3 of a core; then the wait grows with the load.",
    durationOrAuto("0s", "1s").prefault("auto"),
  ),
  sockets: key(
    "advanced",
    "The socket implementation: the runtime's own (native), or that of node:http (node). auto is node, which is much faster on every runtime; inside a host's own server auto is native.",
    choice(["auto", "native", "node"]).prefault("auto"),
  ),
  workers: key(
    "advanced",
    "The number of processes that serve clients, all of them on the same port; auto is one for each processor that this process may use. More than one needs Linux. max_clients and other totals are shared out among them; the limits of one client, address or user count in each.",
    integerOrAuto(1, 256).prefault(1),
  ),
  drain_delay: key(
    "advanced",
    "The time from SIGTERM or POST /admin/drain until the gateway takes no more clients. /readyz answers 503 at once, so load balancers have this time to notice it.",
    duration("0s", "1h").prefault("0s"),
  ),
  drain_window: key(
    "advanced",
    "The time after drain_delay over which clients are disconnected, evenly, so that other gateways get them evenly; at most one second for each 100 clients.",
    duration("0s", "1h").prefault("10s"),
  ),
  stop_timeout: key(
    "advanced",
    "The maximum time that a stop waits, after drain_window, until clients have received what is queued for them.",
    timeout().prefault("10s"),
  ),
  max_connection_age: key(
    "advanced",
    "Disconnects a client after about this time (up to a tenth more or less) with 4514, so that it reconnects, perhaps to a gateway that was started since. By default never.",
    duration("1s", "2400h").optional(),
  ),
  max_clients: key(
    "advanced",
    "The maximum number of connected clients.",
    integer(1, 1_000_000).prefault(10_000),
  ),
  max_frame_bytes: key(
    "advanced",
    "The largest frame that is accepted from a client.",
    size(1024, 16 * 1024 ** 2).prefault(64 * 1024),
  ),
  max_frames_per_second: key(
    "advanced",
    "The sustained number of frames per second that a client may send; a client that sends more is disconnected. A long frame counts as several, a subscription as 10 or more, and an acknowledgement of a sent message as none.",
    integer(1, 1_000_000).prefault(1000),
  ),
  request_timeout: key(
    "advanced",
    "The time in which a request must arrive, including its body; after that the answer is 408.",
    timeout().prefault("30s"),
  ),
  max_malformed_frames: key(
    "advanced",
    "Disconnects a client that sends more malformed frames than this.",
    integer(0, 100_000).prefault(32),
  ),
  high_water_bytes: key(
    "advanced",
    "The number of unsent bytes above which a client lags: it leaves the fast path and gets its own queue.",
    // Bun drops in silence at 256 MiB: the mark, a sweep's worth and a message must fit below it.
    size(1, 64 * 1024 ** 2).prefault(1024 ** 2),
  ),
  low_water_bytes: key(
    "advanced",
    "The number of bytes in flight below which a lagging client returns to the fast path, and above which a client that is behind others lags after an eighth of max_lag and a round trip; must be less than high_water_bytes.",
    size(0, 64 * 1024 ** 2).prefault(256 * 1024),
  ),
  max_lag: key(
    "advanced",
    "A client that hasn't confirmed what it was sent this long ago lags; must be greater than target_lag.",
    duration("100ms", "1h").prefault("2s"),
  ),
  target_lag: key(
    "advanced",
    "A client that is fed from its queue has only as much in flight as it takes in this time and a round trip.",
    duration("10ms", "1h").prefault("250ms"),
  ),
  mark_interval: key(
    "advanced",
    "A ping follows a message this long after the last ping; its pong confirms that the client has taken all before it. 0s sends none: only unsent bytes then show that a client lags.",
    duration("0s", "1h").prefault("1s"),
  ),
  mark_bytes: key(
    "advanced",
    "Such a ping also follows after this many bytes, but not within 200 ms.",
    size(1024, 64 * 1024 ** 2).prefault(64 * 1000),
  ),
  max_queue_bytes: key(
    "advanced",
    "The maximum size of a client's queue, not counting messages that are replayed after a reconnect. When it is full, the policy applies.",
    size(1, 1024 ** 3).prefault(16 * 1024 ** 2),
  ),
  max_queue_messages: key(
    "advanced",
    "The maximum number of messages in a client's queue, not counting replayed ones. When it is full, the policy applies.",
    integer(1, 10_000_000).prefault(100_000),
  ),
  max_queue_age: key(
    "advanced",
    "The maximum time that a message waits in a client's queue before the policy applies.",
    timeout().prefault("1m"),
  ),
  max_total_queue_bytes: key(
    "advanced",
    "The maximum size of all queues together; beyond it, clients of the user whose queues are the longest together are disconnected. By default a quarter of the memory of the container or machine.",
    size(1, 2 ** 40).optional(),
  ),
  policy: key(
    "advanced",
    "The policy for a client's full queue, unless the client asks for another one: disconnect the client, drop the oldest or the newest messages, or keep only the latest message of each subject (conflate).",
    choice(POLICIES).prefault("disconnect"),
  ),
  allowed_policies: key(
    "advanced",
    "The policies that clients may ask for; a client that asks for another one gets the configured policy.",
    list(choice(POLICIES), "policies").prefault([...POLICIES]),
  ),
  max_subscriptions: key(
    "advanced",
    "The maximum number of subscriptions of one client of the dialect spillway.v1.json.",
    integer(1, 10_000).prefault(64),
  ),
  max_patterns: key(
    "advanced",
    "The maximum number of subject patterns in all subscriptions of one client.",
    integer(1, 1_000_000).prefault(1024),
  ),
  max_pattern_bytes: key(
    "advanced",
    "The maximum size of the subject patterns in all subscriptions of one client.",
    size(1, 1024 ** 3).prefault(64 * 1024),
  ),
  max_upstream_patterns: key(
    "advanced",
    "The maximum number of different patterns of all clients together, which is also the number of subscriptions at NATS; one client may use at most 1/8 of what is left (8 patterns are always allowed).",
    integer(1, 10_000_000).prefault(50_000),
  ),
  max_total_pattern_bytes: key(
    "advanced",
    "The maximum size of the patterns of all clients and sessions together, plus 64 bytes for each; one client may use at most 1/8 of what is left (8 patterns are always allowed).",
    size(1, 2 ** 40).prefault(64 * 1024 ** 2),
  ),
  upstream: key(
    "advanced",
    "The subscriptions of the gateway at NATS: to what clients ask for (demand), or to all subjects from the start (eager).",
    choice(["demand", "eager"]).prefault("demand"),
  ),
  upstream_linger: key(
    "advanced",
    "The time that the gateway stays subscribed at NATS after the last client has left, so that a client that reconnects has no gap.",
    duration("0s", "24h").prefault("30s"),
  ),
  max_lingering: key(
    "advanced",
    "The maximum number of patterns that stay subscribed for upstream_linger; beyond it, the one unused for the longest time is unsubscribed.",
    integer(0, 1_000_000).prefault(10_000),
  ),
  max_lingering_bytes: key(
    "advanced",
    "The maximum size of the patterns that stay subscribed for upstream_linger.",
    size(0, 1024 ** 3).prefault(1024 ** 2),
  ),
  ring_messages: key(
    "advanced",
    "The number of recent messages that are kept for clients that reconnect; 0 keeps none. Up to twice as many are kept while a client catches up.",
    integer(0, 10_000_000).prefault(20_000),
  ),
  ring_bytes: key(
    "advanced",
    "The maximum size of the recent messages that are kept; 0 keeps none.",
    size(0, 1024 ** 3).prefault(8 * 1024 ** 2),
  ),
  start_from: key(
    "advanced",
    "The place where a client that does not name one begins in a stream: with new messages, with all that the stream keeps, or with the last message of the stream or of each subject.",
    choice(["new", "all", "last", "last_per_subject"]).prefault("new"),
  ),
  max_replay_messages: key(
    "advanced",
    "The maximum number of messages of a stream that are replayed to one subscription.",
    integer(1, 10_000_000_000).prefault(1_000_000),
  ),
  max_replay_bytes: key(
    "advanced",
    "The maximum number of bytes of a stream that are replayed to one subscription.",
    size(1, 2 ** 40).prefault(1024 ** 3),
  ),
  max_replay_age: key(
    "advanced",
    "The maximum age of replayed messages; by default as old as the stream keeps them.",
    duration("1s", "2400h").optional(),
  ),
  compression: key(
    "advanced",
    "Compresses frames for clients that offer permessage-deflate. It costs CPU for each message and is worth it if the network is the bottleneck.",
    boolean().prefault(false),
  ),
  compression_threshold_bytes: key(
    "advanced",
    "The size from which frames are compressed; shorter ones are not.",
    size(0, 16 * 1024 ** 2).prefault(1024),
  ),
  payload_format: key(
    "advanced",
    "The form of payloads: unchanged (raw), or with subject and time added as StreamKit does (annotated).",
    choice(["raw", "annotated"]).prefault("raw"),
  ),
  headers: key(
    "advanced",
    "The NATS headers that clients receive.",
    list(headerName(), "header names").prefault([]),
  ),
  allowed_origins: key(
    "advanced",
    'The origins whose web pages may connect and read, besides the gateway\'s own; "null" stands for local files and for sandboxed frames of any site. Programs that send no Origin are always allowed.',
    list(webOrigin(), 'origins like "https://app.example.com", "null", or "*"').prefault([]),
  ),
  allowed_hosts: key(
    "advanced",
    "The names that a request's Host header may have, besides localhost, host and the hosts of allowed_origins. Others are refused on a loopback address, and elsewhere if this list isn't empty.",
    list(webHost(), 'host names like "app.example.com", or "*"').prefault([]),
  ),
  publish: key(
    "advanced",
    "Lets clients publish, by POST /publish/<subject> and publish frames; false turns it off for all. By default to the in-memory source, and to NATS only what publish_subjects or the client's token allows.",
    boolean().optional(),
  ),
  max_publish_bytes: key(
    "advanced",
    "The largest message that clients may publish.",
    size(1, 64 * 1024 ** 2).prefault(1024 ** 2),
  ),
  ...accessKeys,
  ...presenceKeys,
  ...listenerKeys,
  ...natsLoginKeys,
  ...accountKeys,
  log_level: key(
    "advanced",
    "The lowest level that is logged.",
    choice(["debug", "info", "warn", "error"]).prefault("info"),
  ),
  watch_config: key(
    "advanced",
    "Reads the file of the configuration every second, and reloads it when it has changed. By default only SIGHUP and POST /admin/reload do. It has no effect without a file.",
    boolean().prefault(false),
  ),
  log_format: key(
    "advanced",
    "The format of the log; auto is pretty on a terminal and json elsewhere.",
    choice(["auto", "json", "pretty"]).prefault("auto"),
  ),
};

export type Key = keyof typeof keys;

/** Returns how secret a key is, or a field inside of one: a field with the name of a key is as secret as the key. */
export function secrecyOf(name: PropertyKey): KeyFacts["secret"] {
  // The query of a URL may have a key of its own.
  if (name === "jwks_url") return "login";
  return Object.hasOwn(keys, name) ? factsOf(keys[name as Key]).secret : undefined;
}

/** The other keys of a file: one for editors, and three of StreamKit. */
export const FILE_KEYS = ["$schema", "ports", "passthrough", "security"] as const;
