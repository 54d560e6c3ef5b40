import { key } from "./key-facts.ts";
import { duration, integer, text } from "./value-schemas.ts";

/** The keys of presence: who is on which subjects. */
export const presenceKeys = {
  presence_bucket: key(
    "advanced",
    "The key-value bucket in NATS in which gateways tell each other who is on which subjects. By default presence is off.",
    text(/^[A-Za-z0-9_-]{1,64}$/, "a bucket's name: 1 to 64 of A-Z a-z 0-9 _ -").optional(),
  ),
  presence_ttl: key(
    "advanced",
    "The time after which the clients of a gateway that is silent count as gone. It must be the same on all gateways; the bucket's TTL must be at least ten times as long.",
    duration("3s", "1h").prefault("30s"),
  ),
  presence_grace: key(
    "advanced",
    "The time in which a client with a name that has disconnected may reconnect and never counts as gone.",
    duration("0s", "1h").prefault("10s"),
  ),
  presence_interval: key(
    "advanced",
    "The minimum time between two presence frames about one subject, and between two changes of a client that others are told.",
    duration("10ms", "1m").prefault("1s"),
  ),
  max_presence_watches: key(
    "advanced",
    "The maximum number of subjects of which one client watches the presence.",
    integer(1, 10_000).prefault(16),
  ),
  max_presence_entries: key(
    "advanced",
    "The maximum number of connections of all gateways together that count for presence; further ones are not counted.",
    integer(1, 10_000_000).prefault(100_000),
  ),
};
