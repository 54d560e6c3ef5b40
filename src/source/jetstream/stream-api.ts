import { isReserved, subjectsIntersect, withoutCovered } from "../../core/subject.ts";
import type { NatsConnection } from "../connect.ts";

/** What we read of a stream's description; all else is left. */
export interface StreamInfo {
  /** The stream and its creation, see `StreamPosition`. */
  readonly origin: string;
  /** Of its oldest message, or of the next one when there is none. */
  readonly first: number;
  readonly last: number;
  /** Whether messages between those two were deleted: one by one, or by a newer one of their subject. */
  readonly sparse: boolean;
  readonly allowsDirect: boolean;
  /** Its subjects; `undefined` when it gets messages of other streams as well. */
  readonly captures: readonly string[] | undefined;
}

/** What we read of a consumer's description. */
export interface ConsumerInfo {
  readonly config: Readonly<Record<string, unknown>>;
  /** All up to this sequence of the stream is acknowledged, or not of this consumer. */
  readonly ackFloor: number;
}

/** An error that JetStream answered with. */
export class StreamApiError extends Error {
  readonly code: number;

  constructor(code: number, description: string) {
    super(description);
    this.code = code;
  }

  /** There is no such stream, or no such consumer. */
  get isNotFound(): boolean {
    return this.code === 404;
  }
}

const PREFIX = "$JS.API";
const TIMEOUT_MS = 5_000;
const decoder = new TextDecoder();

/** As many nanoseconds, as JetStream counts. */
export function nanoseconds(milliseconds: number): number {
  return milliseconds * 1_000_000;
}

/** The part of JetStream's API that is used here, for one connection; see NATS' reference of `$JS.API`. */
export class StreamApi {
  readonly connection: NatsConnection;

  constructor(connection: NatsConnection) {
    this.connection = connection;
  }

  /** Whether the server is of this version or newer. */
  isAtLeast(major: number, minor: number): boolean {
    const [its = 0, itsMinor = 0] = (this.connection.info?.version ?? "").split(".").map(Number);
    return its > major || (its === major && itsMinor >= minor);
  }

  /** @throws StreamApiError `isNotFound` when there is no such stream. */
  async stream(name: string): Promise<StreamInfo> {
    const { created, state, config } = await this.#request(`STREAM.INFO.${name}`);
    return {
      origin: `${name}:${epochOf(created)}`,
      first: state.first_seq || state.last_seq + 1,
      last: state.last_seq,
      sparse: state.num_deleted > 0,
      allowsDirect: config.allow_direct === true,
      captures: config.mirror || config.sources?.length > 0 ? undefined : config.subjects,
    };
  }

  /** Makes a consumer that nobody acknowledges, and that goes when nobody uses it. @returns its name. */
  async createConsumer(stream: string, config: Record<string, unknown>): Promise<string> {
    const whole = {
      ack_policy: "none",
      replay_policy: "instant",
      mem_storage: true,
      num_replicas: 1,
      ...config,
    };
    const { name } = await this.#request(`CONSUMER.CREATE.${stream}`, {
      stream_name: stream,
      config: whole,
    });
    return name;
  }

  /** Makes a consumer that is kept under a name, or changes the one that there is. */
  async createDurable(
    stream: string,
    name: string,
    config: Record<string, unknown>,
  ): Promise<ConsumerInfo> {
    const subject = `CONSUMER.DURABLE.CREATE.${stream}.${name}`;
    return infoOf(await this.#request(subject, { stream_name: stream, config }));
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
    const options = { timeout: TIMEOUT_MS };
    const answer = await this.connection.request(`${PREFIX}.${subject}`, payload, options);
    const value = JSON.parse(decoder.decode(answer.data));
    if (value.error === undefined) return value;
    throw new StreamApiError(value.error.code, value.error.description ?? "no reason given");
  }
}

// biome-ignore lint/suspicious/noExplicitAny: as above
function infoOf({ config, ack_floor }: any): ConsumerInfo {
  return { config, ackFloor: ack_floor?.stream_seq ?? 0 };
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

/** A creation, in nanoseconds since 1970, as short as letters and digits make it. */
function epochOf(created: string): string {
  const [, second = "", fraction = ""] = /^([^.Z+]+)(?:\.(\d+))?/.exec(created) ?? [];
  const nanoseconds = `${Date.parse(`${second}Z`) / 1000}${fraction.padEnd(9, "0").slice(0, 9)}`;
  return BigInt(nanoseconds).toString(36);
}
