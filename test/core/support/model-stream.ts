import { SpillwayError } from "../../../src/core/ports/errors.ts";
import type {
  SourceMessage,
  StreamExtent,
  StreamHistory,
  StreamPage,
  StreamQuery,
} from "../../../src/core/ports/source.ts";
import { carries } from "../../../src/core/subject/subject.ts";
import type { Harness } from "./harness.ts";
import { ManualClock } from "./manual-clock.ts";

export const NAME = "S";
/** The subjects that the gateway carries of the stream. */
export const CARRIED = ["s.>"];
const PAGE_MESSAGES = 3;

/** A message of a stream at any time of its life. */
export interface Published {
  readonly origin: string;
  readonly sequence: number;
  readonly subject: string;
}

/** All that gateways which follow the same stream have in common. */
class Store {
  readonly published: Published[] = [];
  readonly removed = new Set<Published>();
  readonly kept = new Map<number, Published>();
  readonly sources: ModelStream[] = [];
  exists = true;
  epoch = 1;
  last = 0;
}

/**
 * A source with one stream, written a second time from the words of the port: the stream is deleted and made anew,
 * messages are deleted one by one or purged, the connection is cut, requests fail. Messages come live only when
 * `pump` is called, as another connection may bring them later than a page does.
 */
export class ModelStream implements StreamHistory {
  /** The next requests that fail, and how. */
  readonly failures: ("unavailable" | "refused")[] = [];
  /** How many requests failed because there was no connection. */
  disconnectedRequests = 0;
  connected = true;
  harness: Harness | undefined;
  readonly #store: Store;
  /** What the source follows: the last message that came live. */
  #followed: { origin: string; last: number } | undefined;
  #isFollowed = false;

  /** @param twin another gateway's source of the same stream. */
  constructor(twin?: ModelStream) {
    this.#store = twin === undefined ? new Store() : twin.#store;
    this.#store.sources.push(this);
  }

  /** Everything that was ever published, in order. */
  get published(): readonly Published[] {
    return this.#store.published;
  }

  /** The messages that the stream has lost, deleted or with the whole stream. */
  get removed(): ReadonlySet<Published> {
    return this.#store.removed;
  }

  get exists(): boolean {
    return this.#store.exists;
  }

  get origin(): string {
    return `${NAME}:epoch-${this.#store.epoch}`;
  }

  get last(): number {
    return this.#store.last;
  }

  publish(subject: string): void {
    if (!this.exists) return;
    const message = { origin: this.origin, sequence: ++this.#store.last, subject };
    this.#store.published.push(message);
    this.#kept.set(message.sequence, message);
  }

  /** Brings what has not come live yet, or some of it. */
  pump(most = Number.POSITIVE_INFINITY): void {
    if (!this.connected || !this.exists || !this.#isFollowed) return;
    const followed = this.#followed!;
    if (followed.origin !== this.origin) return;
    let count = 0;
    for (const message of [...this.#kept.values()]) {
      if (message.sequence <= followed.last) continue;
      if (count++ === most) return;
      followed.last = message.sequence;
      if (isCarried(message)) this.harness!.broadcaster.message(this.#sourceMessage(message));
    }
  }

  /** Deletes a message. */
  delete(sequence: number): void {
    this.#pumpAll();
    this.#remove(sequence);
  }

  /** Deletes all messages up to a sequence. */
  purge(sequence: number): void {
    this.#pumpAll();
    for (const one of [...this.#kept.keys()]) if (one <= sequence) this.#remove(one);
  }

  deleteStream(): void {
    if (!this.exists) return;
    this.#store.exists = false;
    for (const sequence of [...this.#kept.keys()]) this.#remove(sequence);
  }

  createStream(): void {
    if (this.exists) return;
    this.#store.exists = true;
    this.#store.epoch++;
    this.#store.last = 0;
  }

  cut(): void {
    if (!this.connected) return;
    this.connected = false;
    this.#isFollowed = false;
    this.harness!.disconnect();
  }

  reconnect(): void {
    if (this.connected) return;
    this.connected = true;
    this.harness!.connect();
    this.notice(true);
  }

  /** The source finds out how the stream stands. */
  notice(always = false): void {
    const { broadcaster } = this.harness!;
    if (!this.connected) return;
    if (!this.exists) {
      this.#isFollowed = false;
      broadcaster.stream({ name: NAME, origin: undefined, sequence: 0, lost: false });
      return;
    }
    const { origin } = this;
    const again = this.#followed?.origin === origin;
    if (again && this.#isFollowed && !always) return;
    const { first, removed } = this.#extent;
    let last = again ? this.#followed!.last : this.#followed === undefined ? this.last : first - 1;
    const lost = again && first > last + 1;
    if (lost) last = first - 1;
    const isSparse = again && removed > first - 1 && this.last > last;
    this.#followed = { origin, last };
    const state = { name: NAME, origin, sequence: last };
    const sparseUpTo = isSparse ? this.last : undefined;
    broadcaster.stream({ ...state, lost, sparseUpTo, isFollowed: false });
    this.#isFollowed = true;
    broadcaster.stream({ ...state, lost: false });
  }

  selects(subjects: readonly string[]): boolean {
    return subjects.length === 1;
  }

  async extent(origin: string): Promise<StreamExtent | undefined> {
    await this.#turn();
    return this.#has(origin) ? this.#extent : undefined;
  }

  async read({ origin, subjects }: StreamQuery, after: number): Promise<StreamPage | undefined> {
    if (!this.#has(origin)) {
      await this.#turn();
      return undefined;
    }
    const { removed } = this.#extent;
    const last = this.last;
    await this.#turn();
    if (!this.#has(origin)) return undefined;
    const found = this.#wanted(subjects).filter(({ sequence }) => sequence > after);
    const messages = found.slice(0, PAGE_MESSAGES).map((message) => this.#sourceMessage(message));
    const { first, removed: now } = this.#extent;
    const end = messages.length === found.length;
    return { messages, end, first, last, removed, sparse: now > first - 1 };
  }

  async *latest(
    { origin, subjects }: StreamQuery,
    of: "last" | "last_per_subject",
  ): AsyncGenerator<StreamPage, void, void> {
    await this.#turn();
    if (!this.#has(origin)) return;
    const last = this.last;
    const latest = new Map<string, Published>();
    for (const message of this.#wanted(subjects)) {
      const key = of === "last" ? "" : message.subject;
      latest.delete(key);
      latest.set(key, message);
    }
    const messages = [...latest.values()].map((message) => this.#sourceMessage(message));
    const { first } = this.#extent;
    do {
      const page = messages.splice(0, PAGE_MESSAGES);
      yield { messages: page, end: messages.length === 0, first, last, sparse: false };
      await this.#turn();
      if (!this.#has(origin)) return;
    } while (messages.length > 0);
  }

  async snapshot(): Promise<undefined> {
    return undefined;
  }

  async before(origin: string, timeMs: number): Promise<number | undefined> {
    await this.#turn();
    if (!this.#has(origin)) return undefined;
    const found = [...this.#kept.keys()].find((sequence) => timeOf(sequence) >= timeMs);
    return (found ?? this.last + 1) - 1;
  }

  get #kept(): Map<number, Published> {
    return this.#store.kept;
  }

  /** Brings connected gateways all messages, before one is removed. */
  #pumpAll(): void {
    for (const source of this.#store.sources) source.pump();
  }

  get #extent() {
    const first: number = this.#kept.keys().next().value ?? this.last + 1;
    return { first, removed: this.last - this.#kept.size };
  }

  #has(origin: string): boolean {
    return this.exists && origin === this.origin;
  }

  #wanted(subjects: readonly string[]): Published[] {
    return [...this.#kept.values()].filter(({ subject }) =>
      subjects.some((pattern) => carries(pattern, subject)),
    );
  }

  #remove(sequence: number): void {
    const message = this.#kept.get(sequence);
    if (message === undefined) return;
    this.#store.removed.add(message);
    this.#kept.delete(sequence);
  }

  #sourceMessage({ origin, sequence, subject }: Published): SourceMessage {
    const data = new TextEncoder().encode(String(sequence));
    const timestampMs = timeOf(sequence);
    return { subject, data, position: { origin, sequence }, timestampMs };
  }

  /** A request takes a turn, and may fail. */
  async #turn(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    if (!this.connected) {
      this.disconnectedRequests++;
      throw new Error("there is no connection");
    }
    const failure = this.failures.shift();
    if (failure === "unavailable") throw new Error("there is no answer");
    if (failure === "refused") throw new SpillwayError("STREAM_REFUSED", "no permission");
  }
}

/** When a message was stored. */
export function timeOf(sequence: number): number {
  return ManualClock.WALL_START_MS + sequence * 1000;
}

function isCarried({ subject }: Published): boolean {
  return CARRIED.some((pattern) => carries(pattern, subject));
}
