import type { Grant } from "../core/access/grant.ts";
import type { Cancel, Clock } from "../core/ports/clock.ts";
import type { Log } from "../core/ports/log.ts";
import { LogLimit } from "../core/timing/log-limit.ts";
import { type RevocationEntry, readIssuedBefore, readRevocationKey } from "./revocation-entry.ts";

interface RevocationsOptions {
  /**
   * The longest life of a token, in milliseconds; `Infinity`: a token may never expire. An entry is forgotten when that
   * much time has passed since its `issued_before`.
   */
  readonly longestLifeMs: number;
  readonly clock: Clock;
  readonly log: Log;
}

/** Changes within this time are one. */
const TOGETHER_MS = 20;
/** With fewer entries than these, old ones are not looked for. */
const FEW_ENTRIES = 1024;
/** The most entries: they take about 200 MB. */
const MAX_ENTRIES = 1_000_000;
/** Minimum time between two log lines of a kind. */
const INTERVAL_MS = 10_000;

/** The tokens that are revoked. Keeps each entry until every token that it revokes has expired. */
export class Revocations {
  /** Called soon after entries were added. */
  onRevoked: () => void = () => {};
  readonly #options: RevocationsOptions;
  readonly #limit: LogLimit<"key" | "full">;
  /** By claim and value, `issued_before` in Unix milliseconds. */
  readonly #entries = new Map<string, number>();
  /** The number of entries at which old ones are looked for. */
  #sweepAt = FEW_ENTRIES;
  #cancel: Cancel | undefined;

  constructor(options: RevocationsOptions) {
    this.#options = options;
    this.#limit = new LogLimit(options.clock, INTERVAL_MS);
  }

  get size(): number {
    return this.#entries.size;
  }

  /** All entries, the oldest first. */
  get entries(): RevocationEntry[] {
    return Array.from(this.#entries, ([name, issuedBeforeMs]) => {
      const dot = name.indexOf(".");
      const claim = name.slice(0, dot) as RevocationEntry["claim"];
      return { claim, value: name.slice(dot + 1), issuedBeforeMs };
    });
  }

  /** Whether the token of a grant is revoked. */
  isRevoked({ terms: { principal, token } }: Grant): boolean {
    if (token === undefined || this.#entries.size === 0) return false;
    const { id, issuedAtMs } = token;
    return (
      this.#isRevoked({ claim: "sub", value: principal.sub }, issuedAtMs) ||
      (id !== undefined && this.#isRevoked({ claim: "jti", value: id }, issuedAtMs))
    );
  }

  /** Adds an entry. Of two for the same name, the one with the later time counts. */
  add(entry: RevocationEntry): void {
    this.#add(nameOf(entry), entry.issuedBeforeMs);
  }

  /**
   * Takes what was written under a key.
   *
   * @param data the value; `undefined` if the key was deleted.
   * @param madeMs when that was, in Unix milliseconds.
   */
  changed(key: string, data: Uint8Array | undefined, madeMs: number): void {
    const named = readRevocationKey(key);
    if (named === undefined) {
      const others = this.#limit.othersBefore("key");
      if (others === undefined) return;
      const properties = { event: "revocation_unreadable", key: key.slice(0, 200), others };
      this.#options.log.warn(
        'A revocation has the key {key}, which is neither "jti." nor "sub." with a name in base64url: it has no effect',
        properties,
      );
      return;
    }
    if (data === undefined) this.#entries.delete(nameOf(named));
    else this.#add(nameOf(named), readIssuedBefore(data, madeMs));
  }

  /** Cancels the timer. */
  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }

  #isRevoked(named: Pick<RevocationEntry, "claim" | "value">, issuedAtMs: number): boolean {
    return issuedAtMs < (this.#entries.get(nameOf(named)) ?? Number.NEGATIVE_INFINITY);
  }

  #add(name: string, issuedBeforeMs: number): void {
    const { clock } = this.#options;
    if (this.#isOld(issuedBeforeMs)) return;
    const before = this.#entries.get(name) ?? Number.NEGATIVE_INFINITY;
    if (before >= issuedBeforeMs) return;
    // The newest one is the last one.
    this.#entries.delete(name);
    this.#entries.set(name, issuedBeforeMs);
    if (this.#entries.size >= this.#sweepAt) this.#sweep();
    if (this.#entries.size > MAX_ENTRIES) this.#forgetFirst();
    this.#cancel ??= clock.after(TOGETHER_MS, () => {
      this.#cancel = undefined;
      this.onRevoked();
    });
  }

  /** Looks for old entries when there are twice as many as after the last time. */
  #sweep(): void {
    for (const [name, issuedBeforeMs] of this.#entries) {
      if (this.#isOld(issuedBeforeMs)) this.#entries.delete(name);
    }
    this.#sweepAt = Math.max(FEW_ENTRIES, 2 * this.#entries.size);
  }

  #forgetFirst(): void {
    for (const name of this.#entries.keys()) {
      this.#entries.delete(name);
      break;
    }
    const others = this.#limit.othersBefore("full");
    if (others === undefined) return;
    this.#options.log.error(
      "There are more than {most} revocations, so the oldest ones are forgotten: their tokens count again",
      { event: "revocations_full", most: MAX_ENTRIES, others },
    );
  }

  /** Whether every token that an entry revokes has expired. */
  #isOld(issuedBeforeMs: number): boolean {
    const { clock, longestLifeMs } = this.#options;
    return issuedBeforeMs + longestLifeMs < clock.wallMs();
  }
}

function nameOf({ claim, value }: Pick<RevocationEntry, "claim" | "value">): string {
  return `${claim}.${value}`;
}
