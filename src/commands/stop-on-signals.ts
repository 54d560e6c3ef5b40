import process from "node:process";
import { reasonOf } from "../core/ports/errors.ts";
import type { Log } from "../core/ports/log.ts";
import type { GatewayLifecycle } from "../gateway/gateway-lifecycle.ts";
import { EXIT } from "./command.ts";
import { leaveEarlySignals } from "./early-signals.ts";

/** A second signal within this time is the first one again: npm and shells pass it on to the whole group. */
const PASSED_ON_MS = 500;

/**
 * Stops the gateway of this process on SIGTERM, SIGINT, or an operator's request. A second signal ends the process at once; more
 * requests of operators change nothing.
 *
 * @returns the exit code of the process, when the gateway has stopped.
 */
export function stopOnSignals(
  gateway: Pick<GatewayLifecycle, "drain" | "stop" | "onDrainRequest">,
  log: Log,
): Promise<number> {
  const ended = Promise.withResolvers<number>();
  let isStopping = false;
  let signalledMs: number | undefined;
  const stop = (cause: string, stops: () => Promise<void>): void => {
    if (isStopping) {
      // Its result is that of the first one, which shares it.
      stops().catch(() => {});
      return;
    }
    isStopping = true;
    log.info("Stopping on {signal}; a second signal ends the process at once", {
      event: "stopping",
      signal: cause,
    });
    stops().then(
      () => {
        log.info("Stopped", { event: "stopped" });
        ended.resolve(EXIT.done);
      },
      (error) => {
        log.error("The stop failed: {reason}", { event: "stop_failed", reason: reasonOf(error) });
        ended.resolve(EXIT.forced);
      },
    );
  };
  const onSignal = (signal: string, stops: () => Promise<void>): void => {
    const nowMs = performance.now();
    if (signalledMs === undefined) {
      signalledMs = nowMs;
      stop(signal, stops);
    } else if (nowMs - signalledMs > PASSED_ON_MS) process.exit(EXIT.forced);
  };
  process.on("SIGTERM", () => onSignal("SIGTERM", () => gateway.drain()));
  // Somebody at a keyboard doesn't want to wait.
  process.on("SIGINT", () => onSignal("SIGINT", () => gateway.stop()));
  leaveEarlySignals();
  gateway.onDrainRequest = () => stop("a request of an operator", () => gateway.drain());
  return ended.promise;
}
