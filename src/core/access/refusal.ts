import type { RefusalCode } from "../../protocol/error-codes.ts";

/** Why a client's request was refused. */
export interface Refusal {
  readonly code: RefusalCode;
  readonly message: string;
  /** Whether the same request may be served later. */
  readonly retryable?: boolean;
}
