import { literalSubject } from "./address.ts";
import { key } from "./key-facts.ts";
import { choice, duration, integer, size, timeout } from "./value-schemas.ts";

/** The keys of the delivery guarantee. All but the first have an effect in at-least-once only. */
export const deliveryKeys = {
  delivery_mode: key(
    "advanced",
    "The delivery guarantee: a message is sent once (at-most-once), or again until the client acknowledges it (at-least-once).",
    choice(["at-most-once", "at-least-once"]).prefault("at-most-once"),
  ),
  ack_timeout: key(
    "advanced",
    "The time in which a client must acknowledge a message; after that it is sent again. This key and the next ones, up to dead_letter_subject, have no effect in at-most-once.",
    timeout().prefault("5s"),
  ),
  max_deliver: key(
    "advanced",
    "The maximum number of times that a message is sent to a client that does not acknowledge it; then the gateway gives up.",
    integer(1, 100).prefault(5),
  ),
  redelivery_backoff: key(
    "advanced",
    "The wait before a message is sent again. It doubles with each attempt up to 30s (or up to this value, if it is longer) and is shortened at random by up to half; 0s is at once.",
    duration("0s", "1h").prefault("1s"),
  ),
  max_inflight_messages: key(
    "advanced",
    "The maximum number of unacknowledged messages of one client; more wait in its queue.",
    integer(1, 1_000_000).prefault(256),
  ),
  max_inflight_bytes: key(
    "advanced",
    "The maximum size of the unacknowledged messages of one client; more wait in its queue.",
    size(1, 1024 ** 3).prefault(4 * 1024 ** 2),
  ),
  session_ttl: key(
    "advanced",
    "The time that a session is kept after its connection is lost, with its unacknowledged messages and those that arrive meanwhile; 0s keeps none.",
    duration("0s", "24h").prefault("1m"),
  ),
  max_sessions: key(
    "advanced",
    "The maximum number of sessions without a connection; beyond it, the user that has the most, or the address for clients without a token, loses its oldest one.",
    integer(0, 1_000_000).prefault(10_000),
  ),
  max_session_bytes: key(
    "advanced",
    "The maximum size of all sessions without a connection; beyond it, the user whose sessions are the largest, or the address for clients without a token, loses its oldest ones.",
    size(0, 2 ** 40).prefault(64 * 1024 ** 2),
  ),
  max_durables: key(
    "advanced",
    "The maximum number of durables on one stream, of all gateways together.",
    integer(0, 100_000).prefault(1000),
  ),
  max_durables_per_sub: key(
    "advanced",
    "The maximum number of durables on one stream of one user (the sub of a token). Clients without a token share theirs; for them, only max_durables counts.",
    integer(1, 100_000).prefault(100),
  ),
  durable_ttl: key(
    "advanced",
    "The time that JetStream keeps a durable that no client uses, with its acknowledgements.",
    duration("1s", "2160h").prefault("24h"),
  ),
  dead_letter_subject: key(
    "advanced",
    "The subject to which messages are published after max_deliver attempts, with headers that give the reason. Must not be one of subjects. By default none.",
    literalSubject().optional(),
  ),
};
