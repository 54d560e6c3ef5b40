import type { RefusalCode } from "./server-frame.ts";

/** Why a client's request was refused. */
export interface Refusal {
  readonly code: RefusalCode;
  readonly message: string;
  /** Whether it may be served later, without anything else changed. */
  readonly retryable?: boolean;
}
