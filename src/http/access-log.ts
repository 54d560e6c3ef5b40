import type { MiddlewareHandler } from "hono";
import { type AuditLog, deniedEvent } from "../access/audit-log.ts";
import type { AccessRefusal } from "../access/authenticator.ts";
import type { Grant } from "../core/access/grant.ts";
import type { Meter } from "../core/metering/meter.ts";
import type { Clock } from "../core/ports/clock.ts";
import type { Log } from "../core/ports/log.ts";
import { LogLimit } from "../core/timing/log-limit.ts";
import type { SocketRuntime } from "../runtime/runtime.ts";
import { accessRefusalOf, type Denial, denialOf } from "./problem.ts";

/** Minimum time between two log lines about the same kind of refusal. */
const INTERVAL_MS = 10_000;

interface AccessLogParts {
  readonly log: Log;
  readonly clock: Clock;
  readonly meter: Meter;
  readonly sockets: Pick<SocketRuntime, "addressOf">;
  readonly audit: AuditLog;
}

/** Counts and logs requests, and tokens in frames, that are refused because of who their client is. Nothing that a client shows is logged. */
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
      if (refusal === undefined) return;
      const address = this.#parts.sockets.addressOf(c);
      const denial = denialOf(c);
      if (denial === undefined) this.refused(address, refusal, c.req);
      else this.#denied(address, denial, refusal);
    };
  }

  /** Records that a connected client at an address has shown a valid token. */
  authenticated(address: string, grant: Grant): void {
    this.#parts.audit.record("client_authenticated", whoIs(address, grant));
  }

  /**
   * Counts and logs that a client at an address was refused.
   *
   * @param request the refused request; `undefined`: the client sent a token in a frame.
   */
  refused(
    address: string,
    refusal: AccessRefusal,
    request?: { readonly method: string; readonly path: string },
  ): void {
    const { kind, message, detail = message } = refusal;
    const { method, path } = request ?? {};
    this.#parts.audit.record("client_refused", { address, kind, reason: detail, method, path });
    this.#note(address, refusal);
  }

  /** Counts and logs that a known client may not do what it wants. */
  #denied(address: string, { grant, action, reason }: Denial, refusal: AccessRefusal): void {
    this.#parts.audit.record(deniedEvent(action), { ...whoIs(address, grant), action, reason });
    this.#note(address, refusal);
  }

  #note(address: string, { kind, message, detail = message }: AccessRefusal): void {
    const { log, meter } = this.#parts;
    meter.accessRefused[kind]++;
    const others = this.#limit.othersBefore(kind);
    if (others === undefined) return;
    const properties = { event: "access_refused", kind, detail, others };
    if (kind === "unavailable") {
      log.warn("Cannot find out who a client is: {detail}", { ...properties, address });
    } else {
      log.info("Refused a client at {address} as {kind}: {detail}", { ...properties, address });
    }
  }
}

function whoIs(address: string, { terms: { principal, token, account } }: Grant) {
  return { address, ...principal, jti: token?.id, account };
}
