import type { Context, MiddlewareHandler } from "hono";
import type { AccessRefusal } from "../access/authenticator.ts";
import type { Meter } from "../core/metering/meter.ts";
import type { Clock } from "../core/ports/clock.ts";
import type { Log } from "../core/ports/log.ts";
import { LogLimit } from "../core/timing/log-limit.ts";
import type { SocketRuntime } from "../runtime/runtime.ts";
import { accessRefusalOf } from "./problem.ts";

/** Minimum time between two log lines about the same kind of refusal. */
const INTERVAL_MS = 10_000;

interface AccessLogParts {
  readonly log: Log;
  readonly clock: Clock;
  readonly meter: Meter;
  readonly sockets: Pick<SocketRuntime, "addressOf">;
}

/** Counts and logs requests that are refused because of who their client is. Nothing that a client shows is logged. */
export class AccessLog {
  readonly #parts: AccessLogParts;
  readonly #limit: LogLimit<AccessRefusal["kind"]>;

  constructor(parts: AccessLogParts) {
    this.#parts = parts;
    this.#limit = new LogLimit(parts.clock, INTERVAL_MS);
  }

  /** The middleware, which must be before the routes. */
  get handler(): MiddlewareHandler {
    return async (c, next) => {
      await next();
      const refusal = accessRefusalOf(c);
      if (refusal !== undefined) this.#refused(c, refusal);
    };
  }

  #refused(c: Context, { kind, message, detail = message }: AccessRefusal): void {
    const { log, meter, sockets } = this.#parts;
    meter.accessRefused[kind]++;
    const others = this.#limit.othersBefore(kind);
    if (others === undefined) return;
    const properties = { event: "access_refused", kind, detail, others };
    const address = sockets.addressOf(c);
    if (kind === "unavailable") {
      log.warn("Cannot find out who a client is: {detail}", { ...properties, address });
    } else {
      log.info("Refused a client at {address} as {kind}: {detail}", { ...properties, address });
    }
  }
}
