import { type ErrorCode, reasonOf, SpillwayError } from "../core/ports/errors.ts";

/**
 * Returns an error in StreamKit's words: `Component.method: action failed: cause`. If the cause is a
 * {@linkcode SpillwayError}, its code is kept.
 *
 * @param where `Component.method`.
 * @param otherwise the code for any other cause.
 */
export function failure(
  where: string,
  action: string,
  cause: unknown,
  otherwise: ErrorCode,
): SpillwayError {
  const code = cause instanceof SpillwayError ? cause.code : otherwise;
  return new SpillwayError(code, `${where}: ${action} failed: ${reasonOf(cause)}`, { cause });
}

/** Returns the error for a wrong request, in the same words. */
export function refusal(
  where: string,
  action: string,
  code: ErrorCode,
  reason: string,
): SpillwayError {
  return new SpillwayError(code, `${where}: ${action} failed: ${reason}`);
}
