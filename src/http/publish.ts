import { type Context, Hono } from "hono";
import type { AuditLog } from "../access/audit-log.ts";
import type { AccessRefusal } from "../access/authenticator.ts";
import { Grant } from "../core/access/grant.ts";
import type { Refusal } from "../core/access/refusal.ts";
import type { Clock } from "../core/ports/clock.ts";
import type { Log } from "../core/ports/log.ts";
import { type Posting, type Publishing, storedIn } from "../core/publishing/publishing.ts";
import { isReserved } from "../core/subject/subject.ts";
import { ReturnTimes } from "../core/timing/reconnect-times.ts";
import type { RefusalCode } from "../protocol/error-codes.ts";
import { subjectFault } from "../protocol/subject.ts";
import { addressGroupOf } from "./client-address.ts";
import { type Derive, made } from "./derive.ts";
import { FailedPosts } from "./failed-posts.ts";
import {
  capitalized,
  denied,
  problem,
  type RefusalStatus,
  refusalOf,
  refusedAccess,
} from "./problem.ts";
import { traceHeadersOf } from "./request-trace.ts";
import { announcedLength, readBody, UNREAD } from "./timely-body.ts";

export interface PublishOptions {
  /** The subjects that the gateway carries: a message to another one would vanish in silence. */
  readonly subjects: readonly string[];
  readonly maxPublishBytes: number;
  /** How long a body may take to arrive; then it is answered with 408. */
  readonly requestTimeoutMs: number;
  /** The number of messages per second that are checked for one address though its clients may not publish them. */
  readonly maxPublishesPerSecond: number;
}

export interface PublishParts {
  readonly publishing: Pick<Publishing, "refused"> & {
    /** See `Publishing.post`; it resolves when the client's account is ready. */
    post(...message: Parameters<Publishing["post"]>): Promise<Posting | Refusal>;
  };
  readonly clock: Pick<Clock, "after" | "nowMs">;
  readonly audit: Pick<AuditLog, "record">;
  readonly log: Pick<Log, "debug">;
  readonly sockets: { addressOf(c: Context): string };
  /** See {@linkcode Derive}. Default: the options never change. */
  readonly derive?: Derive | undefined;
  /** Returns the grant of a request's client, or why it has none. */
  grantOf(c: Context): Promise<Grant | AccessRefusal>;
  /** Returns why a grant counts no more. */
  refusalNow(grant: Grant): AccessRefusal | undefined;
}

/**
 * `POST /publish/<subject>`: the body, byte for byte, becomes a message of NATS or of the in-memory source.
 *
 * With `?end=true`, the message ends its subject. The body is read last: only for a client that may publish it, and has a place for it.
 */
export function publishRoutes(options: PublishOptions, parts: PublishParts): Hono {
  const { publishing, clock, audit, log, sockets, grantOf, refusalNow } = parts;
  const { maxPublishBytes: maxBytes, requestTimeoutMs: timeoutMs } = options;
  const { derive = made } = parts;
  const failedPosts = derive<FailedPosts>((before) => {
    const { maxPublishesPerSecond: rate } = options;
    before?.become(rate, clock.nowMs());
    return before ?? new FailedPosts(rate);
  });
  const retries = new ReturnTimes(clock, Math.random);
  const limits = { maxBytes, timeoutMs, name: "A message" };
  const app = new Hono();
  app.use("/publish/*", async (c, next) => {
    await next();
    // The runtime discards a short rest, and the client certainly sees the answer.
    const length = announcedLength(c) ?? Number.POSITIVE_INFINITY;
    const isShort = length <= Math.min(maxBytes, MAX_DISCARDED);
    if (!c.req.raw.bodyUsed && !isShort) c.header("Connection", UNREAD.Connection);
    const { status } = c.res;
    if (status < 400) return;
    log.debug("Message from {address} refused with {status}: {reason}", {
      event: "post_refused",
      ...{ address: sockets.addressOf(c), status, reason: (refusalOf(c) ?? "").slice(0, 200) },
    });
  });
  app.post("/publish/", (c) => problem(c, 400, `subject "" ${subjectFault("", false)}`));
  return app.post("/publish/:subject", async (c) => {
    const subject = c.req.param("subject");
    const fault = subjectFault(subject, false);
    if (fault !== undefined) return problem(c, 400, `subject "${subject}" ${fault}`);
    const end = c.req.query("end");
    if (end !== undefined && end !== "true") return problem(c, 400, '"end" must be "true"');
    const address = sockets.addressOf(c);
    const addressGroup = addressGroupOf(address);
    const waitMs = failedPosts().waitMs(addressGroup, clock.nowMs());
    if (waitMs > 0) {
      audit.record("client_limited", { address, limit: "rate" });
      const headers = { "Retry-After": `${Math.ceil(waitMs / 1000)}` };
      return problem(c, 429, "Too many messages of this address were refused", headers);
    }
    const failedNow = (): void => failedPosts().failed(addressGroup, clock.nowMs());
    const grant = await grantOf(c);
    if (!(grant instanceof Grant)) {
      if (grant.kind !== "unavailable") failedNow();
      return refusedAccess(c, grant);
    }
    const sender = { grant, address, addressGroup };
    const posting = await publishing.post(sender, subject, announcedLength(c) ?? maxBytes);
    if ("code" in posting) {
      if (posting.code === "forbidden" && grant.terms.basis === "claims") failedNow();
      return refused(c, grant, subject, posting);
    }
    try {
      const data = await readBody(c, limits, clock);
      if (data instanceof Uint8Array) {
        // While the body came, the token may have expired or been revoked.
        const refusal = refusalNow(grant);
        if (refusal !== undefined) return refusedAccess(c, refusal);
        const answer = await posting.publish(data, end === "true", traceHeadersOf(c));
        if (answer.kind === "failed") return failed(c, answer);
        return c.json({ subject, bytes: data.length, ...storedIn(answer) }, 202);
      }
      const { kind, answer } = data;
      if (kind === "too_large") publishing.refused(sender, { type: "publish", subject }, TOO_LARGE);
      return answer;
    } finally {
      posting.release();
    }
  });

  function refused(c: Context, grant: Grant, subject: string, refusal: Refusal): Response {
    const { allow } = grant.terms.publishes;
    if (refusal.code !== "forbidden") return failed(c, refusal);
    if (grant.terms.basis === "claims" || allow !== "everything") {
      return denied(c, { grant, action: "publish", reason: refusal.message });
    }
    const hint = isReserved(subject)
      ? "; a wildcard doesn't carry subjects that begin with $ or _"
      : "";
    const outside = `outside the configured subjects (${options.subjects.join(", ")})${hint}`;
    return problem(c, 400, `subject "${subject}" is ${outside}`);
  }

  function failed(c: Context, { code, message, retryable }: Refusal): Response {
    const seconds = (): string => `${Math.ceil(retries.afterMs(code) / 1000)}`;
    const headers = retryable ? { "Retry-After": seconds() } : {};
    return problem(c, STATUS[code] ?? 503, capitalized(message), headers);
  }
}

/** The longest body that is left unread on a connection that stays. */
const MAX_DISCARDED = 64 * 1024;

const TOO_LARGE: Refusal = {
  code: "too_large",
  message: "the body is longer than a message may be",
};

/** The status that says why a message is not published. */
const STATUS: Partial<Record<RefusalCode, RefusalStatus>> = {
  invalid_subject: 400,
  forbidden: 403,
  too_large: 413,
  too_many_requests: 429,
  timeout: 504,
};
