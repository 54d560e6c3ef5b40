import {
  isReserved,
  subjectCovers,
  subjectsIntersect,
  withoutCovered,
} from "../../core/subject/subject.ts";
import { subjectFault } from "../../protocol/subject.ts";
import type { NatsConnection } from "../connect.ts";
import type { Requests } from "../requests.ts";
import { StreamApiError, verdictOf } from "./api-error.ts";

export { StreamApiError } from "./api-error.ts";

/** What we read of a stream's description; all else is left. */
export interface StreamInfo {
  /** The stream and its creation, see `StreamPosition`. */
  readonly origin: string;
  /** Of its oldest message, or of the next one when there is none. */
  readonly first: number;
  readonly last: number;
  /** Whether messages between those two were deleted: one by one, or by a newer one of their subject. */
  readonly sparse: boolean;
  /** How many sequences up to the last one have no message any more. */
  readonly removed: number;
  /** Whether newer messages replace older ones of their subjects: what is not there any more is not missing. */
  readonly replaces: boolean;
  readonly allowsDirect: boolean;
  /**
   * The subjects that it captures, after its transform; `undefined` if it gets messages of other streams as
   * well. It may hold others from before its subjects were edited.
   */
  readonly captures: readonly string[] | undefined;
  /** How many subjects it holds messages of. */
  readonly subjects: number;
}

/** A consumer that was made. */
export interface MadeConsumer {
  readonly name: string;
  /** Whether it filters as it was asked to. */
  readonly filters: boolean;
}

/** What we read of a consumer's description. */
export interface ConsumerInfo {
  readonly config: Readonly<Record<string, unknown>>;
  /** All up to this sequence of the stream is acknowledged, or not of this consumer. */
  readonly ackFloor: number;
  /** What is behind this sequence of the stream, and wanted, was never sent. */
  readonly delivered: number;
  /** Until when it sends nothing, where somebody has paused it. */
  readonly pausedUntil: string | undefined;
}

/** Somebody has paused a consumer. */
export class PausedError extends Error {}

const PREFIX = "$JS.API";
const TIMEOUT_MS = 5_000;
const decoder = new TextDecoder();

/** As many nanoseconds, as JetStream counts. */
export function nanoseconds(milliseconds: number): number {
  return milliseconds * 1_000_000;
}

/** The part of JetStream's API that is used here, for one connection; see NATS' reference of `$JS.API`. */
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

  /** @throws StreamApiError `isNotFound` when there is no such stream. */
  async stream(name: string): Promise<StreamInfo> {
    return streamInfoOf(name, await this.#request(`STREAM.INFO.${name}`));
  }

  /** Counts the subjects that a stream holds messages of and that fit a pattern. */
  async countSubjects(name: string, pattern: string): Promise<number> {
    // Nobody wants to see them: the page that is asked for lies behind all of them.
    const request = { subjects_filter: pattern, offset: Number.MAX_SAFE_INTEGER };
    const { total } = await this.#request(`STREAM.INFO.${name}`, request);
    return integer(total ?? 0);
  }

  /** Makes a consumer that nobody acknowledges, and that goes when nobody uses it. */
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

  /** Makes a consumer that is kept under a name, or changes the one that there is. */
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

  /** The consumer of a name, if there is one. */
  async consumer(stream: string, name: string): Promise<ConsumerInfo | undefined> {
    try {
      return infoOf(await this.#request(`CONSUMER.INFO.${stream}.${name}`));
    } catch (thrown) {
      if (thrown instanceof StreamApiError && thrown.isNotFound) return undefined;
      throw thrown;
    }
  }

  /** @throws Error when somebody has paused a consumer: it says that it is there, and sends nothing. */
  async expectUnpaused(stream: string, name: string): Promise<void> {
    const info = await this.consumer(stream, name);
    if (info !== undefined) expectUnpaused(info);
  }

  /** What all its consumers are called. */
  async consumerNames(stream: string): Promise<string[]> {
    const names: string[] = [];
    for (;;) {
      const page = await this.#request(`CONSUMER.NAMES.${stream}`, { offset: names.length });
      names.push(...(page.consumers ?? []));
      if (names.length >= page.total || !page.consumers?.length) return names;
    }
  }

  /** Lets a consumer go; one that is gone already is no error. */
  deleteConsumer(stream: string, name: string): void {
    if (this.connection.isClosed()) return;
    this.#request(`CONSUMER.DELETE.${stream}.${name}`).catch(() => {});
  }

  /** Where to ask a consumer for messages, and where to read a stream without one. */
  nextSubject(stream: string, consumer: string): string {
    return `${PREFIX}.CONSUMER.MSG.NEXT.${stream}.${consumer}`;
  }

  directSubject(stream: string): string {
    return `${PREFIX}.DIRECT.GET.${stream}`;
  }

  // biome-ignore lint/suspicious/noExplicitAny: each answer is read field by field by who asked
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

/** @throws Error when it is no JSON object. */
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

/** @throws Error when somebody has paused the consumer. */
export function expectUnpaused({ pausedUntil }: ConsumerInfo): void {
  if (pausedUntil !== undefined)
    throw new PausedError(`the consumer is paused until ${pausedUntil}`);
}

/** What a consumer is to filter by itself, and whether it then sends what is not wanted as well. */
export function filterOf(
  subjects: readonly string[],
  api: StreamApi,
): { config: Record<string, unknown>; exact: boolean } {
  const patterns = withoutCovered(subjects);
  const [only] = patterns;
  if (only !== undefined && patterns.length === 1) {
    // A wildcard must not carry NATS' own subjects.
    const exact = isReserved(only) || !/^[*>]/.test(only);
    return { config: only === ">" ? {} : { filter_subject: only }, exact };
  }
  // JetStream takes no filters that overlap, and several of them from 2.10 on.
  const overlap = patterns.some((one, index) =>
    patterns.slice(index + 1).some((other) => subjectsIntersect(one, other)),
  );
  if (overlap || !api.isAtLeast(2, 10)) return { config: {}, exact: false };
  return { config: { filter_subjects: patterns }, exact: false };
}

/**
 * Makes a consumer, without its filter where NATS says that the stream captures nothing that fits it: the
 * stream may hold such messages all the same, and may capture them later. nats-server 2.9 says so, also where a
 * mirror holds them.
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

/** @throws Error when it is no description of a stream. */
// biome-ignore lint/suspicious/noExplicitAny: as above
function streamInfoOf(name: string, { created, state, config }: any): StreamInfo {
  const last = integer(state?.last_seq);
  const { mirror, sources, subjects = [] } = config ?? {};
  const isFed = mirror || sources?.length > 0;
  return {
    origin: `${name}:${epochOf(String(created))}`,
    first: integer(state.first_seq) || last + 1,
    last,
    sparse: state.num_deleted > 0,
    removed: last - integer(state.messages),
    replaces: config?.max_msgs_per_subject > 0,
    allowsDirect: config?.allow_direct === true,
    captures: isFed ? undefined : transformed(subjects, config?.subject_transform),
    subjects: integer(state.num_subjects ?? 0),
  };
}

/** Returns a stream's subjects, and what its `subject_transform` (ADR-36) makes of them. */
function transformed(
  subjects: readonly string[],
  transform: { readonly dest?: unknown } | undefined,
): readonly string[] | undefined {
  const { dest } = transform ?? {};
  if (typeof dest !== "string" || dest === "") return subjects;
  // A function may make several tokens of one, or have points in its arguments.
  if (/\{\{\s*(split|slice)/i.test(dest) || /\{\{[^}]*\./.test(dest)) return undefined;
  const tokens = dest.split(".").map((token) => (/[${}]/.test(token) ? "*" : token));
  const becomes = tokens.join(".");
  return subjectFault(becomes, true) === undefined ? [...subjects, becomes] : undefined;
}

function integer(value: unknown): number {
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) return value;
  throw new Error("JetStream's answer can't be read");
}

/** With more filters than these, a consumer looks at every message of its stream for each page anew. */
const MOST_FILTERS = 8;

/**
 * Whether a consumer gets all that its stream takes in, and keeps until its bounds are reached: a sequence that does not
 * come is a message that is gone.
 */
export function hasAll(
  { captures, replaces }: StreamInfo,
  config: Readonly<Record<string, unknown>>,
  subjects: readonly string[],
): boolean {
  if (replaces) return false;
  const { filter_subject: filter = ">", filter_subjects: filters } = config;
  if (filter === ">" && filters === undefined) return true;
  const isCovered = (one: string) => subjects.some((other) => subjectCovers(other, one));
  return captures?.every(isCovered) === true;
}

/** Whether a consumer is best made for these subjects alone, as JetStream sends nothing else then. */
export function isSelective(subjects: readonly string[], api: StreamApi): boolean {
  if (subjects.length > 2 * MOST_FILTERS) return false;
  const patterns = withoutCovered(subjects);
  if (patterns.length === 1) return true;
  return patterns.length <= MOST_FILTERS && "filter_subjects" in filterOf(patterns, api).config;
}

/** A creation, in nanoseconds since 1970, as short as letters and digits make it. */
function epochOf(created: string): string {
  const [, second = "", fraction = ""] = /^([^.Z+]+)(?:\.(\d+))?/.exec(created) ?? [];
  const seconds = Date.parse(`${second}Z`) / 1000;
  if (Number.isNaN(seconds)) throw new Error("JetStream's answer can't be read");
  return BigInt(`${seconds}${fraction.padEnd(9, "0").slice(0, 9)}`).toString(36);
}
