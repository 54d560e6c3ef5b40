import type { LocalErrorCode } from "../protocol/client-errors.ts";
import type { ErrorCode } from "../protocol/error-codes.ts";
import type { FrameOf } from "../protocol/schema.ts";
import type { SERVER_FRAMES } from "../protocol/server-frames.ts";

/** The reason of an error, for programs: a code of the gateway's `error` frames, or one of the client's own. */
export type ClientErrorCode = ErrorCode | LocalErrorCode;

interface ErrorDetails {
  /** Whether the same may succeed later. Default: `false`. */
  readonly retryable?: boolean;
  /** The code of the close frame, if the connection was closed. */
  readonly closeCode?: number | undefined;
  readonly cause?: unknown;
}

/** Every error of this client. */
export class SpillwayError extends Error {
  override readonly name: string = "SpillwayError";
  declare readonly code: ClientErrorCode;
  declare readonly retryable: boolean;
  declare readonly closeCode: number | undefined;
  /** The page in the package that explains this code. */
  declare readonly help: string;

  constructor(code: ClientErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details);
    this.code = code;
    this.retryable = details.retryable ?? false;
    this.closeCode = details.closeCode;
    this.help = `node_modules/spillway/docs/errors/${code}.md`;
  }
}

/** Returns the error that a frame of the gateway reports. @param before comes before its message. */
export function gatewayError(
  { code, message, retryable }: FrameOf<typeof SERVER_FRAMES.error>["error"],
  before = "",
): SpillwayError {
  return new SpillwayError(code, before + message, { retryable });
}

/** Returns the error for a request or an iteration that its owner has ended. */
export function closedError(what: string): SpillwayError {
  return new SpillwayError("closed", `${what} is closed`);
}
