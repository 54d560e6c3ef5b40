import type { DurableQuery, DurableState, StartPoint } from "../../core/ports/source.ts";
import { expectUnpaused, filterOf, hasAll, nanoseconds, type StreamApi } from "./stream-api.ts";

export interface DurableBounds {
  /** What is not settled within so long comes again. */
  readonly ackTimeoutMs: number;
  /** More are not under way to one client. */
  readonly maxInflightMessages: number;
  readonly maxInflightBytes: number;
  /** A durable that nobody used for so long is no more. */
  readonly durableTtlMs: number;
  /** A stream has no more of them, of all gateways; those that begin in the same moment may be more. */
  readonly maxDurables: number;
}

/** A consumer that is there, and where it stands. */
interface Found {
  readonly tip: DurableState;
  readonly consumer: string;
  /** Whether it has only what is wanted. */
  readonly exact: boolean;
  /** What is behind this sequence, and wanted, is new. */
  readonly reached: number;
  /** Whether a sequence behind that which does not come is a message that is gone. */
  readonly isWhole: boolean;
}

interface Refused {
  readonly refused: "too_many_durables" | "unsupported";
  readonly reason: string;
}

/** Other consumers of the stream are not ours to hand out. */
const PREFIX = "spillway_";

/** Finds a durable's consumer, or makes it. */
export async function ensureDurable(
  api: StreamApi,
  { name, stream, subjects, start }: DurableQuery,
  bounds: DurableBounds,
  behind: { readonly origin: string | undefined; readonly sequence: number | undefined },
): Promise<Found | Refused> {
  const info = await api.stream(stream);
  const { origin, first, last } = info;
  const consumer = `${PREFIX}${name}`;
  const title = subjects.toSorted().join(" ");
  const terms = {
    ack_wait: nanoseconds(bounds.ackTimeoutMs),
    max_ack_pending: bounds.maxInflightMessages,
    inactive_threshold: nanoseconds(bounds.durableTtlMs),
    // Counted by us, who can tell the client; JetStream would leave the message out in silence.
    max_deliver: -1,
    headers_only: false,
  };
  const old = await api.consumer(stream, consumer);
  if (old !== undefined) {
    // What it filters depends on the server's version as well: what it is of is written down.
    if (old.config.description !== title) {
      return { refused: "unsupported", reason: `durable "${name}" is of other subjects` };
    }
    expectUnpaused(old);
    const differs = Object.entries(terms).some(
      ([term, value]) => (old.config[term] ?? false) !== value,
    );
    if (differs) await api.createDurable(stream, consumer, { ...old.config, ...terms });
    const tip = { origin, sequence: old.ackFloor, first, isNew: false };
    const reached = Math.max(old.delivered, first - 1);
    return { tip, consumer, exact: false, reached, isWhole: hasAll(info, old.config, subjects) };
  }
  const { maxDurables } = bounds;
  const names = await api.consumerNames(stream);
  if (names.filter((other) => other.startsWith(PREFIX)).length >= maxDurables) {
    return { refused: "too_many_durables", reason: `a stream may have ${maxDurables} durables` };
  }
  // One that was deleted while it was used goes on where it was.
  const again = behind.origin === origin && behind.sequence !== undefined;
  const begin: StartPoint = again ? { sequence: behind.sequence + 1 } : start;
  const filter = filterOf(subjects, api);
  const needed = begin === "last_per_subject" && !("filter_subjects" in filter.config);
  const { ackFloor, delivered, config, filters } = await api.createDurable(stream, consumer, {
    durable_name: consumer,
    description: title,
    ack_policy: "explicit",
    replay_policy: "instant",
    ...(needed && { filter_subject: ">" }),
    ...filter.config,
    ...policyOf(begin),
    ...terms,
  });
  const tip = { origin, sequence: ackFloor, first, isNew: true };
  // Of what is there, it is sent the latest alone.
  const reached = begin === "last_per_subject" ? Math.max(last, delivered) : delivered;
  const isWhole = hasAll(info, config, subjects);
  return { tip, consumer, exact: filter.exact && filters, reached, isWhole };
}

function policyOf(start: StartPoint): Record<string, unknown> {
  if (typeof start === "string") return { deliver_policy: start };
  if ("sequence" in start) {
    return { deliver_policy: "by_start_sequence", opt_start_seq: start.sequence };
  }
  const time = new Date(start.timeMs).toISOString();
  return { deliver_policy: "by_start_time", opt_start_time: time };
}
