import type {
  SourceMessage,
  StreamHistory,
  StreamPage,
  StreamQuery,
} from "../../../src/core/ports/source.ts";
import { carries } from "../../../src/core/subject/subject.ts";

export const ORIGIN = "S:epoch";

/** A stream in memory, from which messages can be deleted, and which counts what is asked of it. */
export class FakeStream implements StreamHistory {
  /** The messages that it keeps, by sequence. */
  readonly messages = new Map<number, SourceMessage>();
  last = 0;
  /** The queries of all calls of `read` and `latest`. */
  readonly asked: StreamQuery[] = [];
  extents = 0;
  /** How many requests are open now, and the most at any time. */
  open = 0;
  mostOpen = 0;
  readonly #pageMessages: number;
  readonly #origin: string;

  constructor(pageMessages = 3, origin = ORIGIN) {
    this.#pageMessages = pageMessages;
    this.#origin = origin;
  }

  /** Adds a message. @returns it as it arrives live. */
  add(subject: string): SourceMessage {
    const position = { origin: this.#origin, sequence: ++this.last };
    const data = new TextEncoder().encode(String(this.last));
    const message = { subject, data, position, timestampMs: 0 };
    this.messages.set(this.last, message);
    return message;
  }

  delete(sequence: number): void {
    this.messages.delete(sequence);
  }

  get first(): number {
    return this.messages.keys().next().value ?? this.last + 1;
  }

  /** Whether messages are missing between the first and the last one. */
  get sparse(): boolean {
    return this.messages.size < this.last + 1 - this.first;
  }

  selects(subjects: readonly string[]): boolean {
    return subjects.length === 1;
  }

  async extent(origin: string) {
    if (origin !== this.#origin) return undefined;
    this.extents++;
    return await this.#answer(() => this.#state);
  }

  async read(query: StreamQuery, after: number): Promise<StreamPage> {
    this.asked.push(query);
    const { removed } = this.#state;
    return await this.#answer(() => {
      const behind = this.#wanted(query).filter(({ position }) => position!.sequence > after);
      const messages = behind.slice(0, this.#pageMessages);
      return { ...this.#state, removed, messages, end: messages.length === behind.length };
    });
  }

  async *latest(
    query: StreamQuery,
    of: "last" | "last_per_subject",
  ): AsyncGenerator<StreamPage, void, void> {
    this.asked.push(query);
    const latest = new Map<string, SourceMessage>();
    for (const message of this.#wanted(query)) {
      const key = of === "last" ? "" : message.subject;
      latest.delete(key);
      latest.set(key, message);
    }
    const state = this.#state;
    const messages = [...latest.values()];
    do {
      const page = messages.splice(0, this.#pageMessages);
      yield await this.#answer(() => ({ ...state, messages: page, end: messages.length === 0 }));
    } while (messages.length > 0);
  }

  /** Has no answer without a request. */
  async snapshot(): Promise<undefined> {
    return undefined;
  }

  async before(): Promise<number> {
    return 0;
  }

  get #state() {
    const { first, last, sparse } = this;
    return { first, last, sparse, removed: last - this.messages.size };
  }

  #wanted({ subjects }: StreamQuery): SourceMessage[] {
    return [...this.messages.values()].filter(({ subject }) =>
      subjects.some((pattern) => carries(pattern, subject)),
    );
  }

  /** Answers in a later turn. */
  async #answer<T>(answer: () => T): Promise<T> {
    this.mostOpen = Math.max(this.mostOpen, ++this.open);
    await new Promise((resolve) => setImmediate(resolve));
    this.open--;
    return answer();
  }
}
