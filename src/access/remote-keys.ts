import type { Clock } from "../core/ports/clock.ts";
import { reasonOf } from "../core/ports/errors.ts";
import type { Log } from "../core/ports/log.ts";
import { withDeadline } from "../core/timing/deadline.ts";
import { isSymmetric } from "./algorithms.ts";
import type { KeySource } from "./key-source.ts";
import { type VerificationKey, VerificationKeys } from "./verification-keys.ts";

/** How long a request may take, its body included. */
const TIMEOUT_MS = 5000;
/** The largest key set, decompressed. */
const MAX_BYTES = 256 * 1024;
/** Keys that are older than this are loaded again, while they are still used. */
const REFRESH_MS = 10 * 60_000;
/** Minimum time between the beginnings of two requests, whatever clients send. */
const COOLDOWN_MS = 10_000;
/** If they can't be loaded again, keys are used for this long. */
const MAX_AGE_MS = 24 * 3_600_000;

export interface RemoteKeysOptions {
  /** The URL of a JSON Web Key Set (RFC 7517 §5): `https://`, or `http://` on this machine. */
  readonly url: string;
  readonly algorithms: readonly string[];
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * The keys of an issuer, at a URL. One request is under way at a time, and one begins in ten seconds at most: for a key
 * that isn't known, or because the keys are older than ten minutes. While the URL can't be reached, the last keys count,
 * for a day at most.
 */
export class RemoteKeys implements KeySource {
  readonly #options: RemoteKeysOptions;
  readonly #algorithms: readonly string[];
  #stopped = new AbortController();
  #keys: VerificationKeys | undefined;
  #loadedAtMs = Number.NEGATIVE_INFINITY;
  #triedAtMs = Number.NEGATIVE_INFINITY;
  #hasFailed = false;
  #loading: Promise<void> | undefined;
  #changed: () => void = () => {};

  constructor(options: RemoteKeysOptions) {
    this.#options = options;
    // A secret has no place at a URL.
    this.#algorithms = options.algorithms.filter((name) => !isSymmetric(name));
  }

  async find(
    alg: string,
    kid: string | undefined,
  ): Promise<readonly VerificationKey[] | "unknown" | "unavailable"> {
    if (this.#ageMs() > REFRESH_MS) {
      const loading = this.load();
      if (this.#usable() === undefined) await loading;
    }
    const found = this.#usable()?.find(alg, kid) ?? [];
    if (found.length > 0) return found;
    await this.load();
    const keys = this.#usable();
    if (keys === undefined) return "unavailable";
    const after = keys.find(alg, kid);
    if (after.length > 0) return after;
    return this.#hasFailed ? "unavailable" : "unknown";
  }

  /** Loads the keys, unless it was tried a moment ago. Never rejects. */
  load(): Promise<void> {
    if (this.#loading !== undefined) return this.#loading;
    if (this.#stopped.signal.aborted) return Promise.resolve();
    const nowMs = this.#options.clock.nowMs();
    if (nowMs - this.#triedAtMs < COOLDOWN_MS) return Promise.resolve();
    this.#triedAtMs = nowMs;
    const loading = this.#load().finally(() => {
      if (this.#loading === loading) this.#loading = undefined;
    });
    this.#loading = loading;
    return loading;
  }

  accepts(id: string): boolean {
    return this.#usable()?.ids.has(id) ?? true;
  }

  /** Begins to load the keys. */
  start(changed: () => void): void {
    this.#changed = changed;
    if (this.#stopped.signal.aborted) this.#stopped = new AbortController();
    this.#triedAtMs = Number.NEGATIVE_INFINITY;
    void this.load();
  }

  /** Ends a request that is under way. */
  stop(): void {
    this.#stopped.abort();
    this.#loading = undefined;
  }

  #ageMs(): number {
    return this.#options.clock.nowMs() - this.#loadedAtMs;
  }

  #usable(): VerificationKeys | undefined {
    return this.#ageMs() > MAX_AGE_MS ? undefined : this.#keys;
  }

  async #load(): Promise<void> {
    const { url, clock, log } = this.#options;
    const { signal: stopped } = this.#stopped;
    const { origin, pathname } = new URL(url);
    const properties = { url: `${origin}${pathname}` };
    try {
      const text = await this.#fetch(stopped);
      if (!text.trimStart().startsWith("{")) throw new Error("it isn't a JSON Web Key Set");
      const keys = await VerificationKeys.parseSet(text, this.#algorithms);
      // After a stop, and perhaps another start, the result comes too late.
      if (stopped.aborted) return;
      const before = this.#keys;
      this.#keys = keys;
      this.#loadedAtMs = clock.nowMs();
      // Clients may have shown their tokens when the configuration named other keys.
      if (before === undefined || [...before.ids].some((id) => !keys.ids.has(id))) this.#changed();
      if (this.#hasFailed) {
        log.info("The keys at {url} are loaded again", { event: "keys_loaded", ...properties });
      }
      this.#hasFailed = false;
    } catch (error) {
      if (stopped.aborted) return;
      this.#hasFailed = true;
      const failed = { event: "keys_failed", ...properties, reason: reasonOf(error) };
      log.warn("Cannot load the keys at {url}: {reason}", failed);
    }
  }

  async #fetch(stopped: AbortSignal): Promise<string> {
    const ended = new AbortController();
    const signal = AbortSignal.any([ended.signal, stopped]);
    try {
      return await withDeadline(this.#options.clock, TIMEOUT_MS, async () => {
        // The keys come from the configured place and no other, so a redirect isn't followed.
        const response = await fetch(this.#options.url, {
          headers: { Accept: "application/jwk-set+json, application/json" },
          redirect: "manual",
          signal,
        });
        if (response.status !== 200) {
          throw new Error(`the answer has the status ${response.status}`);
        }
        return await boundedText(response);
      });
    } finally {
      // Also ends a body that nobody reads.
      ended.abort();
    }
  }
}

/** @throws if a body is too long or isn't UTF-8. */
async function boundedText({ body }: Response): Promise<string> {
  if (body === null) return "";
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let text = "";
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.length;
    if (bytes > MAX_BYTES) throw new Error(`the answer has more than ${MAX_BYTES} bytes`);
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}
