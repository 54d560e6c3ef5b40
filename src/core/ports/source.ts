/**
 * Where a subscription begins in streams that keep their messages.
 *
 * - `"all"`: with the first one that is kept.
 * - `"last"`, `"last_per_subject"`: with the latest of those that it wants, or of each of their subjects.
 * - `sequence`, `timeMs` (Unix milliseconds): with that one, or the first one behind it.
 */
export type StartPoint =
  | "new"
  | "all"
  | "last"
  | "last_per_subject"
  | { readonly sequence: number }
  | { readonly timeMs: number };

/**
 * One message as a source hands it over. The bytes are the source's own: they may be read during
 * the call and must not be kept or changed.
 */
export interface SourceMessage {
  /** Without wildcards. */
  readonly subject: string;
  /** The payload, byte for byte; empty when there is none. */
  readonly data: Uint8Array;
  /** Header names as they were sent, each with its values; `undefined` when there are none. */
  readonly headers?: ReadonlyMap<string, readonly string[]> | undefined;
  /** Where it stands in its stream; `undefined` when none keeps it. */
  readonly position?: StreamPosition | undefined;
  /** When it was stored, in Unix milliseconds; `undefined`: it comes from its publisher now. */
  readonly timestampMs?: number | undefined;
  /** What became of the key that its subject stands for, where it says no value but this. */
  readonly operation?: "delete" | "purge" | undefined;
}

/** The place of a message in a stream that keeps its messages. */
export interface StreamPosition {
  /** The stream and its creation: one that was made anew has another one. No colon at its end. */
  readonly origin: string;
  /** From 1; grows with each message of the stream, and not by 1 with each of those that come. */
  readonly sequence: number;
}

/** A stream that messages come from. */
export interface StreamInput {
  readonly name: string;
  /** What of it is carried: valid patterns. */
  readonly subjects: readonly string[];
}

/** How a stream stands when the source begins to follow it, for the first time or again. */
export interface StreamState {
  readonly name: string;
  /** See {@linkcode StreamPosition}; `undefined`: there is no such stream now. */
  readonly origin: string | undefined;
  /** What it captures, where that is known: nothing else comes of it. */
  readonly captures?: readonly string[] | undefined;
  /** Each message behind this one that is carried comes. */
  readonly sequence: number;
  /** Whether what stood between the last one that came and this one is gone. */
  readonly lost: boolean;
  /** Whether some may be gone of what is behind it now, as others came since it was followed last. */
  readonly sparse?: boolean;
  /** `false`: it is there, and whether its messages come is not known yet. */
  readonly isFollowed?: boolean;
}

/** Which messages of a stream are asked for. */
export interface StreamQuery {
  readonly origin: string;
  /** What of the stream; valid patterns. */
  readonly subjects: readonly string[];
}

/** Some messages that a stream keeps, in its order. */
export interface StreamPage {
  /** All of what was asked for up to the last of them; each with its position. */
  readonly messages: readonly SourceMessage[];
  /** Whether there were none behind them. */
  readonly end: boolean;
  /** The sequence of the stream's first message, wanted or not, after they were read. */
  readonly first: number;
  /** Whether others of the stream were deleted between them, which nobody can say more of. */
  readonly sparse: boolean;
  /** That of its last one before they were read; 0 before there was one. With `end`, all up to it are here. */
  readonly last: number;
  /** See {@linkcode StreamExtent}, before they were read; `undefined`: not known. */
  readonly removed?: number | undefined;
}

/** The extent of what a stream keeps at a moment. */
export interface StreamExtent {
  /** The sequence of its first message, or of the next one when it has none. */
  readonly first: number;
  /** How many sequences up to its last one have no message any more: it never gets smaller. */
  readonly removed: number;
}

/** What the streams of a source have kept. Each of its promises fails when the source is cut off. */
export interface StreamHistory {
  /**
   * Whether the source itself leaves out all that these subjects don't match. Where it does not, or where
   * that is dear, everybody reads the same pages, of all that is carried.
   */
  selects(subjects: readonly string[]): boolean;
  /** Looks up what a stream keeps now; `undefined` when it is not there any more. */
  extent(origin: string): Promise<StreamExtent | undefined>;
  /** A page of messages behind a sequence; `undefined` when the stream is not there any more. */
  read(query: StreamQuery, after: number): Promise<StreamPage | undefined>;
  /**
   * The latest message of all, or of each subject, page by page; what came while they were read may
   * follow. The last page is the one with `end`, and has all up to its `last`.
   */
  latest(
    query: StreamQuery,
    of: "last" | "last_per_subject",
  ): AsyncGenerator<StreamPage, void, void>;
  /**
   * The latest message of each subject in one answer, whatever the subjects are; `undefined` where the source
   * can't do that, and for too many subjects.
   */
  snapshot(query: StreamQuery): Promise<StreamPage | undefined>;
  /** The sequence before the first message that was stored at that time or later. */
  before(origin: string, timeMs: number): Promise<number | undefined>;
}

/** Which messages a durable gets, and where it begins when there is none of its name yet. */
export interface DurableQuery {
  /** Its name among the durables of the stream. */
  readonly name: string;
  readonly stream: string;
  /** What of the stream; valid patterns. */
  readonly subjects: readonly string[];
  readonly start: StartPoint;
}

/** A message that waits at its durable until it is settled. */
export interface DurableMessage extends SourceMessage {
  readonly position: StreamPosition;
  /** How often it was handed over, this time included, by whichever gateway. */
  readonly deliveries: number;
  /** What it is settled by; each delivery has its own, and all stay good. */
  readonly receipt: string;
}

/**
 * What becomes of a message of a durable.
 *
 * - `"ack"`: it is done with.
 * - `"nack"`: it comes again.
 * - `"working"`: it is being done, and gets its whole time anew.
 * - `"term"`: it is given up, and does not come again.
 */
export type Settlement = "ack" | "nack" | "working" | "term";

/** How a durable stands when it begins to deliver, for the first time or again. */
export interface DurableState {
  readonly origin: string;
  /** Each message behind this one that it wants and that is not settled comes. */
  readonly sequence: number;
  /** The oldest that the stream keeps. */
  readonly first: number;
  /** Whether there was no such durable before. */
  readonly isNew: boolean;
}

export type DurableRefusal = "too_many_durables" | "unsupported" | "unavailable";

/** Who uses a durable. All methods return at once and never throw. */
export interface DurableListener {
  /** How many bytes of messages may come now; below 1: none. */
  readonly roomBytes: number;
  /** The sequence up to which all that came is settled; `undefined` when nothing came. */
  readonly settledUpTo: number | undefined;
  begins(state: DurableState): void;
  /** The stream let go of messages before they came: of those from one sequence to another, all that it wanted. */
  missed(first: number, last: number): void;
  message(message: DurableMessage): void;
  /** Somebody else uses the name from now on, here or at another gateway. */
  taken(): void;
  /**
   * It can't be had, or no longer, and is not tried again: there are too many, it is of other subjects, or
   * the source's server refuses it.
   */
  refused(code: DurableRefusal, reason: string): void;
}

/** A durable that is used. */
export interface DurableUse {
  /** Says what became of a message, now or as soon as the source is connected; a nack after so long. */
  settle(receipt: string, as: Settlement, delayMs?: number): void;
  /** There is room again. */
  resume(): void;
  /** Lets it go; what is settled until then arrives. What is not comes to whoever uses it next. */
  release(): void;
}

/** Consumers that the source's server keeps by name, with what each has settled. */
export interface Durables {
  /** How many are used. */
  readonly used: number;
  use(query: DurableQuery, listener: DurableListener): DurableUse;
}

/**
 * How a source stands.
 *
 * - `"idle"`: not started, or stopped.
 * - `"connecting"`: cut off from its messages, and trying; `reason` says why.
 * - `"connected"`: messages that are published now arrive.
 */
export type SourceStatus =
  | { readonly state: "idle" }
  | { readonly state: "connecting"; readonly reason: string }
  | { readonly state: "connected"; readonly to: string };

/** What a source calls. All methods return at once and never throw. */
export interface SourceListener {
  message(message: SourceMessage): void;
  status(status: SourceStatus): void;
  /**
   * What is published to the pattern from now on arrives. Told once for each `subscribe`, and again
   * after each time that the source was cut off.
   */
  arrives(pattern: string): void;
  /**
   * The source may not subscribe to the pattern, and says why. It goes on trying, and tells with
   * `arrives` when it may.
   *
   * @param isFinal whether it does not try again, as the pattern itself is not possible.
   */
  refused(pattern: string, reason: string, isFinal?: boolean): void;
  /** From now on the source follows a stream, or there is none. */
  stream(state: StreamState): void;
  /**
   * The source may not follow a stream, and says why. It goes on trying, and tells with `stream` when
   * it may.
   */
  streamRefused(name: string, reason: string): void;
  /** Something went wrong that is nobody's answer; the source goes on. */
  fault(kind: SourceFault, detail: string): void;
}

/**
 * The faults that a source counts.
 *
 * - `"unreadable_headers"`: the headers of a message break the rules, and count as none.
 * - `"source_fault"`: an error of ours, where one would have stopped the source.
 * - `"stream_refused"`: what a stream keeps can't be had, until an operator changes something.
 * - `"publish_refused"`: a message that we published was not taken.
 */
export const SOURCE_FAULTS = [
  "unreadable_headers",
  "source_fault",
  "stream_refused",
  "publish_refused",
] as const;

export type SourceFault = (typeof SOURCE_FAULTS)[number];

/** How far a stream has come, for metrics. */
export interface StreamStatus {
  readonly name: string;
  /** Whether its messages come. */
  readonly isFollowed: boolean;
  /** The last message that came of it; 0 before the first. */
  readonly sequence: number;
  /** How many more the stream had when that came, of those that may be carried. */
  readonly lag: number;
}

/** Where messages come from. */
export interface MessageSource {
  /** What people call it: `"NATS"`. */
  readonly name: string;
  readonly status: SourceStatus;
  /** What keeps it from delivering something although it is connected, in words for people. */
  readonly problems?: readonly string[];
  /** One for each stream that is configured. */
  readonly streams?: readonly StreamStatus[];
  /** What its streams have kept; `undefined` for a source without streams. */
  readonly history?: StreamHistory | undefined;
  /** `undefined` for a source without streams. */
  readonly durables?: Durables | undefined;
  /**
   * Starts delivering to the listener and returns at once: a source that cannot be reached yet
   * is `"connecting"`, and goes on trying until it is stopped.
   */
  start(listener: SourceListener): void;
  /**
   * Delivers what matches the pattern, too; patterns may overlap, and a message still comes once.
   * Remembered while the source is cut off or not started. Each pattern is subscribed to once.
   */
  subscribe(pattern: string): void;
  /** No longer delivers what only this pattern matches. */
  unsubscribe(pattern: string): void;
  /**
   * Unsubscribes, and delivers what is already under way; what is published or settled still arrives.
   * Ends by itself within `timeoutMs`; then only `stop` is left.
   */
  drain(timeoutMs: number): Promise<void>;
  /**
   * Does the same, unless that is done, and lets go of every timer and socket. Ends by itself within `timeoutMs`. May be called twice, and before `start`.
   */
  stop(timeoutMs: number): Promise<void>;
}

/** A source that may be fed: by clients of the gateway, where it is in memory, or with what was given up. */
export interface Publisher {
  publish(message: SourceMessage): void;
}
