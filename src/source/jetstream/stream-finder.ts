import { isObject } from "../../protocol/schema.ts";
import { NoRespondersError, PermissionError, type Requests } from "../requests.ts";

const NAMES = "$JS.API.STREAM.NAMES";
const TIMEOUT_MS = 2_000;
/** What is known of a subject counts for so long. */
const FRESH_MS = 5_000;
/** If JetStream doesn't answer, what was known counts for so long. */
const STALE_MS = 300_000;
/** The most subjects of which something is known. */
const MAX_SUBJECTS = 10_000;
/** The most questions at a time; more are not asked. */
const MAX_ASKED = 256;
const decoder = new TextDecoder();

/** Whether a stream stores messages of a subject, and which one; `"unknown"` if JetStream doesn't say it. */
export type StreamOf = { readonly stream: string | undefined } | "unknown";

interface Known {
  readonly stream: string | undefined;
  readonly atMs: number;
}

/**
 * Knows which stream takes a subject. JetStream is asked once for each subject in some seconds, so a stream that is
 * created or deleted is noticed with this delay.
 */
export class StreamFinder {
  readonly #known = new Map<string, Known>();
  readonly #asked = new Map<string, Promise<StreamOf>>();
  /** Until when JetStream is not asked: it is not enabled, or NATS doesn't let us ask. */
  #nothingUntilMs = Number.NEGATIVE_INFINITY;

  /** Returns what is known now. */
  known(subject: string): StreamOf {
    const nowMs = performance.now();
    if (nowMs < this.#nothingUntilMs) return { stream: undefined };
    const known = this.#known.get(subject);
    return known !== undefined && nowMs - known.atMs < FRESH_MS ? known : "unknown";
  }

  /** Asks JetStream. Never rejects. */
  async find(requests: Requests, subject: string): Promise<StreamOf> {
    const asked = this.#asked.get(subject);
    if (asked !== undefined) return await asked;
    if (this.#asked.size >= MAX_ASKED) return this.#stale(subject);
    const asking = this.#ask(requests, subject);
    this.#asked.set(subject, asking);
    try {
      return await asking;
    } finally {
      this.#asked.delete(subject);
    }
  }

  /** What was known of a subject is wrong. */
  forget(subject: string): void {
    this.#known.delete(subject);
  }

  async #ask(requests: Requests, subject: string): Promise<StreamOf> {
    try {
      const { msg } = await requests.ask(NAMES, JSON.stringify({ subject }), TIMEOUT_MS);
      const answer: unknown = JSON.parse(decoder.decode(msg.data));
      if (!isObject(answer) || answer.error !== undefined) return this.#stale(subject);
      const [stream] = Array.isArray(answer.streams) ? answer.streams : [];
      return this.#learn(subject, typeof stream === "string" ? stream : undefined);
    } catch (thrown) {
      if (!(thrown instanceof NoRespondersError || thrown instanceof PermissionError)) {
        return this.#stale(subject);
      }
      this.#nothingUntilMs = performance.now() + FRESH_MS;
      return { stream: undefined };
    }
  }

  #learn(subject: string, stream: string | undefined): Known {
    const known = { stream, atMs: performance.now() };
    this.#known.delete(subject);
    this.#known.set(subject, known);
    if (this.#known.size > MAX_SUBJECTS) {
      const [oldest] = this.#known.keys();
      this.#known.delete(oldest as string);
    }
    return known;
  }

  #stale(subject: string): StreamOf {
    const known = this.#known.get(subject);
    return known !== undefined && performance.now() - known.atMs < STALE_MS ? known : "unknown";
  }
}
