/** The explanation of each code that an error, a frame or a close has: for `spillway explain`, and for `docs/errors/`. */
import { ERRORS } from "../core/ports/errors.ts";
import { CLIENT_ERRORS } from "../protocol/client-errors.ts";
import { CLOSE } from "../protocol/close-codes.ts";
import { ERROR_CODES, type ErrorCode } from "../protocol/error-codes.ts";

/** The place where a code appears. */
export type CodeKind = "library" | "frame" | "client" | "close";

/** One reason for a code, and what follows from it. */
interface Explanation {
  /** The reason of a close frame, where one code has several. */
  readonly reason?: string;
  readonly why: string;
  /** Says what `spillway/client` does by itself. */
  readonly client?: string;
  readonly advice: string;
}

/** A code with its explanations. */
export interface ExplainedCode {
  readonly code: string;
  readonly kind: CodeKind;
  readonly title: string;
  /** A sentence that says where the code appears. */
  readonly place: string;
  readonly explanations: readonly Explanation[];
}

const CLASSES = {
  invalid: "its class is `invalid`: a retry fails again until somebody corrects the cause",
  transient: "its class is `transient`: a retry may succeed",
  fatal: "its class is `fatal`: the program is broken",
} as const;

const RETRIES = "connects again by itself, and resumes after the last message that it has";

/** Every code, in the order of `docs/errors.md`. No two codes differ only in upper and lower case. */
export function explainedCodes(): readonly ExplainedCode[] {
  return [...libraryCodes(), ...frameCodes(), ...clientCodes(), ...closeCodes()];
}

function libraryCodes(): ExplainedCode[] {
  return Object.entries(ERRORS).map(([code, { class: errorClass, meaning, remedy }]) => ({
    ...{ code, kind: "library", title: code },
    place: `The \`code\` of a \`SpillwayError\` of the gateway; ${CLASSES[errorClass]}.`,
    explanations: [{ why: meaning, advice: remedy }],
  }));
}

function frameCodes(): ExplainedCode[] {
  return Object.entries(ERROR_CODES).map(([code, { why, advice }]) => ({
    ...{ code, kind: "frame", title: code },
    place:
      "The `code` of an `error` frame: the gateway refuses a request of a client, and the connection stays open.",
    explanations: [{ why, client: afterRefusal(code as ErrorCode), advice }],
  }));
}

/** Says what `spillway/client` does after an `error` frame. */
function afterRefusal(code: ErrorCode): string {
  switch (code) {
    case "unauthenticated":
      return "Its `error` event says so, and it asks your function `token` for another token. Without `token`, its connection closes with this error.";
    case "no_responders":
    case "timeout":
    case "too_large":
    case "too_many_requests":
      return "`publish` and `request` reject with a `SpillwayError` with this `code`.";
    default:
      return "If `retryable` is true, a subscription is asked for again by itself. Otherwise its loop throws a `SpillwayError` with this `code`. `publish` and `request` reject with it in both cases, and presence has it in its state.";
  }
}

function clientCodes(): ExplainedCode[] {
  return Object.entries(CLIENT_ERRORS).map(([code, { why, advice }]) => ({
    ...{ code, kind: "client", title: code },
    place: "The `code` of a `SpillwayError` of `spillway/client`, which no gateway reports.",
    explanations: [{ why, advice }],
  }));
}

function closeCodes(): ExplainedCode[] {
  const codes = new Set(Object.values(CLOSE).map(({ code }) => code));
  return [...codes].map((code) => {
    const reasons = Object.values(CLOSE).filter((one) => one.code === code);
    return {
      ...{ code: String(code), kind: "close" },
      title: `${code} (${reasons.map(({ reason }) => reason).join("; ")})`,
      place:
        "The code of a close frame, of `disconnect` before it, and of `closeCode` of an error: the gateway ends the connection.",
      explanations: reasons.map(({ reason, reconnect, why, advice }) => ({
        ...(reasons.length > 1 && { reason }),
        ...{ why, client: afterClose(code, reconnect), advice },
      })),
    };
  });
}

/** Says what `spillway/client` does after a close code. */
function afterClose(code: number, reconnects: boolean): string {
  if (code === CLOSE.forbidden.code) return `It waits 30 to 60 s, then ${RETRIES}.`;
  if (code === CLOSE.token_expired.code) return `It gets a new token, ${RETRIES}.`;
  if (reconnects) return `It ${RETRIES}.`;
  return `It doesn't connect again. The connection's state is \`closed\`, and its loops throw the error \`refused\` with \`closeCode\` ${code}.`;
}
