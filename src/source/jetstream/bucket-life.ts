import type { Log } from "../../core/ports/log.ts";

/** The gateway's needs of a bucket. */
export interface BucketNeeds {
  /** The configuration's key that names the bucket. */
  readonly key: string;
  /** The least time that an entry must last; `Infinity`: for ever. */
  readonly lifeMs: number;
  /** A clause that says what happens if entries end sooner. */
  readonly otherwise: string;
  /** The storage that keeps it best. */
  readonly storage: "file" | "memory";
}

const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;

/** Compares how long a bucket keeps an entry with how long the gateway needs it. */
export class BucketLife {
  readonly #name: string;
  readonly #needs: BucketNeeds;
  readonly #log: Log;
  #problem: string | undefined;

  constructor(name: string, needs: BucketNeeds, log: Log) {
    this.#name = name;
    this.#needs = needs;
    this.#log = log;
  }

  /** The reason why entries end too soon, in words for people. */
  get problem(): string | undefined {
    return this.#problem;
  }

  /** A sentence that says what to do if there is no such bucket. */
  get howToMake(): string {
    const { key, lifeMs, storage } = this.#needs;
    const ttl = Number.isFinite(lifeMs) ? ` --ttl ${option(lifeMs)}` : "";
    const command = `nats kv add ${this.#name} --history 1${ttl} --storage ${storage}`;
    return `${key} names this bucket, and this command makes it: ${command}`;
  }

  /**
   * Logs if it isn't long enough.
   *
   * @param maxAgeMs how long the bucket keeps an entry; 0: for ever.
   * @returns whether it is long enough.
   */
  check(maxAgeMs: number): boolean {
    const { key, lifeMs, otherwise } = this.#needs;
    if (maxAgeMs === 0 || maxAgeMs >= lifeMs) {
      this.#problem = undefined;
      return true;
    }
    const [ttl, needed] = [shown(maxAgeMs), shown(lifeMs)];
    const command = `nats stream edit KV_${this.#name} --max-age ${option(lifeMs)}`;
    const problem = `bucket ${this.#name} of ${key} keeps an entry for ${ttl}, but it must last ${needed}: ${otherwise}`;
    if (problem !== this.#problem) {
      this.#log.warn(
        "The bucket {bucket} of {key} keeps an entry for {ttl}, but it must last {needed}: {otherwise}. This command mends it: {command}",
        {
          event: "bucket_ttl_short",
          ...{ bucket: this.#name, key, ttl, needed, otherwise, command },
        },
      );
    }
    this.#problem = problem;
    return false;
  }
}

function shown(ms: number): string {
  return Number.isFinite(ms) ? `${ms / SECOND_MS} s` : "for ever";
}

/** Writes a duration as the `nats` command reads it, rounded up to whole minutes or hours. */
function option(ms: number): string {
  if (!Number.isFinite(ms)) return "0s";
  return ms > HOUR_MS ? `${Math.ceil(ms / HOUR_MS)}h` : `${Math.ceil(ms / MINUTE_MS)}m`;
}
