import { PatternIndex, withoutCovered } from "../../core/subject/pattern-index.ts";
import { isReserved } from "../../core/subject/subject.ts";
import { subjectFault } from "../../protocol/subject.ts";
import type { NatsConnection } from "../connect.ts";
import type { Requests } from "../requests.ts";
import { StreamApiError, verdictOf } from "./api-error.ts";

export { StreamApiError } from "./api-error.ts";

/** The parts of a stream's description that are used. */
export interface StreamInfo {
  /** See `StreamPosition`. */
  readonly origin: string;
  /** The sequence of its first message, or of the next one if it has none. */
  readonly first: number;
  readonly last: number;
  /** The time when the last one was stored, in Unix milliseconds; long before 1970, or `NaN`, if there was none. */
  readonly lastMs: number;
  /** Whether messages between those two were removed: one by one, or by newer ones of their subjects. */
  readonly sparse: boolean;
  /** How many sequences up to the last one have no message any more. */
  readonly removed: number;
  /** Whether newer messages replace older ones of their subjects: a removed message is no loss then. */
  readonly replaces: boolean;
  readonly allowsDirect: boolean;
  /** The number of servers that keep it. */
  readonly replicas: number;
  /**
   * The subjects that it captures, after its transform; `undefined` if it copies other streams. It may hold
   * messages of other subjects from before it was edited.
   */
  readonly captures: readonly string[] | undefined;
  /** The number of different subjects of its messages. */
  readonly subjects: number;
  /** The time that it keeps a message; 0: for ever. */
  readonly maxAgeMs: number;
}

/** A new consumer. */
export interface MadeConsumer {
  readonly name: string;
  /** Whether it has the filter that was asked for. */
  readonly filters: boolean;
}

/** The parts of a consumer's description that are used. */
export interface ConsumerInfo {
  readonly config: Readonly<Record<string, unknown>>;
  /** Up to this sequence of the stream, no message of the consumer is unacknowledged. */
  readonly ackFloor: number;
  /** After this sequence of the stream, the consumer has sent no message. */
  readonly delivered: number;
  /** Until when it is paused; `undefined` if it is not. */
  readonly pausedUntil: string | undefined;
}

/** Somebody has paused a consumer: it sends heartbeats but no messages. */
export class PausedError extends Error {}

const PREFIX = "$JS.API";
const TIMEOUT_MS = 5_000;
/** JSNoMessageFoundErr */
const NO_MESSAGE = 10037;
const decoder = new TextDecoder();

/** Converts to nanoseconds, in which JetStream counts. */
export function nanoseconds(milliseconds: number): number {
  return milliseconds * 1_000_000;
}

/**
 * The requests of JetStream's API (`$JS.API`) that are used, on one connection.
 *
 * The managers of nats.js 2.29 are not used. Their requests read headers in a callback of the client, which throws
 * where an answer without data has malformed ones, and then the socket is no longer read. Their answers are cast, not
 * checked, and an unusual one fails later and elsewhere; here it fails the request.
 */
export class StreamApi {
  readonly requests: Requests;

  constructor(requests: Requests) {
    this.requests = requests;
  }

  get connection(): NatsConnection {
    return this.requests.connection;
  }

  /** Whether the server is of this version or newer. */
  isAtLeast(major: number, minor: number): boolean {
    const [its = 0, itsMinor = 0] = (this.connection.info?.version ?? "").split(".").map(Number);
    return its > major || (its === major && itsMinor >= minor);
  }

  /** Describes a stream. @throws StreamApiError `isNotFound` if it does not exist. */
  async stream(name: string): Promise<StreamInfo> {
    return streamInfoOf(name, await this.#request(`STREAM.INFO.${name}`));
  }

  /** Counts the different subjects of a stream's messages that fit a pattern. */
  async countSubjects(name: string, pattern: string): Promise<number> {
    // The offset is past all subjects, so that the answer has their number alone.
    const request = { subjects_filter: pattern, offset: Number.MAX_SAFE_INTEGER };
    const { total } = await this.#request(`STREAM.INFO.${name}`, request);
    return integer(total ?? 0);
  }

  /**
   * Returns the place of the first message after a sequence that fits a pattern; `undefined` if there is none. The stream's
   * leader answers and lacks nothing; a consumer or a direct get may read a replica that lags behind.
   */
  async messageAfter(
    name: string,
    after: number,
    pattern: string,
  ): Promise<{ sequence: number; timestampMs: number } | undefined> {
    const request = { seq: after + 1, next_by_subj: pattern };
    try {
      const { message } = await this.#request(`STREAM.MSG.GET.${name}`, request);
      return { sequence: integer(message?.seq), timestampMs: Date.parse(message.time) };
    } catch (thrown) {
      if (thrown instanceof StreamApiError && thrown.errorCode === NO_MESSAGE) return undefined;
      throw thrown;
    }
  }

  /** Makes a consumer without acknowledgements, which is deleted when it is not used. */
  async createConsumer(stream: string, config: Record<string, unknown>): Promise<MadeConsumer> {
    const whole = {
      ack_policy: "none",
      replay_policy: "instant",
      mem_storage: true,
      num_replicas: 1,
      ...config,
    };
    return await withoutMisfit(whole, async (config) => {
      const request = { stream_name: stream, config };
      const { name } = await this.#request(`CONSUMER.CREATE.${stream}`, request);
      return String(name);
    });
  }

  /** Sends a request for a consumer that JetStream can't make. @throws PermissionError if NATS doesn't let us send it. */
  async expectMayFollow(stream: string): Promise<void> {
    await this.#request(`CONSUMER.CREATE.${stream}`, {}).catch((thrown: unknown) => {
      if (!(thrown instanceof StreamApiError)) throw thrown;
    });
  }

  /** Makes a durable consumer, or edits the existing one. */
  async createDurable(
    stream: string,
    name: string,
    config: Record<string, unknown>,
  ): Promise<ConsumerInfo & { filters: boolean }> {
    const subject = `CONSUMER.DURABLE.CREATE.${stream}.${name}`;
    let info: ConsumerInfo | undefined;
    const { filters } = await withoutMisfit(config, async (config) => {
      info = infoOf(await this.#request(subject, { stream_name: stream, config }));
      return name;
    });
    return { ...(info as ConsumerInfo), filters };
  }

  /** Describes a consumer; `undefined` if it does not exist. */
  async consumer(stream: string, name: string): Promise<ConsumerInfo | undefined> {
    try {
      return infoOf(await this.#request(`CONSUMER.INFO.${stream}.${name}`));
    } catch (thrown) {
      if (thrown instanceof StreamApiError && thrown.isNotFound) return undefined;
      throw thrown;
    }
  }

  /** @throws PausedError if the consumer is paused. */
  async expectUnpaused(stream: string, name: string): Promise<void> {
    const info = await this.consumer(stream, name);
    if (info !== undefined) expectUnpaused(info);
  }

  /** Lists the names of a stream's consumers. */
  async consumerNames(stream: string): Promise<string[]> {
    const names: string[] = [];
    for (;;) {
      const page = await this.#request(`CONSUMER.NAMES.${stream}`, { offset: names.length });
      names.push(...(page.consumers ?? []));
      if (names.length >= page.total || !page.consumers?.length) return names;
    }
  }

  /** Deletes a consumer in the background; it may be gone already. */
  deleteConsumer(stream: string, name: string): void {
    if (this.connection.isClosed()) return;
    this.#request(`CONSUMER.DELETE.${stream}.${name}`).catch(() => {});
  }

  /** The subject for requests for a consumer's messages. */
  nextSubject(stream: string, consumer: string): string {
    return `${PREFIX}.CONSUMER.MSG.NEXT.${stream}.${consumer}`;
  }

  /** The subject for reading a stream without a consumer. */
  directSubject(stream: string): string {
    return `${PREFIX}.DIRECT.GET.${stream}`;
  }

  // biome-ignore lint/suspicious/noExplicitAny: callers check the fields that they read
  async #request(subject: string, body?: object): Promise<any> {
    const payload = body === undefined ? "" : JSON.stringify(body);
    const { msg } = await this.requests.ask(`${PREFIX}.${subject}`, payload, TIMEOUT_MS);
    const value = readAnswer(msg.data);
    const { error } = value;
    if (error === undefined) return value;
    const { code, err_code, description } = error as Record<string, unknown>;
    throw new StreamApiError(
      Number(code) || 0,
      typeof description === "string" ? description : "no reason given",
      Number(err_code) || 0,
    );
  }
}

/** @throws Error if the answer is no JSON object. */
function readAnswer(data: Uint8Array): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(decoder.decode(data));
  } catch {}
  if (typeof value === "object" && value !== null) return value as Record<string, unknown>;
  throw new Error("JetStream's answer can't be read");
}

// biome-ignore lint/suspicious/noExplicitAny: as above
function infoOf({ config, ack_floor, delivered, paused }: any): ConsumerInfo {
  const pausedUntil = paused === true ? String(config?.pause_until ?? "further notice") : undefined;
  const ackFloor = ack_floor?.stream_seq ?? 0;
  return { config, ackFloor, delivered: delivered?.stream_seq ?? 0, pausedUntil };
}

/** @throws PausedError if the consumer is paused. */
export function expectUnpaused({ pausedUntil }: ConsumerInfo): void {
  if (pausedUntil !== undefined)
    throw new PausedError(`the consumer is paused until ${pausedUntil}`);
}

/** Returns a consumer's filter for these subjects, and whether the consumer then sends no other messages. */
export function filterOf(
  subjects: readonly string[],
  api: StreamApi,
): { config: Record<string, unknown>; exact: boolean } {
  const patterns = withoutCovered(subjects);
  const [only] = patterns;
  if (only !== undefined && patterns.length === 1) {
    // The filter matches subjects of NATS itself, too, which no wildcard may carry.
    const exact = isReserved(only) || !/^[*>]/.test(only);
    return { config: only === ">" ? {} : { filter_subject: only }, exact };
  }
  // JetStream refuses filters that overlap, and takes several only since 2.10.
  const index = PatternIndex.of(patterns);
  const overlap = patterns.some((one) => index.someIntersects(one, (other) => other !== one));
  if (overlap || !api.isAtLeast(2, 10)) return { config: {}, exact: false };
  return { config: { filter_subjects: patterns }, exact: false };
}

/**
 * Makes a consumer, without its filter if NATS refuses it because the stream captures nothing that fits: the stream
 * may hold such messages, and may capture them later. nats-server 2.9 refuses it for mirrors, too.
 */
async function withoutMisfit(
  config: Record<string, unknown>,
  make: (config: Record<string, unknown>) => Promise<string>,
): Promise<MadeConsumer> {
  try {
    return { name: await make(config), filters: true };
  } catch (thrown) {
    const isMisfit = verdictOf(thrown) === "filter" && config.filter_subject !== ">";
    if (!isMisfit) throw thrown;
    const { filter_subject: _, filter_subjects: __, ...rest } = config;
    const needed = config.deliver_policy === "last_per_subject" && { filter_subject: ">" };
    return { name: await make({ ...rest, ...needed }), filters: false };
  }
}

/** @throws Error if it is no description of a stream. */
// biome-ignore lint/suspicious/noExplicitAny: as above
function streamInfoOf(name: string, { created, state, config }: any): StreamInfo {
  const last = integer(state?.last_seq);
  const { mirror, sources, subjects = [] } = config ?? {};
  const isFed = mirror || sources?.length > 0;
  return {
    origin: `${name}:${epochOf(String(created))}`,
    first: integer(state.first_seq) || last + 1,
    last,
    lastMs: Date.parse(state.last_ts),
    sparse: state.num_deleted > 0,
    removed: last - integer(state.messages),
    replaces: config?.max_msgs_per_subject > 0,
    allowsDirect: config?.allow_direct === true,
    replicas: integer(config?.num_replicas ?? 1),
    captures: isFed ? undefined : transformed(subjects, config?.subject_transform),
    subjects: integer(state.num_subjects ?? 0),
    // A hundred days of nanoseconds are more than a safe integer.
    maxAgeMs: (Number(config?.max_age) || 0) / nanoseconds(1),
  };
}

/** Returns a stream's subjects and those that its `subject_transform` (ADR-36) makes; `undefined` if they are not known. */
function transformed(
  subjects: readonly string[],
  transform: { readonly dest?: unknown } | undefined,
): readonly string[] | undefined {
  const { dest } = transform ?? {};
  if (typeof dest !== "string" || dest === "") return subjects;
  // These functions may make several tokens of one, or have dots in their arguments.
  if (/\{\{\s*(split|slice)/i.test(dest) || /\{\{[^}]*\./.test(dest)) return undefined;
  const tokens = dest.split(".").map((token) => (/[${}]/.test(token) ? "*" : token));
  const becomes = tokens.join(".");
  return subjectFault(becomes, true) === undefined ? [...subjects, becomes] : undefined;
}

function integer(value: unknown): number {
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) return value;
  throw new Error("JetStream's answer can't be read");
}

/** With more filters, a consumer looks at every message of its stream for each page. */
const MOST_FILTERS = 8;

/**
 * Whether a consumer gets every message of its stream, so that each sequence that does not come is a message that the
 * stream has removed.
 */
export function hasAll(
  { captures, replaces }: StreamInfo,
  config: Readonly<Record<string, unknown>>,
  subjects: readonly string[],
): boolean {
  if (replaces) return false;
  const { filter_subject: filter = ">", filter_subjects: filters } = config;
  if (filter === ">" && filters === undefined) return true;
  const isCovered = (one: string) => PatternIndex.of(subjects).someCovers(one);
  return captures?.every(isCovered) === true;
}

/** Whether a consumer with these subjects as its filter gets only their messages, at little cost to the server. */
export function isSelective(subjects: readonly string[], api: StreamApi): boolean {
  if (subjects.length > 2 * MOST_FILTERS) return false;
  const patterns = withoutCovered(subjects);
  if (patterns.length === 1) return true;
  return patterns.length <= MOST_FILTERS && "filter_subjects" in filterOf(patterns, api).config;
}

/** Shortens a time of creation to its nanoseconds since 1970 in base 36. */
function epochOf(created: string): string {
  const [, second = "", fraction = ""] = /^([^.Z+]+)(?:\.(\d+))?/.exec(created) ?? [];
  const seconds = Date.parse(`${second}Z`) / 1000;
  if (Number.isNaN(seconds)) throw new Error("JetStream's answer can't be read");
  return BigInt(`${seconds}${fraction.padEnd(9, "0").slice(0, 9)}`).toString(36);
}
