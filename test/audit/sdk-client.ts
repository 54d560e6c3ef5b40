import {
  type Connection,
  type ConnectOptions,
  connect,
  type Item,
  type Platform,
  type SubscribeOptions,
  type UrlOption,
} from "spillway/client";
import type { FakeTab } from "../client/support/fake-browser.ts";
import type { AuditedParty, ClientAccess, Records } from "./audited-client.ts";
import type { Random } from "./random.ts";

/**
 * The guarantee of a client:
 *
 * - `each`: each message once, or declared.
 * - `latest`: of each subject, the last message once; earlier ones may be superseded.
 * - `again`: as `each`, and some again, marked as redelivered.
 */
export type Guarantee = "each" | "latest" | "again";

/** Times short enough for the audit's faults. */
const RETRY = { firstMs: 100, mostMs: 1000 };

/** A connection of the client SDK whose sockets and requests can be broken. */
export class SdkConnection {
  readonly connection: Connection;
  opened = 0;
  isKilled = false;
  /** The last ones. */
  readonly errors: string[] = [];
  readonly #leave: () => void;
  readonly #sockets = new Set<WebSocket>();
  #requests = new AbortController();

  constructor(
    url: UrlOption,
    token: string,
    random: Random,
    optionsOf: (options: ConnectOptions) => ConnectOptions = (options) => options,
    tab?: FakeTab,
  ) {
    this.#leave = () => tab?.kill();
    const sockets = this.#sockets;
    const platform: Platform = {
      now: Date.now,
      timer(ms, run) {
        const timer = setTimeout(() => tab?.isGone || run(), ms);
        return () => clearTimeout(timer);
      },
      random: () => random.next(),
      uuid: () => crypto.randomUUID(),
      isHidden: () => false,
      fetch: ((input: string, init: RequestInit = {}) => {
        const signals = [this.#requests.signal, ...(init.signal ? [init.signal] : [])];
        return fetch(input, { ...init, signal: AbortSignal.any(signals) });
      }) as typeof fetch,
      ...(tab && { locks: tab.platform.locks, BroadcastChannel: tab.platform.BroadcastChannel }),
      WebSocket: class extends WebSocket {
        constructor(address: string, protocols: string[]) {
          super(address, protocols);
          sockets.add(this);
          this.addEventListener("close", () => sockets.delete(this));
        }
      } as unknown as NonNullable<Platform["WebSocket"]>,
    };
    this.connection = connect(url, optionsOf({ token, retry: RETRY, platform }));
    this.connection.on("state", ({ type }) => {
      if (type === "open") this.opened++;
    });
    this.connection.on("error", ({ message }) => {
      this.errors.push(message);
      if (this.errors.length > 4) this.errors.shift();
    });
  }

  /** The program ends without a word. */
  kill(): void {
    this.isKilled = true;
    this.#leave();
    this.cut();
    void this.connection.close();
  }

  /** Breaks the connection without a close frame. */
  cut(): void {
    for (const socket of this.#sockets) (socket as unknown as { terminate(): void }).terminate();
    this.#requests.abort();
    this.#requests = new AbortController();
  }
}

/** A loop over a subscription of the client SDK, which accounts for its items. */
export class SdkClient implements AuditedParty {
  readonly subjects: readonly string[];
  readonly access: ClientAccess;
  readonly records: Records = { sequences: [], gaps: [] };
  readonly #name: string;
  readonly #guarantee: Guarantee;
  readonly #open: () => SdkConnection;
  readonly #options: SubscribeOptions<{ n: number }>;
  readonly #leaks: string[] = [];
  readonly #subjectOf = new Map<number, string>();
  /** Messages that were sent before, as the gateway said. */
  readonly #again = new Set<number>();
  /** The number of messages that it had when its programs began. */
  readonly #starts: number[] = [];
  readonly #tail: string[] = [];
  #sdk: SdkConnection | undefined;
  #last: string | undefined;
  #began: number | undefined;
  #failure: unknown;
  #isOver = false;
  #stalled: Promise<void> | undefined;

  constructor(
    name: string,
    subjects: readonly string[],
    access: ClientAccess,
    guarantee: Guarantee,
    open: () => SdkConnection,
    options: SubscribeOptions<{ n: number }> = {},
  ) {
    this.#name = name;
    this.subjects = subjects;
    this.access = access;
    this.#guarantee = guarantee;
    this.#open = open;
    this.#options = options;
  }

  get connections(): number {
    return this.#sdk?.opened ?? 0;
  }

  get last(): number {
    const { sequences, gaps } = this.records;
    return Math.max(sequences.at(-1) ?? 0, gaps.at(-1)?.to ?? 0);
  }

  get history(): string {
    const { connection, opened, errors } = this.#sdk!;
    const state = JSON.stringify(connection.state);
    return `${this.#name}, connection ${opened}, ${state}: ${this.#tail.join(", ")}; ${errors.join(", ")}`;
  }

  async run(began: () => void): Promise<void> {
    const sdk = this.#open();
    this.#sdk = sdk;
    this.#starts.push(this.records.sequences.length);
    const isResumed = this.#last !== undefined && this.#options.durable === undefined;
    const from = isResumed ? { from: { after: this.#last! } } : {};
    const subscription = sdk.connection.subscribe<{ n: number }>(this.subjects, {
      ...this.#options,
      ...from,
    });
    void subscription.ready.then(
      (terms) => {
        this.#began ??= sequenceOf(terms.from);
        began();
      },
      () => {},
    );
    let failure: unknown = "its loop has ended";
    try {
      for await (const item of subscription) {
        if (sdk !== this.#sdk) return;
        this.#take(item);
        await this.#stalled;
      }
    } catch (error) {
      failure = error;
    }
    if (this.#isOver || sdk !== this.#sdk) return;
    // Another client of the same connection has restarted.
    if (sdk.isKilled) await this.run(began);
    else this.#failure = failure;
  }

  stop(): void {
    this.#isOver = true;
    void this.#sdk?.connection.close();
  }

  /** The program ends without a word, and another one continues behind its last message. */
  restart(): void {
    this.#sdk?.kill();
    void this.run(() => {});
  }

  cut(): void {
    this.#sdk?.cut();
  }

  stall(ms: number): void {
    this.#stalled = new Promise((resolve) => setTimeout(resolve, ms));
  }

  faults(published: ReadonlyMap<number, string>, wants: (subject: string) => boolean): string[] {
    const faults = this.#leaks.map((text) => `${this.#name} was given ${text}`);
    if (this.#failure !== undefined) faults.push(`${this.#name} failed: ${this.#failure}`);
    const { sequences, gaps } = this.records;
    const isLatest = this.#guarantee === "latest";
    /** By subject, if those are independent. */
    let last = new Map<string, number>();
    let got = new Set<number>();
    for (const [index, sequence] of sequences.entries()) {
      // A program that begins again gets some values again that had overtaken others.
      if (isLatest && this.#starts.includes(index)) [last, got] = [new Map(), new Set()];
      const isAgain = this.#again.has(sequence);
      const key = isLatest ? this.#subjectOf.get(sequence)! : "";
      const before = last.get(key) ?? 0;
      if (got.has(sequence) && !isAgain) faults.push(`${this.#name} got ${sequence} twice`);
      else if (sequence < before && !isAgain)
        faults.push(`${this.#name} got ${sequence} behind ${before}`);
      last.set(key, Math.max(before, sequence));
      got.add(sequence);
      const subject = published.get(sequence);
      if (subject === undefined) continue;
      if (!wants(subject)) faults.push(`${this.#name} got ${subject}`);
      if (subject !== this.#subjectOf.get(sequence))
        faults.push(`${this.#name} got another ${sequence}`);
    }
    const heard = new Set(sequences);
    const latest = new Map<string, number>();
    for (const sequence of sequences) {
      const subject = this.#subjectOf.get(sequence)!;
      latest.set(subject, Math.max(sequence, latest.get(subject) ?? 0));
    }
    for (const [sequence, subject] of published) {
      if (sequence <= (this.#began ?? 0) || !wants(subject) || heard.has(sequence)) continue;
      if (gaps.some(({ from, to }) => from <= sequence && sequence <= to)) continue;
      if (isLatest && (latest.get(subject) ?? 0) > sequence) continue;
      faults.push(`${this.#name} never heard of ${sequence} (${subject})`);
    }
    return faults;
  }

  #take(item: Item<{ n: number }>): void {
    const text = JSON.stringify(item);
    if (this.access.never.some((denied) => text.includes(denied))) this.#leaks.push(text);
    this.#tail.push(
      item.type === "gap"
        ? `gap ${item.reason} ${item.from} ${item.to}`
        : "id" in item
          ? item.id
          : item.type,
    );
    if (this.#tail.length > 6) this.#tail.shift();
    if (item.type === "data") {
      const sequence = sequenceOf(item.id);
      this.records.sequences.push(sequence);
      this.#subjectOf.set(sequence, item.subject);
      this.#last = item.id;
      if (this.#guarantee === "again" && item.redelivery > 0) this.#again.add(sequence);
    } else if (item.type === "gap") {
      const { from, to, reason } = item;
      this.records.gaps.push({ from: sequenceOf(from), to: sequenceOf(to), reason });
    }
  }
}

function sequenceOf(cursor: string): number {
  return Number.parseInt(cursor.split(":").at(-1)!, 10);
}
