import { InflateRaw } from "node:zlib";

type Flush = (this: InflateRaw, ...args: unknown[]) => void;

/** Holds `InflateRaw.prototype` when it is patched. */
const patched = new WeakSet<object>();

/**
 * Patches `InflateRaw.flush` on Deno, so that a client can't end the process with one broken compressed frame.
 *
 * After an error, Deno calls the callback of `flush` before the "error" event; Node never calls it. ws takes the call for
 * success and resets the dead stream, which throws. The patch skips the callback after an error, as on Node. The event
 * follows, and ws closes the connection with 1007.
 */
export function patchInflate(): void {
  const prototype = InflateRaw.prototype as unknown as { flush: Flush };
  if (!("Deno" in globalThis) || patched.has(prototype)) return;
  patched.add(prototype);
  const { flush } = prototype;
  prototype.flush = function (...args) {
    const callback = args.pop();
    if (typeof callback !== "function") {
      flush.call(this, ...args, callback);
      return;
    }
    flush.call(this, ...args, (error?: unknown) => {
      if (!error) callback();
    });
  };
}
