import { InflateRaw } from "node:zlib";

type Flush = (this: InflateRaw, ...args: unknown[]) => void;

/** Of `InflateRaw.prototype`, once it is mended. */
const mended = new WeakSet<object>();

/**
 * Deno tells the callback of `flush` that the stream has failed, before its "error" event. Node
 * never does, so ws takes the call for success and resets the dead stream, which throws: a client
 * could end the process with one frame that is not what it says, compressed. Here the callback is
 * left out after an error, as on Node; the event follows, and ws closes the connection with 1007.
 */
export function patchInflate(): void {
  const prototype = InflateRaw.prototype as unknown as { flush: Flush };
  if (!("Deno" in globalThis) || mended.has(prototype)) return;
  mended.add(prototype);
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
