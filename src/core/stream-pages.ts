import type { Envelope, EnvelopeEncoder } from "./envelope.ts";
import type { Meter } from "./meter.ts";
import type { SourceMessage, StreamHistory, StreamPage, StreamQuery } from "./source.ts";

/** A page of a stream, ready for clients. */
export interface EncodedPage {
  readonly envelopes: readonly Envelope[];
  readonly end: boolean;
  readonly first: number;
  readonly last: number;
  readonly sparse: boolean;
}

interface CachedPage {
  readonly after: number;
  readonly upTo: number;
  readonly page: EncodedPage;
  readonly bytes: number;
}

/** Pages are asked for by clients that come back together, at nearly the same place. */
const CACHE_BYTES = 16 * 1024 * 1024;

/** Reads what streams have kept, each page once for all that ask for it at about the same time. */
export class StreamPages {
  readonly #history: StreamHistory;
  readonly #encoder: EnvelopeEncoder;
  readonly #wallMs: () => number;
  readonly #meter: Meter;
  /** By query, those that were read last; the oldest one first. */
  readonly #cached = new Map<string, CachedPage[]>();
  readonly #under = new Map<string, Promise<EncodedPage | undefined>>();
  #bytes = 0;

  constructor(
    history: StreamHistory,
    encoder: EnvelopeEncoder,
    wallMs: () => number,
    meter: Meter,
  ) {
    this.#meter = meter;
    this.#history = history;
    this.#encoder = encoder;
    this.#wallMs = wallMs;
  }

  get history(): StreamHistory {
    return this.#history;
  }

  /** The messages behind a sequence, at least one unless there is none; see {@linkcode StreamHistory.read}. */
  async read(query: StreamQuery, after: number): Promise<EncodedPage | undefined> {
    const key = `${query.origin} ${query.subjects.join(" ")}`;
    const cached = this.#cached.get(key)?.find((one) => one.after <= after && after < one.upTo);
    if (cached !== undefined) {
      const { page } = cached;
      return { ...page, envelopes: page.envelopes.filter(({ sequence }) => sequence > after) };
    }
    const where = `${key} ${after}`;
    let reading = this.#under.get(where);
    if (reading === undefined) {
      reading = this.#read(key, query, after).finally(() => this.#under.delete(where));
      this.#under.set(where, reading);
    }
    return await reading;
  }

  encode({ messages, ...rest }: StreamPage): EncodedPage {
    const wallMs = this.#wallMs();
    this.#meter.messagesReplayed += messages.length;
    const encode = (message: SourceMessage): Envelope =>
      this.#encoder.encode(
        message,
        { ...message.position!, serial: 0 },
        message.timestampMs ?? wallMs,
      );
    return { ...rest, envelopes: messages.map(encode) };
  }

  async #read(key: string, query: StreamQuery, after: number): Promise<EncodedPage | undefined> {
    const read = await this.#history.read(query, after);
    if (read === undefined) return undefined;
    const page = this.encode(read);
    // What stands behind the last page changes at any moment.
    if (!page.end) this.#keep(key, after, page);
    return page;
  }

  #keep(key: string, after: number, page: EncodedPage): void {
    const upTo = page.envelopes.at(-1)?.sequence ?? after;
    const bytes = page.envelopes.reduce((sum, { byteLength }) => sum + byteLength, 0);
    const pages = this.#cached.get(key) ?? [];
    pages.push({ after, upTo, page, bytes });
    // A query that was asked last goes last.
    this.#cached.delete(key);
    this.#cached.set(key, pages);
    this.#bytes += bytes;
    while (this.#bytes > CACHE_BYTES) this.#dropOldest();
  }

  #dropOldest(): void {
    const [key, pages] = [...this.#cached][0]!;
    this.#bytes -= pages.shift()?.bytes ?? 0;
    if (pages.length === 0) this.#cached.delete(key);
  }
}
