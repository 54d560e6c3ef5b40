// Made by `npm run docs` from the schema in keys.ts. Do not edit.

/**
 * The configuration in the shape of a file: its keys, StreamKit's `ports`, `passthrough` and `security`. All are optional.
 * Durations are texts like `"5s"`; sizes are bytes, or texts like `"64KiB"`.
 */
export interface ConfigInput {
  /** This schema, for editors. */
  readonly $schema?: string | undefined;

  /**
   * StreamKit's way to say subjects (inputs) and host, port and path (one output, with port 8081 and
   * semantic.> when it says nothing else).
   */
  readonly ports?: {
    readonly inputs?: readonly ({
      readonly name?: string | undefined;
      readonly required?: boolean | undefined;
      readonly description?: string | undefined;
      readonly interface?: string | {
        readonly type: string;
        readonly version?: string | undefined;
      } | undefined;
      readonly direction?: "input" | undefined;
      readonly type?: "nats" | "jetstream" | "kv" | undefined;
      readonly stream_name?: string | undefined;
      readonly bucket?: string | undefined;
      readonly subject?: string | undefined;
      readonly subjects?: readonly string[] | undefined;
      readonly deliver_policy?: "new" | "all" | "last" | "last_per_subject" | undefined;
      readonly ack_policy?: "none" | "explicit" | "all" | undefined;
      readonly ack_wait?: string | undefined;
      readonly max_deliver?: number | undefined;
      readonly max_ack_pending?: number | undefined;
      readonly config?: {
        readonly kind: "nats" | "jetstream" | "kv";
        readonly stream_name?: string | undefined;
        readonly bucket?: string | undefined;
        readonly subject?: string | undefined;
        readonly subjects?: readonly string[] | undefined;
        readonly deliver_policy?: "new" | "all" | "last" | "last_per_subject" | undefined;
        readonly ack_policy?: "none" | "explicit" | "all" | undefined;
        readonly ack_wait?: string | undefined;
        readonly max_deliver?: number | undefined;
        readonly max_ack_pending?: number | undefined;
        readonly interface?: string | {
          readonly type: string;
          readonly version?: string | undefined;
        } | undefined;
      } | undefined;
    })[] | undefined;
    readonly outputs?: readonly ({
      readonly name?: string | undefined;
      readonly required?: boolean | undefined;
      readonly description?: string | undefined;
      readonly interface?: string | {
        readonly type: string;
        readonly version?: string | undefined;
      } | undefined;
      readonly direction?: "output" | undefined;
      readonly type?: "network" | "http" | "websocket" | "websocket-server" | undefined;
      readonly subject?: string | undefined;
      readonly config?: {
        readonly kind: "network";
        readonly protocol?: "http" | "ws" | "websocket" | "tcp" | undefined;
        readonly host?: string | undefined;
        readonly port?: number | undefined;
        readonly path?: string | undefined;
      } | undefined;
    })[] | undefined;
  } | undefined;

  /** StreamKit's way to say payload_format: true is "raw", and false "annotated". */
  readonly passthrough?: boolean | undefined;

  /** StreamKit's way to say tls_… (tls.server; all else is for other parts of StreamKit). */
  readonly security?: {
    readonly tls?: {
      readonly server?: {
        readonly enabled?: boolean | undefined;
        readonly mode?: string | undefined;
        readonly cert_file?: string | undefined;
        readonly key_file?: string | undefined;
        readonly min_version?: string | undefined;
        readonly acme?: {
          readonly enabled?: boolean | undefined;
        } | undefined;
        readonly mtls?: {
          readonly enabled?: boolean | undefined;
          readonly client_ca_files?: readonly string[] | undefined;
          readonly require_client_cert?: boolean | undefined;
          readonly allowed_client_cns?: readonly string[] | undefined;
        } | undefined;
      } | undefined;
    } | undefined;
  } | undefined;

  /**
   * The name of this instance in logs, in StreamKit and at NATS. Must be 1 to 64 of A-Z a-z 0-9 _ . -. A
   * change needs a restart.
   *
   * Default: `"websocket-output"`
   */
  readonly name?: string | undefined;

  /**
   * The address to listen on; "0.0.0.0" or "::" listens on all network interfaces. Must be an IP address
   * or a host name. A change needs a restart.
   *
   * Default: `"127.0.0.1"`
   */
  readonly host?: string | undefined;

  /**
   * The TCP port to listen on. Must be 0 (any free port) or an integer from 1 to 65535. A change needs a
   * restart.
   *
   * Default: `8080`
   */
  readonly port?: number | undefined;

  /**
   * The path of the WebSocket. Must be a path that begins with "/", like "/live/ws", of letters, digits
   * and - . _ ~, other than the gateway's own (/ /livez /readyz /healthz /metrics /schema.json
   * /asyncapi.json /client.js /publish). A change needs a restart.
   *
   * Default: `"/ws"`
   */
  readonly path?: string | undefined;

  /**
   * The NATS subjects to carry; * matches one token, > at the end matches one or more. Must be a list of
   * one or more NATS subjects.
   *
   * Default: `[">"]`
   */
  readonly subjects?: readonly string[] | undefined;

  /**
   * The JetStream streams to carry, with or without a subject ("ORDERS" or "ORDERS:orders.>"), and
   * key-value buckets as "KV_settings". If a stream is named, subjects has no default. Must be a list of
   * streams: "ORDERS", or "ORDERS:orders.>". A change needs a restart.
   *
   * Default: `[]`
   */
  readonly streams?: readonly string[] | undefined;

  /**
   * The URLs of the NATS servers. Without one, the gateway carries what is posted to /publish/<subject>,
   * in memory. Must be URLs in a list or separated by commas, all "nats://" and "tls://" or all "ws://"
   * and "wss://". A change needs a restart.
   *
   * Default: `[]`
   */
  readonly nats_url?: string | readonly string[] | undefined;

  /**
   * The delivery guarantee: a message is sent once (at-most-once), or again until the client acknowledges
   * it (at-least-once). Must be "at-most-once" or "at-least-once". A change needs a restart.
   *
   * Default: `"at-most-once"`
   */
  readonly delivery_mode?: "at-most-once" | "at-least-once" | undefined;

  /**
   * The time in which a client must acknowledge a message; after that it is sent again. This key and the
   * next ones, up to dead_letter_subject, have no effect in at-most-once. Must be a duration from "1ms"
   * to "24h". A change needs a restart.
   *
   * Default: `"5s"`
   */
  readonly ack_timeout?: string | undefined;

  /**
   * The maximum number of times that a message is sent to a client that does not acknowledge it; then the
   * gateway gives up. Must be an integer from 1 to 100. A change needs a restart.
   *
   * Default: `5`
   */
  readonly max_deliver?: number | undefined;

  /**
   * The wait before a message is sent again. It doubles with each attempt up to 30s (or up to this value,
   * if it is longer) and is shortened at random by up to half; 0s is at once. Must be a duration from
   * "0s" to "1h".
   *
   * Default: `"1s"`
   */
  readonly redelivery_backoff?: string | undefined;

  /**
   * The maximum number of unacknowledged messages of one client; more wait in its queue. Must be an
   * integer from 1 to 1000000. A change needs a restart.
   *
   * Default: `256`
   */
  readonly max_inflight_messages?: number | undefined;

  /**
   * The maximum size of the unacknowledged messages of one client; more wait in its queue. Must be a size
   * from "1B" to "1GiB". A change needs a restart.
   *
   * Default: `"4MiB"`
   */
  readonly max_inflight_bytes?: number | string | undefined;

  /**
   * The time that a session is kept after its connection is lost, with its unacknowledged messages and
   * those that arrive meanwhile; 0s keeps none. Must be a duration from "0s" to "24h".
   *
   * Default: `"1m"`
   */
  readonly session_ttl?: string | undefined;

  /**
   * The maximum number of sessions without a connection; beyond it, the user that has the most, or the
   * address for clients without a token, loses its oldest one. Must be an integer from 0 to 1000000.
   *
   * Default: `10000`
   */
  readonly max_sessions?: number | undefined;

  /**
   * The maximum size of all sessions without a connection; beyond it, the user whose sessions are the
   * largest, or the address for clients without a token, loses its oldest ones. Must be a size from "0B"
   * to "1TiB".
   *
   * Default: `"64MiB"`
   */
  readonly max_session_bytes?: number | string | undefined;

  /**
   * The maximum number of durables on one stream, of all gateways together. Must be an integer from 0 to
   * 100000. A change needs a restart.
   *
   * Default: `1000`
   */
  readonly max_durables?: number | undefined;

  /**
   * The maximum number of durables on one stream of one user (the sub of a token). Clients without a
   * token share theirs; for them, only max_durables counts. Must be an integer from 1 to 100000. A change
   * needs a restart.
   *
   * Default: `100`
   */
  readonly max_durables_per_sub?: number | undefined;

  /**
   * The time that JetStream keeps a durable that no client uses, with its acknowledgements. Must be a
   * duration from "1s" to "2160h". A change needs a restart.
   *
   * Default: `"24h"`
   */
  readonly durable_ttl?: string | undefined;

  /**
   * The subject to which messages are published after max_deliver attempts, with headers that give the
   * reason. Must not be one of subjects. By default none. Must be a NATS subject without wildcards. A
   * change needs a restart.
   */
  readonly dead_letter_subject?: string | undefined;

  /**
   * The maximum number of connected clients of one IP address; IPv6 addresses with the same first 64 bits
   * count as one. Without a token, it also has at most so many sessions without a connection. By default
   * only max_clients counts. Must be an integer from 1 to 1000000.
   */
  readonly max_clients_per_address?: number | undefined;

  /**
   * The maximum number of connected clients of one user (the sub of a token), and of its sessions without
   * a connection. By default only max_clients counts. Must be an integer from 1 to 1000000.
   */
  readonly max_clients_per_sub?: number | undefined;

  /**
   * The sustained number of clients that may connect per second; a burst may use five seconds of it, of
   * which one address leaves a quarter to others. Clients that must wait are told with Retry-After when
   * to try again. By default there is no limit. Must be an integer from 1 to 1000000.
   */
  readonly max_handshakes_per_second?: number | undefined;

  /**
   * The sustained number of messages and requests per second that a user, or an address for clients
   * without a token, may publish on all connections and by POST; a burst may use two seconds of it. More
   * are refused with too_many_requests. As many POSTs that their token doesn't allow are checked of one
   * address; more are answered 429. Must be an integer from 1 to 1000000.
   *
   * Default: `100`
   */
  readonly max_publishes_per_second?: number | undefined;

  /**
   * The longest time that a client may wait for the answer to a request. Must be a duration from "1ms" to
   * "24h".
   *
   * Default: `"10s"`
   */
  readonly max_request_timeout?: string | undefined;

  /**
   * Names the publisher in messages that clients publish, in the NATS headers Spillway-Sub and
   * Spillway-Issuer. Must be true or false.
   *
   * Default: `false`
   */
  readonly publisher_header?: boolean | undefined;

  /**
   * The addresses of proxies in front of the gateway. The gateway believes a forwarded address only if
   * one of these sent it. Must be a list of addresses or ranges like "10.0.0.0/8".
   *
   * Default: `[]`
   */
  readonly trusted_proxies?: readonly string[] | undefined;

  /**
   * The header in which trusted_proxies add the address of their client. A proxy passes on the other
   * header as the client wrote it, so only one counts. Must be "x-forwarded-for" or "forwarded".
   *
   * Default: `"x-forwarded-for"`
   */
  readonly forwarded_header?: "x-forwarded-for" | "forwarded" | undefined;

  /**
   * Disconnects a client whose connection accepts no more data for this long, and which confirms nothing
   * that it was sent. A client that lags has less in flight than the kernel's buffers hold: if it stops
   * reading, read_timeout ends it. Must be a duration from "1ms" to "24h".
   *
   * Default: `"5s"`
   */
  readonly write_timeout?: string | undefined;

  /**
   * Disconnects a client that sends nothing for this long, not even a pong. Must be a duration from "1ms"
   * to "24h". A change needs a restart.
   *
   * Default: `"1m"`
   */
  readonly read_timeout?: string | undefined;

  /**
   * The time between two pings of a client; must be shorter than read_timeout. Must be a duration from
   * "1ms" to "24h".
   *
   * Default: `"30s"`
   */
  readonly ping_interval?: string | undefined;

  /**
   * The maximum time that a message waits so that several are sent in one write; 0s sends on every turn
   * of the event loop. auto: no wait while flushes need less than about 2/3 of a core; then the wait
   * grows with the load. Must be "auto" or a duration from "0s" to "1s". A change needs a restart.
   *
   * Default: `"auto"`
   */
  readonly flush_interval?: "auto" | string | undefined;

  /**
   * The socket implementation: the runtime's own (native), or that of node:http (node). auto is node,
   * which is much faster on every runtime; inside a host's own server auto is native. Must be "auto",
   * "native" or "node". A change needs a restart.
   *
   * Default: `"auto"`
   */
  readonly sockets?: "auto" | "native" | "node" | undefined;

  /**
   * The number of processes that serve clients, all of them on the same port; auto is one for each
   * processor that this process may use. More than one needs Linux. max_clients and other totals are
   * shared out among them; the limits of one client, address or user count in each. Must be "auto" or an
   * integer from 1 to 256. A change needs a restart.
   *
   * Default: `1`
   */
  readonly workers?: "auto" | number | undefined;

  /**
   * The time from SIGTERM or POST /admin/drain until the gateway takes no more clients. /readyz answers
   * 503 at once, so load balancers have this time to notice it. Must be a duration from "0s" to "1h".
   *
   * Default: `"0s"`
   */
  readonly drain_delay?: string | undefined;

  /**
   * The time after drain_delay over which clients are disconnected, evenly, so that other gateways get
   * them evenly; at most one second for each 100 clients. Must be a duration from "0s" to "1h".
   *
   * Default: `"10s"`
   */
  readonly drain_window?: string | undefined;

  /**
   * The maximum time that a stop waits, after drain_window, until clients have received what is queued
   * for them. Must be a duration from "1ms" to "24h".
   *
   * Default: `"10s"`
   */
  readonly stop_timeout?: string | undefined;

  /**
   * Disconnects a client after about this time (up to a tenth more or less) with 4514, so that it
   * reconnects, perhaps to a gateway that was started since. By default never. Must be a duration from
   * "1s" to "2400h".
   */
  readonly max_connection_age?: string | undefined;

  /**
   * The maximum number of connected clients. Must be an integer from 1 to 1000000.
   *
   * Default: `10000`
   */
  readonly max_clients?: number | undefined;

  /**
   * The largest frame that is accepted from a client. Must be a size from "1KiB" to "16MiB". A change
   * needs a restart.
   *
   * Default: `"64KiB"`
   */
  readonly max_frame_bytes?: number | string | undefined;

  /**
   * The sustained number of frames per second that a client may send; a client that sends more is
   * disconnected. A long frame counts as several, a subscription as 10 or more, and an acknowledgement of
   * a sent message as none. Must be an integer from 1 to 1000000.
   *
   * Default: `1000`
   */
  readonly max_frames_per_second?: number | undefined;

  /**
   * The time in which a request must arrive, including its body; after that the answer is 408. Must be a
   * duration from "1ms" to "24h". A change needs a restart.
   *
   * Default: `"30s"`
   */
  readonly request_timeout?: string | undefined;

  /**
   * Disconnects a client that sends more malformed frames than this. Must be an integer from 0 to 100000.
   *
   * Default: `32`
   */
  readonly max_malformed_frames?: number | undefined;

  /**
   * The number of unsent bytes above which a client lags: it leaves the fast path and gets its own queue.
   * Must be a size from "1B" to "64MiB".
   *
   * Default: `"1MiB"`
   */
  readonly high_water_bytes?: number | string | undefined;

  /**
   * The number of bytes in flight below which a lagging client returns to the fast path, and above which
   * a client that is behind others lags after an eighth of max_lag and a round trip; must be less than
   * high_water_bytes. Must be a size from "0B" to "64MiB".
   *
   * Default: `"256KiB"`
   */
  readonly low_water_bytes?: number | string | undefined;

  /**
   * A client that hasn't confirmed what it was sent this long ago lags; must be greater than target_lag.
   * Must be a duration from "100ms" to "1h".
   *
   * Default: `"2s"`
   */
  readonly max_lag?: string | undefined;

  /**
   * A client that is fed from its queue has only as much in flight as it takes in this time and a round
   * trip. Must be a duration from "10ms" to "1h". A change needs a restart.
   *
   * Default: `"250ms"`
   */
  readonly target_lag?: string | undefined;

  /**
   * A ping follows a message this long after the last ping; its pong confirms that the client has taken
   * all before it. 0s sends none: only unsent bytes then show that a client lags. Must be a duration from
   * "0s" to "1h". A change needs a restart.
   *
   * Default: `"1s"`
   */
  readonly mark_interval?: string | undefined;

  /**
   * Such a ping also follows after this many bytes, but not within 200 ms. Must be a size from "1KiB" to
   * "64MiB".
   *
   * Default: `"64kB"`
   */
  readonly mark_bytes?: number | string | undefined;

  /**
   * The maximum size of a client's queue, not counting messages that are replayed after a reconnect. When
   * it is full, the policy applies. Must be a size from "1B" to "1GiB".
   *
   * Default: `"16MiB"`
   */
  readonly max_queue_bytes?: number | string | undefined;

  /**
   * The maximum number of messages in a client's queue, not counting replayed ones. When it is full, the
   * policy applies. Must be an integer from 1 to 10000000.
   *
   * Default: `100000`
   */
  readonly max_queue_messages?: number | undefined;

  /**
   * The maximum time that a message waits in a client's queue before the policy applies. Must be a
   * duration from "1ms" to "24h".
   *
   * Default: `"1m"`
   */
  readonly max_queue_age?: string | undefined;

  /**
   * The maximum size of all queues together; beyond it, clients of the user whose queues are the longest
   * together are disconnected. By default a quarter of the memory of the container or machine. Must be a
   * size from "1B" to "1TiB".
   */
  readonly max_total_queue_bytes?: number | string | undefined;

  /**
   * The policy for a client's full queue, unless the client asks for another one: disconnect the client,
   * drop the oldest or the newest messages, or keep only the latest message of each subject (conflate).
   * Must be "disconnect", "drop-oldest", "drop-newest" or "conflate".
   *
   * Default: `"disconnect"`
   */
  readonly policy?: "disconnect" | "drop-oldest" | "drop-newest" | "conflate" | undefined;

  /**
   * The policies that clients may ask for; a client that asks for another one gets the configured policy.
   * Must be a list of policies.
   *
   * Default: `["disconnect","drop-oldest","drop-newest","conflate"]`
   */
  readonly allowed_policies?: readonly ("disconnect" | "drop-oldest" | "drop-newest" | "conflate")[] | undefined;

  /**
   * The maximum number of subscriptions of one client of the dialect spillway.v1.json. Must be an integer
   * from 1 to 10000.
   *
   * Default: `64`
   */
  readonly max_subscriptions?: number | undefined;

  /**
   * The maximum number of subject patterns in all subscriptions of one client. Must be an integer from 1
   * to 1000000.
   *
   * Default: `1024`
   */
  readonly max_patterns?: number | undefined;

  /**
   * The maximum size of the subject patterns in all subscriptions of one client. Must be a size from "1B"
   * to "1GiB".
   *
   * Default: `"64KiB"`
   */
  readonly max_pattern_bytes?: number | string | undefined;

  /**
   * The maximum number of different patterns of all clients together, which is also the number of
   * subscriptions at NATS; one client may use at most 1/8 of what is left (8 patterns are always
   * allowed). Must be an integer from 1 to 10000000.
   *
   * Default: `50000`
   */
  readonly max_upstream_patterns?: number | undefined;

  /**
   * The maximum size of the patterns of all clients and sessions together, plus 64 bytes for each; one
   * client may use at most 1/8 of what is left (8 patterns are always allowed). Must be a size from "1B"
   * to "1TiB".
   *
   * Default: `"64MiB"`
   */
  readonly max_total_pattern_bytes?: number | string | undefined;

  /**
   * The subscriptions of the gateway at NATS: to what clients ask for (demand), or to all subjects from
   * the start (eager). Must be "demand" or "eager". A change needs a restart.
   *
   * Default: `"demand"`
   */
  readonly upstream?: "demand" | "eager" | undefined;

  /**
   * The time that the gateway stays subscribed at NATS after the last client has left, so that a client
   * that reconnects has no gap. Must be a duration from "0s" to "24h".
   *
   * Default: `"30s"`
   */
  readonly upstream_linger?: string | undefined;

  /**
   * The maximum number of patterns that stay subscribed for upstream_linger; beyond it, the one unused
   * for the longest time is unsubscribed. Must be an integer from 0 to 1000000.
   *
   * Default: `10000`
   */
  readonly max_lingering?: number | undefined;

  /**
   * The maximum size of the patterns that stay subscribed for upstream_linger. Must be a size from "0B"
   * to "1GiB".
   *
   * Default: `"1MiB"`
   */
  readonly max_lingering_bytes?: number | string | undefined;

  /**
   * The number of recent messages that are kept for clients that reconnect; 0 keeps none. Up to twice as
   * many are kept while a client catches up. Must be an integer from 0 to 10000000. A change needs a
   * restart.
   *
   * Default: `20000`
   */
  readonly ring_messages?: number | undefined;

  /**
   * The maximum size of the recent messages that are kept; 0 keeps none. Must be a size from "0B" to
   * "1GiB". A change needs a restart.
   *
   * Default: `"8MiB"`
   */
  readonly ring_bytes?: number | string | undefined;

  /**
   * The place where a client that does not name one begins in a stream: with new messages, with all that
   * the stream keeps, or with the last message of the stream or of each subject. Must be "new", "all",
   * "last" or "last_per_subject".
   *
   * Default: `"new"`
   */
  readonly start_from?: "new" | "all" | "last" | "last_per_subject" | undefined;

  /**
   * The maximum number of messages of a stream that are replayed to one subscription. Must be an integer
   * from 1 to 10000000000. A change needs a restart.
   *
   * Default: `1000000`
   */
  readonly max_replay_messages?: number | undefined;

  /**
   * The maximum number of bytes of a stream that are replayed to one subscription. Must be a size from
   * "1B" to "1TiB". A change needs a restart.
   *
   * Default: `"1GiB"`
   */
  readonly max_replay_bytes?: number | string | undefined;

  /**
   * The maximum age of replayed messages; by default as old as the stream keeps them. Must be a duration
   * from "1s" to "2400h". A change needs a restart.
   */
  readonly max_replay_age?: string | undefined;

  /**
   * Compresses frames for clients that offer permessage-deflate. It costs CPU for each message and is
   * worth it if the network is the bottleneck. Must be true or false. A change needs a restart.
   *
   * Default: `false`
   */
  readonly compression?: boolean | undefined;

  /**
   * The size from which frames are compressed; shorter ones are not. Must be a size from "0B" to "16MiB".
   * A change needs a restart.
   *
   * Default: `"1KiB"`
   */
  readonly compression_threshold_bytes?: number | string | undefined;

  /**
   * The form of payloads: unchanged (raw), or with subject and time added as StreamKit does (annotated).
   * Must be "raw" or "annotated". A change needs a restart.
   *
   * Default: `"raw"`
   */
  readonly payload_format?: "raw" | "annotated" | undefined;

  /**
   * The NATS headers that clients receive. Must be a list of header names. A change needs a restart.
   *
   * Default: `[]`
   */
  readonly headers?: readonly string[] | undefined;

  /**
   * The origins whose web pages may connect and read, besides the gateway's own; "null" stands for local
   * files and for sandboxed frames of any site. Programs that send no Origin are always allowed. Must be
   * a list of origins like "https://app.example.com", "null", or "*".
   *
   * Default: `[]`
   */
  readonly allowed_origins?: readonly string[] | undefined;

  /**
   * The names that a request's Host header may have, besides localhost, host and the hosts of
   * allowed_origins. Others are refused on a loopback address, and elsewhere if this list isn't empty.
   * Must be a list of host names like "app.example.com", or "*".
   *
   * Default: `[]`
   */
  readonly allowed_hosts?: readonly string[] | undefined;

  /**
   * Lets clients publish, by POST /publish/<subject> and publish frames; false turns it off for all. By
   * default to the in-memory source, and to NATS only what publish_subjects or the client's token allows.
   * Must be true or false. A change needs a restart.
   */
  readonly publish?: boolean | undefined;

  /**
   * The largest message that clients may publish. Must be a size from "1B" to "64MiB". A change needs a
   * restart.
   *
   * Default: `"1MiB"`
   */
  readonly max_publish_bytes?: number | string | undefined;

  /**
   * A JSON file with the SHA-256 hashes of tokens, each with what its client may do. It is read again
   * when it changes. Must be the path of a file.
   */
  readonly tokens_file?: string | undefined;

  /**
   * A JSON file with users and their hashed passwords, for clients that log in by HTTP Basic. It is read
   * again when it changes. Must be the path of a file.
   */
  readonly passwords_file?: string | undefined;

  /**
   * The issuers of JSON Web Tokens that are accepted: issuer, audience, jwks_url or keys_file, and
   * optionally algorithms, types and max_token_age. Must be a list of objects with issuer, audience, and
   * jwks_url or keys_file.
   */
  readonly issuers?: readonly ({
    readonly issuer: string;
    readonly audience: string | readonly string[];
    readonly jwks_url?: string | undefined;
    readonly keys_file?: string | undefined;
    readonly algorithms?: readonly ("RS256" | "RS384" | "RS512" | "PS256" | "PS384" | "PS512" | "ES256" | "ES384" | "ES512" | "EdDSA" | "HS256" | "HS384" | "HS512")[] | undefined;
    readonly types?: readonly string[] | undefined;
    readonly max_token_age?: string | undefined;
  })[] | undefined;

  /**
   * The maximum difference between the clocks of issuers and ours. Must be a duration from "0s" to "5m".
   *
   * Default: `"10s"`
   */
  readonly clock_tolerance?: string | undefined;

  /**
   * The maximum lifetime of a JSON Web Token, from its issue to its expiry; a token that lives longer is
   * refused. An issuer may have its own. Must be a duration from "1s" to "2400h". A change needs a
   * restart.
   *
   * Default: `"24h"`
   */
  readonly max_token_age?: string | undefined;

  /**
   * The NATS subject of a service that decides who clients are. Its requests contain what clients show,
   * so it must not be one of subjects; a subject like "_AUTH.gateway" never is. Must be a NATS subject
   * without wildcards. A change needs a restart.
   */
  readonly authorizer_subject?: string | undefined;

  /**
   * The time limit for an answer of the service at authorizer_subject, or of the hook authorize of the
   * library; after that the client is answered 503. Must be a duration from "1ms" to "24h".
   *
   * Default: `"2s"`
   */
  readonly authorizer_timeout?: string | undefined;

  /**
   * The name of a cookie with a token, best with the prefix "__Host-". It counts only for pages of the
   * gateway's own origin and of allowed_origins. Must be the name of a cookie.
   */
  readonly token_cookie?: string | undefined;

  /**
   * Accepts tokens in the query (?access_token=<token>). URLs end up in logs and histories of browsers
   * and proxies, so it is off by default. Must be true or false.
   *
   * Default: `false`
   */
  readonly allow_query_token?: boolean | undefined;

  /**
   * The permissions of clients that show no token, in the shape of authorization_details. By default they
   * are refused if any authenticator is configured. Must be a list of objects like {"subjects": {"allow":
   * ["news.>"]}}.
   */
  readonly anonymous?: readonly ({
    readonly type?: "spillway" | undefined;
    readonly account?: string | undefined;
    readonly actions?: readonly ("subscribe" | "publish" | "request" | "presence")[] | undefined;
    readonly subjects: {
      readonly allow?: readonly string[] | undefined;
      readonly deny?: readonly string[] | undefined;
    };
    readonly policies?: readonly ("disconnect" | "drop-oldest" | "drop-newest" | "conflate")[] | undefined;
    readonly max_rate?: number | undefined;
    readonly max_subscriptions?: number | undefined;
    readonly from?: readonly ("new" | "all" | "last" | "last_per_subject" | "seq" | "time" | "after")[] | undefined;
    readonly durables?: readonly string[] | undefined;
  })[] | undefined;

  /**
   * The time in which a client of spillway.v1.json that connected without a token must send one in an
   * auth frame. Must be a duration from "1ms" to "24h".
   *
   * Default: `"5s"`
   */
  readonly auth_timeout?: string | undefined;

  /**
   * The key-value bucket in NATS with revoked tokens and users. Must be a bucket's name: 1 to 64 of A-Z
   * a-z 0-9 _ -. A change needs a restart.
   */
  readonly revocation_bucket?: string | undefined;

  /**
   * The NATS subject of revocations, for NATS servers without JetStream: only clients that are connected
   * when a message arrives lose access. It must not be one of subjects. Must be a NATS subject without
   * wildcards. A change needs a restart.
   */
  readonly revocation_subject?: string | undefined;

  /**
   * The subjects that clients may publish to, if no authenticator is configured. With one, what a client
   * shows decides. Without nats_url the default is all of subjects. Must be a list of NATS subjects.
   *
   * Default: `[]`
   */
  readonly publish_subjects?: readonly string[] | undefined;

  /**
   * The subjects that clients may send requests to, if no authenticator is configured. With one, what a
   * client shows decides. Must be a list of NATS subjects.
   *
   * Default: `[]`
   */
  readonly request_subjects?: readonly string[] | undefined;

  /**
   * The key-value bucket in NATS in which gateways tell each other who is on which subjects. By default
   * presence is off. Must be a bucket's name: 1 to 64 of A-Z a-z 0-9 _ -. A change needs a restart.
   */
  readonly presence_bucket?: string | undefined;

  /**
   * The time after which the clients of a gateway that is silent count as gone. It must be the same on
   * all gateways; the bucket's TTL must be at least ten times as long. Must be a duration from "3s" to
   * "1h". A change needs a restart.
   *
   * Default: `"30s"`
   */
  readonly presence_ttl?: string | undefined;

  /**
   * The time in which a client with a name that has disconnected may reconnect and never counts as gone.
   * Must be a duration from "0s" to "1h". A change needs a restart.
   *
   * Default: `"10s"`
   */
  readonly presence_grace?: string | undefined;

  /**
   * The minimum time between two presence frames about one subject, and between two changes of a client
   * that others are told. Must be a duration from "10ms" to "1m". A change needs a restart.
   *
   * Default: `"1s"`
   */
  readonly presence_interval?: string | undefined;

  /**
   * The maximum number of subjects of which one client watches the presence. Must be an integer from 1 to
   * 10000. A change needs a restart.
   *
   * Default: `16`
   */
  readonly max_presence_watches?: number | undefined;

  /**
   * The maximum number of connections of all gateways together that count for presence; further ones are
   * not counted. Must be an integer from 1 to 10000000. A change needs a restart.
   *
   * Default: `100000`
   */
  readonly max_presence_entries?: number | undefined;

  /**
   * A file with the certificate (PEM), and those between it and its authority. With it, both listeners
   * speak only TLS. The files of TLS are read again when they change; open connections continue. Must be
   * the path of a file.
   */
  readonly tls_cert_file?: string | undefined;

  /** A file with the private key (PEM) of tls_cert_file. Must be the path of a file. */
  readonly tls_key_file?: string | undefined;

  /**
   * The lowest version of TLS that is spoken. Must be "1.2" or "1.3".
   *
   * Default: `"1.2"`
   */
  readonly tls_min_version?: "1.2" | "1.3" | undefined;

  /**
   * Files with the authorities (PEM) of clients' certificates. With one, clients must have a certificate
   * (mutual TLS). Must be a list of paths of files. A change needs a restart.
   *
   * Default: `[]`
   */
  readonly tls_client_ca_files?: readonly string[] | undefined;

  /**
   * The names of which a client's certificate must have one: the common name of its subject, or an
   * alternative name of the kind DNS. By default any name. Must be a list of names. A change needs a
   * restart.
   *
   * Default: `[]`
   */
  readonly tls_client_names?: readonly string[] | undefined;

  /**
   * The address that admin_port listens on. Other addresses than loopback need admin_tokens_file. Must be
   * an IP address or a host name. A change needs a restart.
   *
   * Default: `"127.0.0.1"`
   */
  readonly admin_host?: string | undefined;

  /**
   * The TCP port for operators: metrics, health, the console, and POST /admin/revoke, /admin/drain and
   * /admin/reload. By default there is none. Metrics, health and the console are also at port, unless
   * clients need a token. Must be 0 (any free port) or an integer from 1 to 65535. A change needs a
   * restart.
   */
  readonly admin_port?: number | undefined;

  /**
   * A JSON file with the SHA-256 hashes of operators' tokens, each with its sub and its role: a "viewer"
   * may read, an "operator" may also act. It is read again when it changes. By default operators need no
   * token. Must be the path of a file.
   */
  readonly admin_tokens_file?: string | undefined;

  /** The user to log in to NATS as. Must be a text that is not empty. A change needs a restart. */
  readonly nats_user?: string | undefined;

  /** The password of nats_user. Must be a text that is not empty. A change needs a restart. */
  readonly nats_password?: string | undefined;

  /** The token to log in to NATS with. Must be a text that is not empty. A change needs a restart. */
  readonly nats_token?: string | undefined;

  /**
   * A file with the password of nats_user, in one line, instead of nats_password. Must be the path of a
   * file. A change needs a restart.
   */
  readonly nats_password_file?: string | undefined;

  /**
   * A file with the token to log in to NATS with, in one line, instead of nats_token. Must be the path of
   * a file. A change needs a restart.
   */
  readonly nats_token_file?: string | undefined;

  /**
   * A file with the NKey seed to log in to NATS with. Like the other files, it is read again at each
   * connect. Must be the path of a file. A change needs a restart.
   */
  readonly nats_nkey_file?: string | undefined;

  /**
   * A file with the credentials (a JWT and its seed) to log in to NATS with. Must be the path of a file.
   * A change needs a restart.
   */
  readonly nats_creds_file?: string | undefined;

  /**
   * A file with the CA certificates (PEM) that the NATS server's certificate is checked against, instead
   * of the system's. Must be the path of a file. A change needs a restart.
   */
  readonly nats_tls_ca_file?: string | undefined;

  /**
   * A file with the client certificate (PEM) to present to NATS. Must be the path of a file. A change
   * needs a restart.
   */
  readonly nats_tls_cert_file?: string | undefined;

  /**
   * A file with the private key (PEM) of nats_tls_cert_file. Must be the path of a file. A change needs a
   * restart.
   */
  readonly nats_tls_key_file?: string | undefined;

  /**
   * Connections to NATS for tenants, beside the one of nats_url: each has a name, a login (nats_user,
   * nats_creds_file …) and perhaps a nats_url of its own. A client uses the one that is named by the
   * account of its token, and sees nothing of the others. Must be a list of objects with name and a
   * login, like {"name": "acme", "nats_creds_file": "…"}. A change needs a restart.
   *
   * Default: `[]`
   */
  readonly accounts?: readonly ({
    readonly name: string;
    readonly nats_url?: string | readonly string[] | undefined;
    readonly nats_user?: string | undefined;
    readonly nats_password?: string | undefined;
    readonly nats_token?: string | undefined;
    readonly nats_password_file?: string | undefined;
    readonly nats_token_file?: string | undefined;
    readonly nats_nkey_file?: string | undefined;
    readonly nats_creds_file?: string | undefined;
    readonly nats_tls_ca_file?: string | undefined;
    readonly nats_tls_cert_file?: string | undefined;
    readonly nats_tls_key_file?: string | undefined;
  })[] | undefined;

  /**
   * The maximum number of accounts that are open at the same time, the one of nats_url not counted. Each
   * has a connection to NATS and its own ring_bytes and other bounds, so it bounds memory and file
   * descriptors. If all are open, one without clients is closed for a client of another account; if all
   * have clients, that client is answered 503, or 4503 if it sends its token in auth. Must be an integer
   * from 1 to 10000. A change needs a restart.
   *
   * Default: `100`
   */
  readonly max_open_accounts?: number | undefined;

  /**
   * The time that the connection of an account stays open after its last client and session are gone. A
   * client that connects within it finds recent messages in the ring, and doesn't wait for NATS; longer
   * times keep more connections and memory. It may end earlier if max_open_accounts are open. Must be a
   * duration from "1s" to "24h". A change needs a restart.
   *
   * Default: `"1m"`
   */
  readonly account_linger?: string | undefined;

  /**
   * The lowest level that is logged. Must be "debug", "info", "warn" or "error".
   *
   * Default: `"info"`
   */
  readonly log_level?: "debug" | "info" | "warn" | "error" | undefined;

  /**
   * Reads the file of the configuration every second, and reloads it when it has changed. By default only
   * SIGHUP and POST /admin/reload do. It has no effect without a file. Must be true or false.
   *
   * Default: `false`
   */
  readonly watch_config?: boolean | undefined;

  /**
   * The format of the log; auto is pretty on a terminal and json elsewhere. Must be "auto", "json" or
   * "pretty". A change needs a restart.
   *
   * Default: `"auto"`
   */
  readonly log_format?: "auto" | "json" | "pretty" | undefined;
}
