import { type Context, Hono } from "hono";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import type { AccessRefusal } from "../access/authenticator.ts";
import { Grant } from "../core/access/grant.ts";
import type { Refusal } from "../core/access/refusal.ts";
import type { Clock } from "../core/ports/clock.ts";
import { type Publishing, storedIn } from "../core/publishing/publishing.ts";
import { isReserved } from "../core/subject/subject.ts";
import type { RefusalCode } from "../protocol/error-codes.ts";
import { subjectFault } from "../protocol/subject.ts";
import { problem, refusedAccess } from "./problem.ts";
import { readBody, timelyBody } from "./timely-body.ts";

export interface PublishOptions {
  /** What the gateway carries: publishing anything else would vanish in silence. */
  readonly subjects: readonly string[];
  readonly maxBytes: number;
  /** How long a body may take to arrive; then it is answered with 408. */
  readonly requestTimeoutMs: number;
}

export interface PublishParts {
  readonly publishing: Pick<Publishing, "post">;
  readonly clock: Pick<Clock, "after">;
  /** Who the client of a request is, and what it may do. */
  grantOf(c: Context): Promise<Grant | AccessRefusal>;
}

/** `POST /publish/<subject>`: the body, byte for byte, becomes a message of NATS or of the in-memory source. */
export function publishRoutes(
  options: PublishOptions,
  { publishing, clock, grantOf }: PublishParts,
): Hono {
  const app = new Hono();
  const { maxBytes, requestTimeoutMs: timeoutMs } = options;
  const limits = timelyBody({ maxBytes, timeoutMs, name: "A message" }, clock);
  app.post("/publish/", (c) => problem(c, 400, `subject "" ${subjectFault("", false)}`));
  return app.post(
    "/publish/:subject",
    async (c, next) => {
      const subject = c.req.param("subject");
      const fault = subjectFault(subject, false);
      return fault === undefined ? await next() : problem(c, 400, `subject "${subject}" ${fault}`);
    },
    ...limits,
    async (c) => {
      const subject = c.req.param("subject");
      const grant = await grantOf(c);
      if (!(grant instanceof Grant)) return refusedAccess(c, grant);
      if (grant.terms.basis === "claims" && !grant.mayPublish(subject)) {
        const message = `This client may not publish to "${subject}"`;
        return refusedAccess(c, { kind: "forbidden", message });
      }
      if (!grant.mayPublish(subject)) {
        return problem(
          c,
          400,
          `subject "${subject}" is outside the configured subjects (${options.subjects.join(", ")})${isReserved(subject) ? "; a wildcard doesn't carry subjects that begin with $ or _" : ""}`,
        );
      }
      const data = await readBody(c);
      if (data instanceof Response) return data;
      const answer = await publishing.post(grant, { subject, data });
      if (answer.kind === "failed") return failed(c, answer);
      return c.json({ subject, bytes: data.length, ...storedIn(answer) }, 202);
    },
  );
}

/** The status that says why a message is not published. */
const STATUS: Partial<Record<RefusalCode, ContentfulStatusCode>> = {
  forbidden: 403,
  too_large: 413,
  too_many_requests: 429,
  timeout: 504,
};

function failed(c: Context, { code, message, retryable }: Refusal): Response {
  const text = message.charAt(0).toUpperCase() + message.slice(1);
  return problem(c, STATUS[code] ?? 503, text, retryable ? { "Retry-After": "1" } : {});
}
