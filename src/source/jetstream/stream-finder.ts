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
/** The most questions at a time; others wait. */
const MAX_ASKED = 256;
/** The most questions that wait. */
const MAX_WAITING = 10_000;
/** JSNotEnabledForAccountErr and JSNotEnabledErr of nats-server's `errors.json`. */
const NOT_ENABLED: readonly unknown[] = [10039, 10076];
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
  /** The questions that wait, in their order. */
  readonly #waiting = new Set<() => void>();
  /** The number of questions that JetStream was asked and has not answered. */
  #open = 0;
  /** Until when JetStream is not asked: it is not enabled, or NATS doesn't let us ask. */
  #nothingUntilMs = Number.NEGATIVE_INFINITY;

  /** Returns what is known now. */
  known(subject: string): StreamOf {
    const nowMs = performance.now();
    const known = this.#known.get(subject);
    if (nowMs < this.#nothingUntilMs && known?.stream === undefined) return { stream: undefined };
    return known !== undefined && nowMs - known.atMs < FRESH_MS ? known : "unknown";
  }

  /** Asks JetStream. Never rejects. */
  async find(requests: Requests, subject: string): Promise<StreamOf> {
    const asked = this.#asked.get(subject);
    if (asked !== undefined) return await asked;
    if (this.#waiting.size >= MAX_WAITING) return this.#stale(subject);
    const asking = this.#askInTurn(requests, subject);
    this.#asked.set(subject, asking);
    try {
      return await asking;
    } finally {
      this.#asked.delete(subject);
    }
  }

  /** Doubts the knowledge of a subject: JetStream is asked again, and counts if it answers. */
  doubt(subject: string): void {
    const known = this.#known.get(subject);
    if (known === undefined) return;
    const atMs = Math.min(known.atMs, performance.now() - FRESH_MS);
    this.#known.set(subject, { ...known, atMs });
  }

  async #askInTurn(requests: Requests, subject: string): Promise<StreamOf> {
    if (this.#open >= MAX_ASKED) {
      await new Promise<void>((resolve) => this.#waiting.add(resolve));
      // Perhaps that there is no JetStream.
      const known = this.known(subject);
      if (known !== "unknown") {
        this.#next();
        return known;
      }
    }
    this.#open++;
    try {
      return await this.#ask(requests, subject);
    } finally {
      this.#open--;
      this.#next();
    }
  }

  /** Lets the question ask that has waited longest. */
  #next(): void {
    const [next] = this.#waiting;
    if (next === undefined) return;
    this.#waiting.delete(next);
    next();
  }

  async #ask(requests: Requests, subject: string): Promise<StreamOf> {
    try {
      const { msg } = await requests.ask(NAMES, JSON.stringify({ subject }), TIMEOUT_MS);
      const answer: unknown = JSON.parse(decoder.decode(msg.data));
      if (!isObject(answer)) return this.#stale(subject);
      const { error, streams } = answer;
      if (isObject(error) && NOT_ENABLED.includes(error.err_code)) return this.#learnNothing();
      if (error !== undefined) return this.#stale(subject);
      const [stream] = Array.isArray(streams) ? streams : [];
      return this.#learn(subject, typeof stream === "string" ? stream : undefined);
    } catch (thrown) {
      const isNone = thrown instanceof NoRespondersError || thrown instanceof PermissionError;
      if (!isNone || this.#known.get(subject)?.stream !== undefined) return this.#stale(subject);
      return this.#learnNothing();
    }
  }

  /** There is no JetStream, or NATS doesn't let us ask. */
  #learnNothing(): StreamOf {
    this.#nothingUntilMs = performance.now() + FRESH_MS;
    return { stream: undefined };
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
