import { type Context, Hono } from "hono";
import type { AuditLog } from "../access/audit-log.ts";
import type { Operator } from "../access/operator-tokens.ts";

export interface DrainParts {
  /** Begins to drain the gateway, which then stops. Does nothing if it drains already. */
  requestDrain(): void;
  readonly audit: AuditLog;
  /** Returns the address of a request's peer. */
  addressOf(c: Context): string;
}

/** `POST /admin/drain` drains the gateway as SIGTERM does. The answer is 202. */
export function drainRoute({ requestDrain, audit, addressOf }: DrainParts) {
  return new Hono<{ Variables: { operator: Operator } }>().post("/admin/drain", (c) => {
    audit.record("operator_drained", { operator: c.get("operator").sub, address: addressOf(c) });
    requestDrain();
    return c.json({ status: "draining" }, 202);
  });
}
