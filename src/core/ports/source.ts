/**
 * The port to the source of messages. NATS and the embedded source implement it; so may a program that
 * uses Spillway as a library.
 *
 * The words: a **subject** names what a message is about and has tokens separated by `.`; a **pattern** is a
 * subject that may contain the wildcards `*` (one token) and `>` (one or more, at the end). A **stream** keeps
 * its messages and numbers them. A **durable** is a reader of a stream whose progress the source keeps under a
 * name.
 *
 * A minimal source implements {@linkcode MessageSource} without `history` and `durables`: live messages only.
 */

/**
 * The place where a subscription to a stream begins.
 *
 * - `"new"`: with the next message that is stored.
 * - `"all"`: with the first message that the stream keeps.
 * - `"last"`: with the latest message that the subscription wants.
 * - `"last_per_subject"`: with the latest message of each subject that it wants.
 * - `sequence`: with the message of this number, or the first one after it.
 * - `timeMs`: with the first message that was stored at this time (Unix milliseconds) or later.
 */
export type StartPoint =
  | "new"
  | "all"
  | "last"
  | "last_per_subject"
  | { readonly sequence: number }
  | { readonly timeMs: number };

/**
 * One message of a source. The source owns the bytes: they are read during the call, and neither kept nor
 * changed afterwards.
 */
export interface SourceMessage {
  /** Without wildcards. */
  readonly subject: string;
  /** The payload, byte for byte; empty if there is none. */
  readonly data: Uint8Array;
  /** Header names as they were sent, each with its values in order. Default: none. */
  readonly headers?: ReadonlyMap<string, readonly string[]> | undefined;
  /**
   * Whether the message ends its subject. Default: whether `headers` has `Spillway-End`. For a source that knows it
   * without reading all headers.
   */
  readonly ends?: boolean | undefined;
  /** The place in the stream that keeps the message. Default: no stream keeps it. */
  readonly position?: StreamPosition | undefined;
  /** When it was stored, in Unix milliseconds. Default: now, as it comes straight from its publisher. */
  readonly timestampMs?: number | undefined;
  /**
   * For a subject that stands for a key: the key's value was deleted, or deleted with its history. Default: the
   * payload is the value.
   */
  readonly operation?: "delete" | "purge" | undefined;
}

/** The place of a message in its stream. */
export interface StreamPosition {
  /**
   * Identifies the stream and its creation, as `<name>:<creation>`. A stream that was deleted and made anew has
   * another origin. `<creation>` contains no colon and is not empty.
   */
  readonly origin: string;
  /**
   * The number of the message, from 1. It grows with each message of the stream; numbers may be missing, as
   * not every message is wanted or kept.
   */
  readonly sequence: number;
}

/** A stream whose messages the source delivers. */
export interface StreamInput {
  readonly name: string;
  /** The valid patterns of the messages that are delivered; others of the stream are left out. */
  readonly subjects: readonly string[];
}

/** The state of a stream when the source begins to follow it, and whenever that changes. */
export interface StreamState {
  readonly name: string;
  /** See {@linkcode StreamPosition}; `undefined`: the stream does not exist now. */
  readonly origin: string | undefined;
  /** The patterns that all of its messages fit. Default: not known. */
  readonly captures?: readonly string[] | undefined;
  /** Each wanted message after this sequence will be delivered. */
  readonly sequence: number;
  /** Whether the messages between the last one that was delivered and this sequence are lost. */
  readonly lost: boolean;
  /** Messages up to this one may have been removed before they were delivered, and are missing. Default: none. */
  readonly sparseUpTo?: number | undefined;
  /** `false`: the stream exists, and it is not known yet whether its messages arrive. Default: `true`. */
  readonly isFollowed?: boolean;
}

/** Selects messages of a stream. */
export interface StreamQuery {
  readonly origin: string;
  /** Valid patterns. */
  readonly subjects: readonly string[];
}

/** Some of the messages that a stream keeps, in its order. */
export interface StreamPage {
  /** All that the query selects, up to the last one of the page; each has a position. */
  readonly messages: readonly SourceMessage[];
  /** Whether no selected message follows, up to `last`. */
  readonly end: boolean;
  /** The sequence of the first message of the stream, selected or not, after the page was read. */
  readonly first: number;
  /** The sequence of the last message of the stream before the page was read; 0 if there never was one. */
  readonly last: number;
  /** Whether messages between them were removed, selected or not. */
  readonly sparse: boolean;
  /** See {@linkcode StreamExtent}, before the page was read. Default: not known. */
  readonly removed?: number | undefined;
}

/** The range of messages that a stream keeps at a moment. */
export interface StreamExtent {
  /** The sequence of its first message, or of the next one if it has none. */
  readonly first: number;
  /** How many sequences up to its last message have no message any more. It never shrinks. */
  readonly removed: number;
}

/**
 * Reads what streams keep. Its promises and iterators may reject: with a SpillwayError `STREAM_REFUSED` if asking
 * again does not help, with any other error if it may, as when the connection is lost.
 */
export interface StreamHistory {
  /**
   * Whether the source itself leaves out messages that these subjects don't match, at little cost. If not, all
   * clients share pages with all messages that the gateway carries of the stream.
   */
  selects(subjects: readonly string[]): boolean;
  /** Returns what a stream keeps now; `undefined` if a stream of this origin no longer exists. */
  extent(origin: string): Promise<StreamExtent | undefined>;
  /** Reads a page of messages after a sequence; `undefined` if the stream no longer exists. */
  read(query: StreamQuery, after: number): Promise<StreamPage | undefined>;
  /**
   * Reads the latest selected message, or the latest of each subject, page by page. Messages that are stored
   * meanwhile may be left out. The last page has `end`, and includes everything up to its `last`. No page at all
   * means that the stream no longer exists. The caller may return early.
   */
  latest(
    query: StreamQuery,
    of: "last" | "last_per_subject",
  ): AsyncGenerator<StreamPage, void, void>;
  /**
   * Reads the latest message of each subject in one answer, whatever the subjects are. `undefined` if the
   * source can't do that, or not for so many subjects: `latest` is used instead.
   */
  snapshot(query: StreamQuery): Promise<StreamPage | undefined>;
  /**
   * Returns the sequence before the first message that was stored at this time (Unix milliseconds) or later;
   * `undefined` if the stream no longer exists.
   */
  before(origin: string, timeMs: number): Promise<number | undefined>;
}

/** Names a durable, and says how to create it if it doesn't exist. */
export interface DurableQuery {
  /** Its name among the durables that its owner has of the stream. */
  readonly name: string;
  /**
   * Its owner, as a key: the same name of another owner is another durable. `""` for anonymous clients, which share
   * their durables. It may be a name or an address of a person.
   */
  readonly owner: string;
  readonly stream: string;
  /** The valid patterns of the messages that it gets. */
  readonly subjects: readonly string[];
  /** The start of a new durable; one that exists continues where it is. */
  readonly start: StartPoint;
}

/** A message that its durable keeps until it is settled. */
export interface DurableMessage extends SourceMessage {
  readonly position: StreamPosition;
  /** How often it was delivered by any gateway, this time included: from 1. */
  readonly deliveries: number;
  /** Identifies this delivery in `settle`. Each delivery has its own, and all stay valid. */
  readonly receipt: string;
}

/**
 * The outcome of a message of a durable.
 *
 * - `"ack"`: it is done, and isn't delivered again.
 * - `"nack"`: it is delivered again.
 * - `"working"`: it is being worked on; its time to be settled starts again.
 * - `"term"`: it is given up, and isn't delivered again.
 */
export type Settlement = "ack" | "nack" | "working" | "term";

/** The state of a durable when it begins to deliver, for the first time or after a lost connection. */
export interface DurableState {
  readonly origin: string;
  /** Each wanted message after this sequence that is not settled will be delivered. */
  readonly sequence: number;
  /** The sequence of the oldest message that the stream keeps. */
  readonly first: number;
  /** Whether the durable was created just now. */
  readonly isNew: boolean;
}

/**
 * Why a durable can't be used.
 *
 * - `"too_many_durables"`: the stream, or the owner, has as many as it may.
 * - `"unsupported"`: a durable of this name has other subjects.
 * - `"unavailable"`: the server refuses it, or does not answer for too long.
 */
export type DurableRefusal = "too_many_durables" | "unsupported" | "unavailable";

/** The user of a durable. The source calls its methods, which return at once and never throw. */
export interface DurableListener {
  /** How many bytes of messages may be delivered now; below 1: none. The source reads it before it asks for more. */
  readonly roomBytes: number;
  /** The sequence up to which all delivered messages are settled; `undefined` if none was delivered. */
  readonly settledUpTo: number | undefined;
  begins(state: DurableState): void;
  /** The stream removed wanted messages before they were delivered: all from one sequence to another. */
  missed(first: number, last: number): void;
  message(message: DurableMessage): void;
  /** Another client uses the durable from now on, at this gateway or at another one. Nothing more is delivered. */
  taken(): void;
  /** The durable can't be used, or no longer, and the source does not try again. */
  refused(code: DurableRefusal, reason: string): void;
}

/** A durable in use. Its methods return at once and never throw. */
export interface DurableUse {
  /**
   * Settles a delivery, now or as soon as the source is connected.
   *
   * @param delayMs for a nack: the minimum time until the message is delivered again. Default: 0.
   */
  settle(receipt: string, as: Settlement, delayMs?: number): void;
  /** Asks for more messages: `roomBytes` has grown. */
  resume(): void;
  /** Ends the use: nothing more is delivered. Settlements made until then take effect; the next user gets the other messages. */
  release(): void;
}

/** The durables of a source's streams. */
export interface Durables {
  /** How many are in use. */
  readonly used: number;
  /**
   * Uses a durable, and creates it if it doesn't exist. It is taken from its present user, and stays in use over
   * lost connections until it is released, taken or refused. The listener is not called before this returns.
   */
  use(query: DurableQuery, listener: DurableListener): DurableUse;
}

/**
 * The status of a source.
 *
 * - `"idle"`: not started, or stopped.
 * - `"connecting"`: it can't deliver messages and tries to connect; `reason` says why, in words for people.
 * - `"connected"`: it delivers messages that are published now; `to` names the server.
 */
export type SourceStatus =
  | { readonly state: "idle" }
  | { readonly state: "connecting"; readonly reason: string }
  | { readonly state: "connected"; readonly to: string };

/** The gateway, as its source calls it. All methods return at once and never throw. */
export interface SourceListener {
  /**
   * Delivers a message, once however many patterns match it. Messages of one stream, and those of one
   * publisher, come in their order.
   */
  message(message: SourceMessage): void;
  /** The status has changed. After any other state than `"connected"`, messages in between count as missed. */
  status(status: SourceStatus): void;
  /**
   * Confirms a pattern: messages that are published to it from now on arrive. To be called once for each
   * `subscribe`, perhaps before that returns, and again after each lost connection.
   */
  arrives(pattern: string): void;
  /**
   * The source may not subscribe to a pattern, or no longer. It tries again, and calls `arrives` when it
   * succeeds.
   *
   * @param reason in words for people.
   * @param isFinal whether it does not try again, as the pattern itself is impossible. Default: `false`.
   */
  refused(pattern: string, reason: string, isFinal?: boolean): void;
  /** The state of a configured stream has changed: see {@linkcode StreamState}. */
  stream(state: StreamState): void;
  /** The source may not follow a stream. It tries again, and calls `stream` when it succeeds. */
  streamRefused(name: string, reason: string): void;
  /** Counts and logs a fault that belongs to no request; the source continues. */
  fault(kind: SourceFault, detail: string): void;
}

/**
 * The faults that a source reports.
 *
 * - `"unreadable_headers"`: a message has malformed headers, and is delivered without headers.
 * - `"source_fault"`: an internal error was caught that would have stopped the gateway or its source.
 * - `"stream_refused"`: a stream can't be read or a durable can't be used until an operator changes something.
 * - `"publish_refused"`: the server did not take a message of the gateway.
 */
export const SOURCE_FAULTS = [
  "unreadable_headers",
  "source_fault",
  "stream_refused",
  "publish_refused",
] as const;

export type SourceFault = (typeof SOURCE_FAULTS)[number];

/** How far a configured stream has come, for metrics. */
export interface StreamStatus {
  readonly name: string;
  /** Whether its messages are being delivered. */
  readonly isFollowed: boolean;
  /** The sequence of the last message that was delivered; 0 before the first. */
  readonly sequence: number;
  /** How many more messages the stream had then that may be delivered. */
  readonly lag: number;
}

/** A message of a client. */
export interface ClientMessage {
  /** Without wildcards. */
  readonly subject: string;
  readonly data: Uint8Array;
  /** Header names as they are sent, each with its values: tokens, and texts without control characters. */
  readonly headers: ReadonlyMap<string, readonly string[]>;
  /** Messages with the same key are one message, where a stream stores them. `undefined`: each is its own. */
  readonly key?: string | undefined;
}

/** The source has a message. */
export interface Published {
  readonly kind: "published";
  /** The place where it is stored. Default: no stream is known to take it. */
  readonly stored?: { readonly stream: string; readonly sequence: number } | undefined;
  /** Whether it was stored before, with the same key. Default: no. */
  readonly isDuplicate?: boolean | undefined;
}

/** The first answer to a request. */
export interface Reply {
  readonly kind: "reply";
  readonly data: Uint8Array;
  /** Default: none. */
  readonly headers?: ReadonlyMap<string, readonly string[]> | undefined;
}

/** Why a message is not published, or a request not answered. */
export interface PublishFailure {
  readonly kind: "failed";
  readonly code:
    | "invalid_subject"
    | "forbidden"
    | "too_large"
    | "no_responders"
    | "timeout"
    | "unavailable";
  /** For the client's developer. */
  readonly message: string;
  /** Whether the same message may succeed later. */
  readonly retryable: boolean;
}

/** Publishes the messages of clients. Its methods return at once, and their promises never reject. */
export interface ClientPublisher {
  /** The most bytes that an answer to a request may have now. Default: 1 MiB. */
  readonly maxReplyBytes?: number | undefined;
  /**
   * Publishes a message.
   *
   * @param signal aborted when nobody waits for the answer any more.
   * @returns resolves when a stream has stored the message, or, if no stream takes it, when the source has it.
   */
  publish(message: ClientMessage, signal: AbortSignal): Promise<Published | PublishFailure>;
  /** Sends a request; see `publish`. */
  request(message: ClientMessage, signal: AbortSignal): Promise<Reply | PublishFailure>;
}

/** The source of messages. */
export interface MessageSource {
  /** The name for people: `"NATS"`. */
  readonly name: string;
  readonly status: SourceStatus;
  /** Why it does not deliver something although it is connected, in words for people. Default: nothing. */
  readonly problems?: readonly string[];
  /** One for each configured stream. Default: none. */
  readonly streams?: readonly StreamStatus[];
  /** Reads what its streams keep. Default: it has no streams. */
  readonly history?: StreamHistory | undefined;
  /** Default: clients can't use durables. */
  readonly durables?: Durables | undefined;
  /** Default: clients can't send requests, and publish without an answer of the source. */
  readonly clientPublisher?: ClientPublisher | undefined;
  /**
   * Starts to deliver to the listener, and returns at once. A source that can't connect yet is
   * `"connecting"` and tries until it is stopped. May be called again after `stop`.
   *
   * @throws SpillwayError `SOURCE_STARTED` if it is started.
   */
  start(listener: SourceListener): void;
  /**
   * Subscribes to a pattern, one call for each pattern; patterns may overlap. The source remembers it while it
   * is not started or not connected, and answers with `arrives` or `refused`.
   *
   * @throws SpillwayError `SUBJECT_INVALID`.
   */
  subscribe(pattern: string): void;
  /** Delivers no more messages that only this pattern matches. */
  unsubscribe(pattern: string): void;
  /**
   * Ends all subscriptions and delivers what is under way; publishing and settling still work. Resolves within
   * `timeoutMs` and never rejects. Only `stop` may follow.
   */
  drain(timeoutMs: number): Promise<void>;
  /**
   * Drains, unless that is done, and releases every timer and socket. Resolves within `timeoutMs` and never
   * rejects. May be called twice, and before `start`.
   */
  stop(timeoutMs: number): Promise<void>;
}

/** A source that messages can be published to. */
export interface Publisher {
  /**
   * Publishes a message and returns at once. A message that can't be published is logged and dropped. The
   * bytes may be kept until they are sent.
   *
   * @throws SpillwayError `SUBJECT_INVALID` if the source checks subjects itself.
   */
  publish(message: SourceMessage): void;
}
