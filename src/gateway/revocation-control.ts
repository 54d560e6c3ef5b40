import type { RevocationCheck } from "../access/access.ts";
import {
  type RevocationEntry,
  type RevokeRequest,
  readRevocationKey,
  revocationKey,
  revocationValue,
} from "../access/revocation-entry.ts";
import { Revocations } from "../access/revocations.ts";
import type { Config } from "../config/config.ts";
import type { Grant } from "../core/access/grant.ts";
import type { Clock } from "../core/ports/clock.ts";
import { reasonOf, SpillwayError } from "../core/ports/errors.ts";
import type { Log } from "../core/ports/log.ts";
import type { RevocationStatus } from "../http/status.ts";
import { isObject } from "../protocol/schema.ts";
import type { GatewayReads, NatsSource } from "../source/nats.ts";

/** The longest `jti` or `sub` that can be revoked, in bytes of UTF-8: NATS bounds the length of a subject. */
const MAX_NAME_BYTES = 1024;

/** What the source does for revocations. */
type RevocationStore = Pick<
  NatsSource,
  "wasBucketRead" | "bucketProblem" | "store" | "status" | "publish"
>;

/** Knows which tokens are revoked, tells all gateways, and hears of it from them. */
export class RevocationControl implements RevocationCheck {
  readonly list: Revocations;
  readonly #config: Pick<Config, "revocationBucket" | "revocationSubject" | "clockToleranceMs">;
  readonly #clock: Clock;
  /** The longest life of a token: for so long, revocations are kept. */
  readonly longestLifeMs: number;
  #store: RevocationStore | undefined;
  /** Called with each entry that is made here. */
  onRevoked: (entry: RevocationEntry) => void = () => {};

  /** @param hasHook whether the host decides who clients are. */
  constructor(config: Config, hasHook: boolean, clock: Clock, log: Log) {
    this.#config = config;
    this.#clock = clock;
    this.longestLifeMs = hasHook ? Number.POSITIVE_INFINITY : longestLifeMs(config);
    this.list = new Revocations({ longestLifeMs: this.longestLifeMs, clock, log });
  }

  /** Whether the bucket was read once, if there is one. */
  get isReady(): boolean {
    return this.#config.revocationBucket === undefined || this.#store?.wasBucketRead === true;
  }

  /** The entries that no other gateway knows: there is neither a bucket nor a subject. */
  get ownEntries(): RevocationEntry[] {
    const { revocationBucket: bucket, revocationSubject: subject } = this.#config;
    return bucket === undefined && subject === undefined ? this.list.entries : [];
  }

  /** The status that `/healthz` shows; `undefined` if there is no bucket. */
  get status(): RevocationStatus | undefined {
    if (this.#config.revocationBucket === undefined) return undefined;
    const problem = this.#store?.bucketProblem;
    return problem === undefined ? {} : { problem };
  }

  /** What the source reads for this. */
  get reads(): GatewayReads {
    const { revocationBucket: bucket, revocationSubject: subject } = this.#config;
    const needs = {
      key: "revocation_bucket",
      lifeMs: this.longestLifeMs,
      otherwise: "afterwards a revoked token may be valid again",
      storage: "file",
    } as const;
    return {
      bucket: bucket === undefined ? undefined : { name: bucket, needs, listener: this.list },
      subject:
        subject === undefined ? undefined : { name: subject, take: (data) => this.#hear(data) },
    };
  }

  /** @param store the source, if it is of NATS. */
  use(store: RevocationStore): void {
    this.#store = store;
  }

  isRevoked(grant: Grant): boolean {
    return this.list.isRevoked(grant);
  }

  /** See `Gateway.revoke`. */
  async revoke(request: RevokeRequest): Promise<void> {
    const entry = this.#entryOf(request);
    // Here it has effect in any case.
    this.list.add(entry);
    this.onRevoked(entry);
    const { revocationBucket: bucket, revocationSubject: subject } = this.#config;
    const key = revocationKey(entry);
    const value = revocationValue(entry);
    try {
      if (bucket !== undefined) await this.#connected().store(key, value);
      if (subject !== undefined) {
        const data = new TextEncoder().encode(messageOf(key, value));
        this.#connected().publish({ subject, data });
      }
    } catch (cause) {
      const reason = reasonOf(cause);
      const message = `The token is revoked on this gateway, but others can't be told: ${reason}`;
      throw new SpillwayError("REVOKE_FAILED", message, { cause });
    }
  }

  stop(): void {
    this.list.stop();
  }

  /** @throws SpillwayError `"REVOCATION_INVALID"` (invalid) */
  #entryOf(request: RevokeRequest): RevocationEntry {
    const nowMs = this.#clock.wallMs();
    const fault = faultOf(request, nowMs + this.#config.clockToleranceMs);
    if (fault !== undefined) {
      throw new SpillwayError("REVOCATION_INVALID", `Cannot revoke: ${fault}`);
    }
    const { jti, sub = "", issuedBefore } = request;
    const issuedBeforeMs = issuedBefore?.getTime() ?? nowMs;
    return jti === undefined
      ? { claim: "sub", value: sub, issuedBeforeMs }
      : { claim: "jti", value: jti, issuedBeforeMs };
  }

  #connected(): RevocationStore {
    const store = this.#store;
    if (store?.status.state !== "connected") throw new Error("there is no connection to NATS");
    return store;
  }

  /** Takes a message of the subject: an object with the key, and the time. */
  #hear(data: Uint8Array): void {
    const key = keyIn(data);
    this.list.changed(key, data, this.#clock.wallMs());
  }
}

/**
 * Returns the longest life of a token: an issuer may have its own, and a token counts a little longer than it says. Only
 * JSON Web Tokens must end.
 */
export function longestLifeMs(config: Config): number {
  const { maxTokenAgeMs, issuers = [], clockToleranceMs, tokensFile, authorizerSubject } = config;
  if (tokensFile !== undefined || authorizerSubject !== undefined) return Number.POSITIVE_INFINITY;
  const lives = issuers.map((issuer) => issuer.maxTokenAgeMs ?? maxTokenAgeMs);
  return Math.max(maxTokenAgeMs, ...lives) + clockToleranceMs;
}

/** Returns what is wrong with a request to revoke tokens. */
function faultOf({ jti, sub, issuedBefore }: RevokeRequest, latestMs: number): string | undefined {
  const isOne = (jti === undefined) !== (sub === undefined);
  const value = jti ?? sub;
  if (!isOne || typeof value !== "string" || value === "") {
    return 'exactly one of "jti" and "sub" must be a text';
  }
  if (new TextEncoder().encode(value).length > MAX_NAME_BYTES) {
    return `"jti" and "sub" may have ${MAX_NAME_BYTES} bytes at most`;
  }
  if (issuedBefore === undefined) return undefined;
  if (Number.isNaN(issuedBefore.getTime())) return "the time is no date";
  if (issuedBefore.getTime() > latestMs) {
    return `the time must not be in the future, but is ${issuedBefore.toISOString()}`;
  }
  return undefined;
}

/** Writes a message for the subject: `{"key": "sub.…", "issued_before": …}`. */
function messageOf(key: string, value: string): string {
  return JSON.stringify({ key, ...(JSON.parse(value) as object) });
}

/** Returns the key in a message of the subject; `""` if it has none. */
function keyIn(data: Uint8Array): string {
  try {
    const message: unknown = JSON.parse(new TextDecoder().decode(data));
    const key = isObject(message) ? message.key : undefined;
    return typeof key === "string" && readRevocationKey(key) !== undefined ? key : "";
  } catch {
    return "";
  }
}
