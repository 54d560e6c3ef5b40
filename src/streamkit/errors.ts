import { type ErrorClass, reasonOf, SpillwayError } from "../core/ports/errors.ts";

/**
 * An error as StreamKit words it, `Component.method: action failed: cause`. The class and code of
 * a cause that is ours are kept.
 *
 * @param where `Component.method`.
 * @param otherwise the class and code when the cause is not ours.
 */
export function failure(
  where: string,
  action: string,
  cause: unknown,
  otherwise: { readonly class: ErrorClass; readonly code: string },
): SpillwayError {
  const known = cause instanceof SpillwayError ? cause : otherwise;
  const message = `${where}: ${action} failed: ${reasonOf(cause)}`;
  return new SpillwayError(known.class, known.code, message, { cause });
}

/** The error of something that was asked for and is wrong, in the same words. */
export function refusal(
  where: string,
  action: string,
  code: string,
  reason: string,
): SpillwayError {
  return new SpillwayError("invalid", code, `${where}: ${action} failed: ${reason}`);
}

const PREFIX = /^[A-Z]\w*\.\w+: [^:]+ failed: /;

/** The reason of an error, without `Component.method: action failed:`, for people who run a command. */
export function plainReason(error: unknown): string {
  return reasonOf(error).replace(PREFIX, "");
}
