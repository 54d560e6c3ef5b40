import { CONSUMER_PREFIX, ownerOf } from "./durable-key.ts";
import type { StreamApi } from "./stream-api.ts";

/** The most durables of a stream, of all gateways. Durables that begin in the same moment may exceed it. */
export interface CensusBounds {
  readonly maxDurables: number;
  /** The most of one owner. Anonymous clients, who share theirs, are none. */
  readonly maxDurablesPerSub: number;
}

interface Listing {
  readonly api: StreamApi;
  readonly sinceMs: number;
  isUnderWay: boolean;
  /** The names of the consumers that are durables. */
  readonly names: Promise<Set<string>>;
}

/** After this long, counted from when a list was asked for, the names are listed again. */
const FRESH_MS = 1000;

/** Knows which durables streams have: all that are made at about the same time share one list of them. */
export class DurableCensus {
  readonly #bounds: CensusBounds;
  readonly #nowMs: () => number;
  /** By stream. */
  readonly #listings = new Map<string, Listing>();
  /** The consumers that are being made: a list may lack them. By stream. */
  readonly #making = new Map<string, Set<string>>();

  /** @param nowMs a monotonic time in milliseconds. */
  constructor(bounds: CensusBounds, nowMs: () => number = () => performance.now()) {
    this.#bounds = bounds;
    this.#nowMs = nowMs;
  }

  /** Makes a durable, if there is room for it. @returns why there is none, or what was made. */
  async make<Made>(
    api: StreamApi,
    stream: string,
    consumer: string,
    make: () => Promise<Made>,
  ): Promise<Made | { readonly full: string }> {
    const names = await this.#namesOf(api, stream);
    const making = this.#makingOf(stream);
    for (const name of making) names.add(name);
    // It doesn't exist, though it may have been listed.
    names.delete(consumer);
    const full = this.#fullBecause(names, consumer);
    if (full !== undefined) return { full };
    // Counts for those that are made meanwhile.
    names.add(consumer);
    making.add(consumer);
    try {
      return await make();
    } catch (thrown) {
      names.delete(consumer);
      throw thrown;
    } finally {
      making.delete(consumer);
    }
  }

  #makingOf(stream: string): Set<string> {
    let making = this.#making.get(stream);
    if (making === undefined) {
      making = new Set();
      this.#making.set(stream, making);
    }
    return making;
  }

  #fullBecause(names: ReadonlySet<string>, consumer: string): string | undefined {
    const { maxDurables, maxDurablesPerSub } = this.#bounds;
    if (names.size >= maxDurables) return `a stream may have at most ${maxDurables} durables`;
    const owner = ownerOf(consumer);
    if (owner === undefined) return undefined;
    let own = 0;
    for (const name of names) if (ownerOf(name) === owner) own++;
    if (own < maxDurablesPerSub) return undefined;
    return `a client may have at most ${maxDurablesPerSub} durables of a stream`;
  }

  async #namesOf(api: StreamApi, stream: string): Promise<Set<string>> {
    let listing = this.#listings.get(stream);
    if (listing === undefined || listing.api !== api || !this.#isFresh(listing)) {
      listing = {
        ...{ api, sinceMs: this.#nowMs(), isUnderWay: true },
        names: listed(api, stream),
      };
      this.#listings.set(stream, listing);
    }
    try {
      return await listing.names;
    } catch (thrown) {
      if (this.#listings.get(stream) === listing) this.#listings.delete(stream);
      throw thrown;
    } finally {
      listing.isUnderWay = false;
    }
  }

  /** Whether a list says enough of now. If JetStream is slow, all wait for the same list. */
  #isFresh({ sinceMs, isUnderWay }: Listing): boolean {
    return isUnderWay || this.#nowMs() - sinceMs <= FRESH_MS;
  }
}

async function listed(api: StreamApi, stream: string): Promise<Set<string>> {
  const names = await api.consumerNames(stream);
  return new Set(names.filter((name) => name.startsWith(CONSUMER_PREFIX)));
}
