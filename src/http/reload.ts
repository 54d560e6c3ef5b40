import { type Context, Hono } from "hono";
import type { AuditLog } from "../access/audit-log.ts";
import type { Operator } from "../access/operator-tokens.ts";
import { problem } from "./problem.ts";

/** A key that has changed, with its values in JSON; `undefined`: it is not set. */
interface Change {
  readonly key: string;
  readonly before: string | undefined;
  readonly after: string | undefined;
}

/** The end of a reload: what has changed, or the reason why nothing has. */
export type ReloadAnswer =
  | { readonly changes: readonly Change[] }
  | { readonly fault: "invalid" | "restart_needed" | "unfinished"; readonly reason: string };

export interface ReloadParts {
  /** Reads the configuration again, and reloads it. @returns `undefined` if it isn't read from anywhere. */
  requestReload(): Promise<ReloadAnswer | undefined>;
  readonly audit: AuditLog;
  /** Returns the address of a request's peer. */
  addressOf(c: Context): string;
}

const STATUS = { invalid: 422, restart_needed: 409, unfinished: 503 } as const;

/**
 * `POST /admin/reload` reloads the configuration as SIGHUP does. The answer is 200 with the keys that have changed; 422 if the
 * configuration is wrong, 409 if a change needs a restart, 503 if a worker ended or gave no answer, and 404 in a program that
 * gives the gateway its configuration itself.
 */
export function reloadRoute({ requestReload, audit, addressOf }: ReloadParts) {
  return new Hono<{ Variables: { operator: Operator } }>().post("/admin/reload", async (c) => {
    const operator = { operator: c.get("operator").sub, address: addressOf(c) };
    const answer = await requestReload();
    if (answer === undefined) {
      return problem(c, 404, "The program that this gateway is part of gives it its configuration");
    }
    const reason = "fault" in answer ? answer.reason : `changed keys: ${keysOf(answer.changes)}`;
    audit.record("operator_reloaded", { ...operator, reason });
    if ("fault" in answer) return problem(c, STATUS[answer.fault], answer.reason);
    const changes = answer.changes.map(({ key, before = "null", after = "null" }) => ({
      ...{ key, before: JSON.parse(before) as unknown, after: JSON.parse(after) as unknown },
    }));
    return c.json({ changes });
  });
}

function keysOf(changes: readonly Change[]): string {
  return changes.length === 0 ? "none" : changes.map(({ key }) => key).join(", ");
}
