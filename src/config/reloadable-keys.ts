import type { Key } from "./keys.ts";

/**
 * The keys that a reload can change. All others need a restart: they decide which sockets are open, which connections to
 * NATS there are, or what the gateway has agreed on with its clients or with JetStream.
 */
const RELOADABLE: readonly Key[] = [
  "subjects",
  // Delivery
  "redelivery_backoff",
  "session_ttl",
  "max_sessions",
  "max_session_bytes",
  // Limits
  "max_clients",
  "max_clients_per_address",
  "max_clients_per_sub",
  "max_handshakes_per_second",
  "max_publishes_per_second",
  "max_request_timeout",
  "max_frames_per_second",
  "max_malformed_frames",
  "max_subscriptions",
  "max_patterns",
  "max_pattern_bytes",
  "max_upstream_patterns",
  "max_total_pattern_bytes",
  "upstream_linger",
  "max_lingering",
  "max_lingering_bytes",
  // Slow clients
  "write_timeout",
  "ping_interval",
  "high_water_bytes",
  "low_water_bytes",
  "max_lag",
  "mark_bytes",
  "max_queue_bytes",
  "max_queue_messages",
  "max_queue_age",
  "max_total_queue_bytes",
  "policy",
  "allowed_policies",
  "start_from",
  // The end of connections
  "drain_delay",
  "drain_window",
  "stop_timeout",
  "max_connection_age",
  // Access
  "tokens_file",
  "passwords_file",
  "issuers",
  "clock_tolerance",
  "authorizer_timeout",
  "token_cookie",
  "allow_query_token",
  "anonymous",
  "auth_timeout",
  "publish_subjects",
  "request_subjects",
  "publisher_header",
  "allowed_origins",
  "allowed_hosts",
  "trusted_proxies",
  "forwarded_header",
  // Certificates and operators
  "tls_cert_file",
  "tls_key_file",
  "tls_min_version",
  "admin_tokens_file",
  "log_level",
  "watch_config",
];

export const RELOADABLE_KEYS: ReadonlySet<Key> = new Set(RELOADABLE);
