import { SpillwayError } from "./errors.ts";
import type { Platform } from "./platform.ts";

/**
 * The reason for which a token is wanted.
 *
 * - `"connect"`: for a new connection.
 * - `"expiring"`: the token of this connection expires soon.
 */
export type TokenReason = "connect" | "expiring";

/**
 * A token, or a function that fetches one. If it throws, or takes more than 10 seconds, the client tries again after its
 * back-off; if it throws a {@linkcode SpillwayError} that is not `retryable`, the connection closes for good.
 */
export type TokenOption = string | ((why: TokenReason) => string | Promise<string>);

/** A token that expires within this time is not used to connect. */
const LEAST_LIFE_MS = 30_000;
/** The longest wait for the function, in milliseconds: less than an attempt to connect may take. */
const MOST_WAIT_MS = 10_000;

/** Fetches tokens, one at a time, and keeps one for as long as it is known to be valid. */
export interface TokenSource {
  /** Whether there is one token, and no other after it. */
  readonly isFixed: boolean;
  /** Returns a token; the kept one if it expires late enough. */
  get(why: TokenReason): Promise<string | undefined>;
  /** Drops the kept token: it was refused, or expires soon. */
  drop(): void;
  /** No token is needed any more. */
  close(): void;
}

export function tokenSource(
  option: TokenOption | undefined,
  { now, timer }: Pick<Platform, "now" | "timer">,
): TokenSource {
  let kept: string | undefined;
  let fetching: Promise<string> | undefined;
  let cancel = (): void => {};

  const fetch = async (make: Exclude<TokenOption, string>, why: TokenReason): Promise<string> => {
    const late = new Promise<never>((_, reject) => {
      cancel = timer(MOST_WAIT_MS, () => reject(new Error("no token came within 10 s")));
    });
    try {
      return await Promise.race([make(why), late]);
    } catch (cause) {
      if (cause instanceof SpillwayError) throw cause;
      throw new SpillwayError("token", `The function "token" failed: ${cause}`, {
        retryable: true,
        cause,
      });
    } finally {
      cancel();
      fetching = undefined;
    }
  };

  return {
    isFixed: typeof option === "string",
    async get(why) {
      if (typeof option !== "function") return option;
      if (kept !== undefined && expiryOf(kept) - now() > LEAST_LIFE_MS) return kept;
      fetching ??= fetch(option, why);
      kept = await fetching;
      return kept;
    },
    drop() {
      kept = undefined;
    },
    close: () => cancel(),
  };
}

/** Returns when a token expires, in Unix milliseconds; one that doesn't say so is fetched anew each time. */
function expiryOf(token: string): number {
  try {
    const claims = token.split(".")[1]!.replaceAll("-", "+").replaceAll("_", "/");
    return JSON.parse(atob(claims)).exp * 1000;
  } catch {
    return 0;
  }
}
