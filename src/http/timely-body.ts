import type { Context, MiddlewareHandler } from "hono";
import { bodyLimit } from "hono/body-limit";
import type { Clock } from "../core/ports/clock.ts";
import { problem } from "./problem.ts";

export interface BodyLimits {
  readonly maxBytes: number;
  /** How long a body may take to arrive; then it is answered with 408. */
  readonly timeoutMs: number;
  /** What is too long, for the answer 413: "A message". */
  readonly name: string;
}

/** Requests whose body came too late. */
const late = new WeakSet<Context>();

/** Refuses bodies that are too long or too slow; stands before the handler that reads the body. */
export function timelyBody(
  { maxBytes, timeoutMs, name }: BodyLimits,
  clock: Pick<Clock, "after">,
): readonly [MiddlewareHandler, MiddlewareHandler] {
  const inTime: MiddlewareHandler = async (c, next) => {
    const { promise: timeout, resolve } = Promise.withResolvers<Response>();
    const cancel = clock.after(timeoutMs, () => {
      late.add(c);
      // Nobody reads the rest of the body, so nothing can follow on the same connection.
      resolve(problem(c, 408, "The body did not arrive in time", { Connection: "close" }));
    });
    try {
      return (await Promise.race([next(), timeout])) ?? undefined;
    } finally {
      cancel();
    }
  };
  const isShort = bodyLimit({
    maxSize: maxBytes,
    // Nobody reads the rest of the body, so nothing can follow on the same connection.
    onError: (c) =>
      problem(c, 413, `${name} may have ${maxBytes} bytes at most`, { Connection: "close" }),
  });
  return [inTime, isShort];
}

/** Reads the body. Returns the answer instead if it ended early, or if its client was told that it came too late. */
export async function readBody(c: Context): Promise<Uint8Array | Response> {
  const data = await c.req.arrayBuffer().then(
    (buffer) => new Uint8Array(buffer),
    () => undefined,
  );
  if (data === undefined) return problem(c, 400, "The body ended before it was complete");
  return late.has(c) ? problem(c, 408, "The body did not arrive in time") : data;
}
