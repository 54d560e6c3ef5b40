import type { DurableQuery, DurableState, StartPoint } from "../../core/ports/source.ts";
import type { CensusBounds, DurableCensus } from "./durable-census.ts";
import { CONSUMER_PREFIX } from "./durable-key.ts";
import { expectUnpaused, filterOf, hasAll, nanoseconds, type StreamApi } from "./stream-api.ts";

export interface DurableBounds extends CensusBounds {
  /** After this long without being settled, a message is delivered again. */
  readonly ackTimeoutMs: number;
  /** The most messages, and bytes, that are under way to one client. */
  readonly maxInflightMessages: number;
  readonly maxInflightBytes: number;
  /** JetStream deletes a durable that was not used for this long. */
  readonly durableTtlMs: number;
}

/** The durable's consumer. */
interface Found {
  readonly state: DurableState;
  readonly consumer: string;
  /** Whether it sends only wanted messages. */
  readonly exact: boolean;
  /** Wanted messages after this sequence were never delivered. */
  readonly reached: number;
  /** Whether each sequence after it that does not come is a message that the stream has removed. */
  readonly isWhole: boolean;
}

interface Refused {
  readonly refused: "too_many_durables" | "unsupported";
  readonly reason: string;
}

/**
 * Finds the consumer of a durable, or makes it.
 *
 * @param key see `durableKey`.
 */
export async function ensureDurable(
  api: StreamApi,
  key: string,
  { name, stream, subjects, start }: DurableQuery,
  bounds: DurableBounds,
  census: DurableCensus,
  behind: { readonly origin: string | undefined; readonly sequence: number | undefined },
): Promise<Found | Refused> {
  const info = await api.stream(stream);
  const { origin, first, last } = info;
  const consumer = `${CONSUMER_PREFIX}${key}`;
  const description = subjects.toSorted().join(" ");
  const terms = {
    ack_wait: nanoseconds(bounds.ackTimeoutMs),
    max_ack_pending: bounds.maxInflightMessages,
    inactive_threshold: nanoseconds(bounds.durableTtlMs),
    // We count deliveries, and tell the client. JetStream would leave the message out silently.
    max_deliver: -1,
    headers_only: false,
  };
  const old = await api.consumer(stream, consumer);
  if (old !== undefined) {
    // The filter depends on the server's version, too, so the subjects are in the description.
    if (old.config.description !== description) {
      return {
        refused: "unsupported",
        reason: `durable "${name}" was created with other subjects`,
      };
    }
    expectUnpaused(old);
    const differs = Object.entries(terms).some(
      ([term, value]) => (old.config[term] ?? false) !== value,
    );
    if (differs) await api.createDurable(stream, consumer, { ...old.config, ...terms });
    const state = { origin, sequence: old.ackFloor, first, isNew: false };
    const reached = Math.max(old.delivered, first - 1);
    return { state, consumer, exact: false, reached, isWhole: hasAll(info, old.config, subjects) };
  }
  // A durable that was deleted while it was used continues at its place.
  const again = behind.origin === origin && behind.sequence !== undefined;
  const begin: StartPoint = again ? { sequence: behind.sequence + 1 } : start;
  const filter = filterOf(subjects, api);
  const needed = begin === "last_per_subject" && !("filter_subjects" in filter.config);
  const made = await census.make(api, stream, consumer, () =>
    api.createDurable(stream, consumer, {
      durable_name: consumer,
      description,
      ack_policy: "explicit",
      replay_policy: "instant",
      ...(needed && { filter_subject: ">" }),
      ...filter.config,
      ...policyOf(begin),
      ...terms,
    }),
  );
  if ("full" in made) return { refused: "too_many_durables", reason: made.full };
  const { ackFloor, delivered, config, filters } = made;
  const state = { origin, sequence: ackFloor, first, isNew: true };
  // Of the messages that exist, it gets only the latest of each subject.
  const reached = begin === "last_per_subject" ? Math.max(last, delivered) : delivered;
  const isWhole = hasAll(info, config, subjects);
  return { state, consumer, exact: filter.exact && filters, reached, isWhole };
}

function policyOf(start: StartPoint): Record<string, unknown> {
  if (typeof start === "string") return { deliver_policy: start };
  if ("sequence" in start) {
    return { deliver_policy: "by_start_sequence", opt_start_seq: start.sequence };
  }
  const time = new Date(start.timeMs).toISOString();
  return { deliver_policy: "by_start_time", opt_start_time: time };
}
