import type { VerificationKey } from "./verification-keys.ts";

/** Where the keys of an issuer come from. */
export interface KeySource {
  /**
   * Finds the keys that may have signed a token. Never rejects.
   *
   * @returns one or more; `"unknown"` if the issuer has no such key; `"unavailable"` if that isn't known now.
   */
  find(
    alg: string,
    kid: string | undefined,
  ): Promise<readonly VerificationKey[] | "unknown" | "unavailable">;
  /** Whether tokens that a key has proved still count: `VerificationKey.id` is among the keys, or they aren't known now. */
  accepts(id: string): boolean;
  /**
   * Begins to follow the file or the URL. Called again after a stop.
   *
   * @param changed called when `accepts` may have another answer for some keys.
   */
  start(changed: () => void): void;
  /** Ends what `start` began. May be called twice. */
  stop(): void;
}
