import { literalSubject } from "./address.ts";
import { key } from "./key-facts.ts";
import { choice, duration, integer, size, timeout } from "./value.ts";

/** The keys that say what is promised of messages; all but the first count in at-least-once alone. */
export const deliveryKeys = {
  delivery_mode: key(
    "advanced",
    "Whether a message is sent once, or again until a client acknowledges it.",
    choice(["at-most-once", "at-least-once"]).prefault("at-most-once"),
  ),
  ack_timeout: key(
    "advanced",
    "How long a client may take to acknowledge a message before it is sent again. Like the keys below, up to dead_letter_subject, without effect in at-most-once.",
    timeout().prefault("5s"),
  ),
  max_deliver: key(
    "advanced",
    "How often a message is sent to a client that does not acknowledge it; then it is given up.",
    integer(1, 100).prefault(5),
  ),
  redelivery_backoff: key(
    "advanced",
    "How long to wait before a message is sent again, twice as long each time, up to 30s (or to this, where it is longer), and up to half of that less; 0s is at once.",
    duration("0s", "1h").prefault("1s"),
  ),
  max_inflight_messages: key(
    "advanced",
    "How many messages a client may have and not have acknowledged; more wait in its queue.",
    integer(1, 1_000_000).prefault(256),
  ),
  max_inflight_bytes: key(
    "advanced",
    "How many bytes of messages a client may have and not have acknowledged; more wait in its queue.",
    size(1, 1024 ** 3).prefault(4 * 1024 ** 2),
  ),
  session_ttl: key(
    "advanced",
    "How long a session outlives its connection, with all that was not acknowledged and all that comes meanwhile; 0s is not at all.",
    duration("0s", "24h").prefault("1m"),
  ),
  max_sessions: key(
    "advanced",
    "How many sessions are kept without a connection; then the one that has been longest without is given up.",
    integer(0, 1_000_000).prefault(10_000),
  ),
  max_session_bytes: key(
    "advanced",
    "How many bytes are kept for all sessions without a connection together; then the one that has been longest without is given up.",
    size(0, 2 ** 40).prefault(64 * 1024 ** 2),
  ),
  max_durables: key(
    "advanced",
    "How many durables a stream may have, of all gateways together.",
    integer(0, 100_000).prefault(1000),
  ),
  durable_ttl: key(
    "advanced",
    "How long a durable is kept that no client uses; then JetStream forgets it, with what it had acknowledged.",
    duration("1s", "2160h").prefault("24h"),
  ),
  dead_letter_subject: key(
    "advanced",
    "Where messages are published that were given up after max_deliver, with headers that say why; not one of subjects. Without it, nowhere.",
    literalSubject().optional(),
  ),
};
