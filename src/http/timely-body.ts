import type { Context } from "hono";
import type { Clock } from "../core/ports/clock.ts";
import { problem } from "./problem.ts";

export interface BodyLimits {
  readonly maxBytes: number;
  /** How long a body may take to arrive; then it is answered with 408. */
  readonly timeoutMs: number;
  /** Names the body in the answer 413: "A message". */
  readonly name: string;
}

/** The reason for which a body is not there, and the answer to its request. */
export interface BodyFault {
  readonly kind: "too_large" | "late" | "incomplete";
  readonly answer: Response;
}

/** The rest of the body isn't read, so no request can follow on the same connection. */
export const UNREAD = { Connection: "close" };

/** Returns the length that a request says its body has; `undefined`: the body comes in chunks. */
export function announcedLength(c: Context): number | undefined {
  const { headers, body } = c.req.raw;
  const length = headers.get("content-length");
  if (headers.has("transfer-encoding")) return undefined;
  if (length !== null) return Number(length);
  return body === null ? 0 : undefined;
}

/** Reads the body, unless it is too long, or doesn't arrive in time or as a whole. */
export async function readBody(
  c: Context,
  { maxBytes, timeoutMs, name }: BodyLimits,
  clock: Pick<Clock, "after">,
): Promise<Uint8Array | BodyFault> {
  if ((announcedLength(c) ?? 0) > maxBytes) return tooLong();
  const { promise: late, resolve } = Promise.withResolvers<"late">();
  const cancel = clock.after(timeoutMs, () => resolve("late"));
  const reader = c.req.raw.body?.getReader();
  const bytes = new GrowingBytes();
  try {
    for (;;) {
      const read = await Promise.race([reader?.read(), late]);
      if (read === "late") return fault("late", 408, "The body did not arrive in time", UNREAD);
      if (read?.value === undefined) return bytes.all;
      if (bytes.length + read.value.length > maxBytes) return tooLong();
      bytes.add(read.value);
    }
  } catch {
    return fault("incomplete", 400, "The body ended before it was complete");
  } finally {
    cancel();
  }

  function tooLong(): BodyFault {
    return fault("too_large", 413, `${name} may have ${maxBytes} bytes at most`, UNREAD);
  }

  function fault(
    kind: BodyFault["kind"],
    status: 400 | 408 | 413,
    detail: string,
    headers?: Record<string, string>,
  ): BodyFault {
    return { kind, answer: problem(c, status, detail, headers) };
  }
}

/** Joins chunks as they come: kept apart, chunks of one byte would take hundreds of times their length. */
class GrowingBytes {
  #bytes = new Uint8Array();
  length = 0;

  get all(): Uint8Array {
    return this.#bytes.subarray(0, this.length);
  }

  add(chunk: Uint8Array): void {
    const length = this.length + chunk.length;
    if (length > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(length, 2 * this.#bytes.length));
      grown.set(this.all);
      this.#bytes = grown;
    }
    this.#bytes.set(chunk, this.length);
    this.length = length;
  }
}
