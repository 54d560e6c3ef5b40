/**
 * Who can mend an error, in StreamKit's three classes.
 *
 * - `"invalid"`: what was asked for is wrong; asking again changes nothing.
 * - `"transient"`: the outside is in the way (a port in use, NATS away); trying again may work.
 * - `"fatal"`: a promise of this program is broken; it should be restarted.
 */
export type ErrorClass = "invalid" | "transient" | "fatal";

/**
 * An error of Spillway's own.
 *
 * `code` is stable and meant for programs; `message` names the action, the value and the rule,
 * and is meant for people.
 */
export class SpillwayError extends Error {
  override readonly name = "SpillwayError";
  readonly code: string;
  readonly class: ErrorClass;

  constructor(errorClass: ErrorClass, code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.class = errorClass;
    this.code = code;
  }
}

/** The text of anything that was thrown. */
export function reasonOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}
