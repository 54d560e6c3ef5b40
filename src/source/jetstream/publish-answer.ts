import type { Published, PublishFailure } from "../../core/ports/source.ts";
import { isObject } from "../../protocol/schema.ts";

/** JSStreamMessageExceedsMaximumErr of nats-server's `errors.json`. */
const MESSAGE_TOO_LARGE = 10054;
const MAX_TEXT = 500;
/** The longest name of a stream (JSMaxNameLen of nats-server). */
const MAX_NAME = 255;
const decoder = new TextDecoder();

/**
 * Reads what JetStream answers to a published message (ADR-22).
 *
 * @returns `undefined` if it is no such answer: a subscriber may have sent it.
 */
export function readPublishAnswer(data: Uint8Array): Published | PublishFailure | undefined {
  let answer: unknown;
  try {
    answer = JSON.parse(decoder.decode(data));
  } catch {
    return undefined;
  }
  if (!isObject(answer)) return undefined;
  const { error, stream, seq, duplicate } = answer;
  if (isObject(error)) return readError(error);
  if (
    typeof stream !== "string" ||
    stream.length > MAX_NAME ||
    !Number.isSafeInteger(seq) ||
    (seq as number) < 1
  ) {
    return undefined;
  }
  return {
    kind: "published",
    stored: { stream, sequence: seq as number },
    isDuplicate: duplicate === true,
  };
}

function readError({
  code,
  err_code: errorCode,
  description,
}: Readonly<Record<string, unknown>>): PublishFailure | undefined {
  if (typeof code !== "number") return undefined;
  const why = typeof description === "string" ? description.slice(0, MAX_TEXT) : `error ${code}`;
  const message = `the stream refuses the message: ${why}`;
  if (errorCode === MESSAGE_TOO_LARGE) {
    return { kind: "failed", code: "too_large", message, retryable: false };
  }
  // A full stream may have room later; a sealed one never takes anything.
  return { kind: "failed", code: "unavailable", message, retryable: code >= 500 };
}
