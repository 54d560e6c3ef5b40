import type { RevocationCheck } from "../access/access.ts";
import {
  type RevocationEntry,
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
import { isObject } from "../protocol/schema.ts";
import type { GatewayReads, NatsSource } from "../source/nats.ts";

/** Which tokens to revoke: exactly one of `jti` and `sub` is set. */
export interface RevokeRequest {
  /** The token of this `jti`. */
  readonly jti?: string | undefined;
  /** All tokens of this `sub`, whoever issued them. */
  readonly sub?: string | undefined;
  /** Tokens that were issued later stay valid. Default: now. */
  readonly issuedBefore?: Date | undefined;
}

/** The longest `jti` or `sub` that can be revoked, in bytes of UTF-8: NATS bounds the length of a subject. */
const MAX_NAME_BYTES = 1024;

/** What the source does for revocations. */
type RevocationStore = Pick<
  NatsSource,
  "wasBucketRead" | "store" | "request" | "status" | "publish"
>;

/** Knows which tokens are revoked, tells all gateways, and hears of it from them. */
export class RevocationControl implements RevocationCheck {
  readonly list: Revocations;
  readonly #config: Pick<Config, "revocationBucket" | "revocationSubject">;
  readonly #clock: Clock;
  #store: RevocationStore | undefined;

  constructor(config: Config, clock: Clock, log: Log) {
    this.#config = config;
    this.#clock = clock;
    this.list = new Revocations({ longestLifeMs: longestLifeMs(config), clock, log });
  }

  /** Whether the bucket was read once, if there is one. */
  get isReady(): boolean {
    return this.#config.revocationBucket === undefined || this.#store?.wasBucketRead === true;
  }

  /** What the source reads for this. */
  get reads(): GatewayReads {
    const { revocationBucket: bucket, revocationSubject: subject } = this.#config;
    return {
      bucket: bucket === undefined ? undefined : { name: bucket, listener: this.list },
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
    const entry = entryOf(request, this.#clock.wallMs());
    // Here it has effect in any case.
    this.list.add(entry);
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

/** Returns the longest life of a token: an issuer may have its own. */
function longestLifeMs({ maxTokenAgeMs, issuers }: Config): number {
  return Math.max(maxTokenAgeMs, ...issuers.map((issuer) => issuer.maxTokenAgeMs ?? 0));
}

function entryOf({ jti, sub, issuedBefore }: RevokeRequest, nowMs: number): RevocationEntry {
  const value = jti ?? sub;
  const isOne = (jti === undefined) !== (sub === undefined);
  const issuedBeforeMs = issuedBefore === undefined ? nowMs : issuedBefore.getTime();
  const fault =
    !isOne || typeof value !== "string" || value === ""
      ? 'exactly one of "jti" and "sub" must be a text'
      : new TextEncoder().encode(value).length > MAX_NAME_BYTES
        ? `"jti" and "sub" may have ${MAX_NAME_BYTES} bytes at most`
        : Number.isNaN(issuedBeforeMs)
          ? '"issuedBefore" is no date'
          : undefined;
  if (fault !== undefined) throw new SpillwayError("REVOCATION_INVALID", `Cannot revoke: ${fault}`);
  return { claim: jti === undefined ? "sub" : "jti", value: value as string, issuedBeforeMs };
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
