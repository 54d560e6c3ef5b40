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
import { key } from "./key-facts.ts";
import { anyText, boolean, choice, duration, integer, list, size, timeout } from "./value.ts";

const filePath = () => anyText("the path of a file");

/**
 * Every key of a configuration file but {@linkcode FILE_KEYS}, in the order in which errors are reported: the
 * one source of names, types, limits, defaults and descriptions. Names that StreamKit has too are
 * its own; `fieldName` says what each is called in code.
 */
export const keys = {
  name: key(
    "advanced",
    "What this instance is called, in logs, in StreamKit and to NATS.",
    instanceName().prefault("websocket-output"),
  ),
  host: key(
    "basic",
    'Where to listen: "0.0.0.0" or "::" for all network interfaces.',
    hostName().prefault("127.0.0.1"),
  ),
  port: key("basic", "The TCP port to listen on.", portNumber().prefault(8080)),
  path: key("basic", "The path of the WebSocket.", urlPath().prefault("/ws")),
  subjects: key(
    "basic",
    "What to carry; * stands for one token, > at the end for one or more.",
    list(subjectPattern(), "one or more NATS subjects").prefault([">"]),
  ),
  streams: key(
    "basic",
    'The JetStream streams to carry, each perhaps with a subject ("ORDERS" or "ORDERS:orders.>"), and key-value buckets as "KV_settings". Where a stream is named, subjects has no default.',
    list(streamInput(), 'streams: "ORDERS", or "ORDERS:orders.>"').prefault([]),
  ),
  nats_url: key(
    "basic",
    "Where NATS is. Without it, messages come from an in-memory source, by POST /publish/<subject>.",
    natsUrls().prefault([]),
    "login",
  ),
  ...deliveryKeys,
  write_timeout: key(
    "advanced",
    "A client to which nothing more could be written for so long is disconnected.",
    timeout().prefault("5s"),
  ),
  read_timeout: key(
    "advanced",
    "A client that sends nothing for so long, not even a pong, is disconnected.",
    timeout().prefault("60s"),
  ),
  ping_interval: key(
    "advanced",
    "How often clients are pinged; must be shorter than read_timeout.",
    timeout().prefault("30s"),
  ),
  flush_interval: key(
    "advanced",
    "How long messages may wait for others to leave in one write; 0s is every turn of the event loop.",
    duration("0s", "1s").prefault("1ms"),
  ),
  sockets: key(
    "advanced",
    "Whose sockets clients connect to: the runtime's own, or those of node:http. auto is node, which is faster by far on every runtime; in a host's own server it is native.",
    choice(["auto", "native", "node"]).prefault("auto"),
  ),
  stop_timeout: key(
    "advanced",
    "How long a stop (SIGTERM) waits for clients to take what is queued for them.",
    timeout().prefault("10s"),
  ),
  max_clients: key(
    "advanced",
    "How many clients may be connected at a time.",
    integer(1, 1_000_000).prefault(10_000),
  ),
  max_frame_bytes: key(
    "advanced",
    "The largest frame that is taken from a client.",
    size(1024, 16 * 1024 ** 2).prefault(64 * 1024),
  ),
  max_frames_per_second: key(
    "advanced",
    "How many frames a client may send in a second, in the long run, where a longer frame counts for several and a subscription for 10 and more; acknowledgements of what it was sent don't count. A client that sends more is disconnected.",
    integer(1, 1_000_000).prefault(1000),
  ),
  request_timeout: key(
    "advanced",
    "How long a request may take to arrive, its body included; then it is answered with 408.",
    timeout().prefault("30s"),
  ),
  max_malformed_frames: key(
    "advanced",
    "A client that sends more frames than this that can't be understood is disconnected.",
    integer(0, 100_000).prefault(32),
  ),
  high_water_bytes: key(
    "advanced",
    "A client with more unsent bytes than this lags: it leaves the fast path and gets a queue.",
    // Bun drops in silence at 256 MiB: the mark, a sweep's worth and a message must fit below it.
    size(1, 64 * 1024 ** 2).prefault(1024 ** 2),
  ),
  low_water_bytes: key(
    "advanced",
    "A lagging client with fewer unsent bytes than this comes back; must be less than high_water_bytes.",
    size(0, 64 * 1024 ** 2).prefault(256 * 1024),
  ),
  max_queue_bytes: key(
    "advanced",
    "The most that is queued for one client, beside what it has missed and came back for; then its policy decides.",
    size(1, 1024 ** 3).prefault(16 * 1024 ** 2),
  ),
  max_queue_messages: key(
    "advanced",
    "The most messages that are queued for one client, beside those; then its policy decides.",
    integer(1, 10_000_000).prefault(100_000),
  ),
  max_queue_age: key(
    "advanced",
    "How long a message may wait for one client; then its policy decides.",
    timeout().prefault("1m"),
  ),
  max_total_queue_bytes: key(
    "advanced",
    "The most that is queued for all clients together; then those with the longest queues are disconnected. Without it, a quarter of the memory that the container or the machine has.",
    size(1, 2 ** 40).optional(),
  ),
  policy: key(
    "advanced",
    "What happens when a client's queue is full, unless the client asks for another policy: it is disconnected, the oldest or newest messages are left out, or of each subject only the latest is kept.",
    choice(["disconnect", "drop-oldest", "drop-newest", "conflate"]).prefault("disconnect"),
  ),
  allowed_policies: key(
    "advanced",
    "The policies that clients may ask for; who asks for another one gets that of policy.",
    list(choice(["disconnect", "drop-oldest", "drop-newest", "conflate"]), "policies").prefault([
      "disconnect",
      "drop-oldest",
      "drop-newest",
      "conflate",
    ]),
  ),
  max_subscriptions: key(
    "advanced",
    "How many subscriptions a client of the dialect spillway.v1.json may have.",
    integer(1, 10_000).prefault(64),
  ),
  max_patterns: key(
    "advanced",
    "How many patterns the subscriptions of a client may have together.",
    integer(1, 1_000_000).prefault(1024),
  ),
  max_pattern_bytes: key(
    "advanced",
    "How many bytes these patterns may have together.",
    size(1, 1024 ** 3).prefault(64 * 1024),
  ),
  max_upstream_patterns: key(
    "advanced",
    "How many different patterns all clients may want together, and so how many subscriptions the gateway has at NATS. While little of that is free, each client may have an eighth of it.",
    integer(1, 10_000_000).prefault(50_000),
  ),
  max_total_pattern_bytes: key(
    "advanced",
    "How many bytes the patterns of all clients and sessions may have together, 64 more for each pattern of each client, in the same way.",
    size(1, 2 ** 40).prefault(64 * 1024 ** 2),
  ),
  upstream: key(
    "advanced",
    "Whether the gateway subscribes at NATS to what clients ask for, or to all of subjects at once.",
    choice(["demand", "eager"]).prefault("demand"),
  ),
  upstream_linger: key(
    "advanced",
    "How long what nobody wants any more is still subscribed to at NATS, so that clients can come back without a gap.",
    duration("0s", "24h").prefault("30s"),
  ),
  max_lingering: key(
    "advanced",
    "How many patterns are still subscribed to at NATS for that reason; with more, the one that nobody has wanted the longest no longer is.",
    integer(0, 1_000_000).prefault(10_000),
  ),
  max_lingering_bytes: key(
    "advanced",
    "How many bytes these patterns may have together.",
    size(0, 1024 ** 3).prefault(1024 ** 2),
  ),
  ring_messages: key(
    "advanced",
    "How many of the last messages are kept for clients that come back; with 0 none. Up to twice as many while clients catch up that have not read them.",
    integer(0, 10_000_000).prefault(20_000),
  ),
  ring_bytes: key(
    "advanced",
    "How many bytes of them are kept; with 0 none.",
    size(0, 1024 ** 3).prefault(8 * 1024 ** 2),
  ),
  start_from: key(
    "advanced",
    "Where clients begin in streams that don't say it themselves: with what comes next, with all that is kept, or with the latest of all or of each subject.",
    choice(["new", "all", "last", "last_per_subject"]).prefault("new"),
  ),
  max_replay_messages: key(
    "advanced",
    "How many messages of a stream a client may go back.",
    integer(1, 10_000_000_000).prefault(1_000_000),
  ),
  max_replay_bytes: key(
    "advanced",
    "How many bytes of what a stream has kept a client may be sent for one subscription.",
    size(1, 2 ** 40).prefault(1024 ** 3),
  ),
  max_replay_age: key(
    "advanced",
    "How old what a client goes back to may be; without it, as old as the stream keeps.",
    duration("1s", "2400h").optional(),
  ),
  compression: key(
    "advanced",
    "Whether frames are compressed for clients that offer permessage-deflate. It costs CPU for each message, and pays where the network is what limits.",
    boolean().prefault(false),
  ),
  compression_threshold_bytes: key(
    "advanced",
    "Frames that are shorter are not compressed.",
    size(0, 16 * 1024 ** 2).prefault(1024),
  ),
  payload_format: key(
    "advanced",
    "Whether payloads are carried as they are, or with their subject and time added as StreamKit does it.",
    choice(["raw", "annotated"]).prefault("raw"),
  ),
  headers: key(
    "advanced",
    "The NATS headers that are passed on to clients.",
    list(headerName(), "header names").prefault([]),
  ),
  allowed_origins: key(
    "advanced",
    'The origins whose web pages may connect and read, beside the gateway\'s own; "null" is that of files, and of sandboxed frames of any site. Programs that send no Origin may.',
    list(webOrigin(), 'origins like "https://app.example.com", "null", or "*"').prefault([]),
  ),
  allowed_hosts: key(
    "advanced",
    "The names that requests may be for (Host), beside localhost, host and those of allowed_origins. On a loopback address others are refused; elsewhere they are where this list isn't empty.",
    list(webHost(), 'host names like "app.example.com", or "*"').prefault([]),
  ),
  publish: key(
    "advanced",
    "Whether POST /publish/<subject> feeds the in-memory source; without it, only when there is no nats_url.",
    boolean().optional(),
  ),
  max_publish_bytes: key(
    "advanced",
    "The largest message that POST /publish/<subject> takes.",
    size(1, 64 * 1024 ** 2).prefault(1024 ** 2),
  ),
  nats_user: key("advanced", "The user to log in to NATS as.", anyText().optional()),
  nats_password: key("advanced", "The password of nats_user.", anyText().optional(), "value"),
  nats_token: key("advanced", "The token to log in to NATS with.", anyText().optional(), "value"),
  nats_nkey_file: key(
    "advanced",
    "Holds the NKey seed to log in to NATS with. Like the other files, it is read again at each connect.",
    filePath().optional(),
  ),
  nats_creds_file: key(
    "advanced",
    "Holds the credentials (a JWT and its seed) to log in to NATS with.",
    filePath().optional(),
  ),
  nats_tls_ca_file: key(
    "advanced",
    "The certificates (PEM) that the NATS server's is checked against, instead of the system's.",
    filePath().optional(),
  ),
  nats_tls_cert_file: key(
    "advanced",
    "The client certificate (PEM) to show to NATS.",
    filePath().optional(),
  ),
  nats_tls_key_file: key(
    "advanced",
    "The private key (PEM) of nats_tls_cert_file.",
    filePath().optional(),
  ),
  log_level: key(
    "advanced",
    "The least important kind of event that is logged.",
    choice(["debug", "info", "warn", "error"]).prefault("info"),
  ),
  log_format: key(
    "advanced",
    "How events are logged; auto is pretty on a terminal and json elsewhere.",
    choice(["auto", "json", "pretty"]).prefault("auto"),
  ),
};

export type Key = keyof typeof keys;

/** The other keys of a file: one for editors, and two of StreamKit's. */
export const FILE_KEYS = ["$schema", "ports", "passthrough"] as const;
