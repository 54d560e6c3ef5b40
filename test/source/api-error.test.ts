import { describe, expect, test } from "bun:test";
import { StreamApiError, type Verdict, verdictOf } from "../../src/source/jetstream/api-error.ts";
import { FailureDeadline } from "../../src/source/jetstream/failure-deadline.ts";
import { PermissionError } from "../../src/source/requests.ts";

/** What nats-server's `errors.json` lists for the requests that we make, and what it means for whoever asked. */
const TABLE: Readonly<
  Record<Verdict, readonly (readonly [code: number, error: number, text: string])[]>
> = {
  missing: [
    [404, 10014, "consumer not found"],
    [404, 10037, "no message found"],
    [404, 10059, "stream not found"],
    [400, 10149, "consumer does not exist"],
    [404, 0, "no error code at all"],
  ],
  filter: [[400, 10093, "consumer filter subject is not a valid subset of the interest subjects"]],
  transient: [
    [503, 10004, "incomplete results"],
    [400, 10005, "no suitable peers for placement"],
    [500, 10007, "JetStream cluster not assigned to this server"],
    [503, 10008, "JetStream system temporarily unavailable"],
    [500, 10009, "JetStream cluster can not handle request"],
    [400, 10013, "consumer name already in use"],
    [500, 10041, "raft error"],
    [400, 10044, "server is not a member of the cluster"],
    [503, 10075, "peer remap failed"],
    [400, 10105, "consumer already exists and is still active"],
    [400, 10148, "consumer already exists"],
    [429, 10167, "too many requests"],
    [400, 10202, "cluster member change is in progress"],
    [503, 0, "no error code at all"],
  ],
  final: [
    [400, 10002, "resource limits exceeded for account"],
    [400, 10003, "bad request"],
    [500, 10012, "consumer create error"],
    [503, 10023, "insufficient resources"],
    [400, 10025, "invalid JSON"],
    [400, 10026, "maximum consumers limit reached"],
    [500, 10028, "insufficient memory resources available"],
    [503, 10035, "account not found"],
    [503, 10039, "JetStream not enabled for account"],
    [500, 10047, "insufficient storage resources available"],
    [503, 10076, "JetStream not enabled"],
    [400, 10084, "consumer in pull mode requires explicit ack policy on workqueue stream"],
    [400, 10098, "workqueue stream requires explicit ack"],
    [400, 10099, "multiple non-filtered consumers not allowed on workqueue stream"],
    [400, 10100, "filtered consumer not unique on workqueue stream"],
    [400, 10101, "consumer must be deliver all on workqueue stream"],
    [500, 10104, "error creating store for consumer"],
    [500, 10118, "stream is offline"],
    [500, 10119, "consumer is offline"],
    [400, 10120, "no JetStream default or applicable tiered limit present"],
    [400, 10121, "consumer max ack pending exceeds system limit"],
    [400, 10126, "consumer config replica count exceeds parent stream"],
    [400, 10134, "consumer config replicas must match interest retention stream's replicas"],
    [400, 10136, "consumer cannot have both FilterSubject and FilterSubjects specified"],
    [400, 10138, "consumer subject filters cannot overlap"],
    [400, 10153, "consumer inactive threshold exceeds system limit"],
    [500, 10194, "stream is offline: unsupported"],
    [500, 10195, "consumer is offline: unsupported"],
    [400, 99999, "what a later nats-server refuses"],
    [400, 0, "no error code at all"],
  ],
};

describe("An error of JetStream", () => {
  for (const [verdict, errors] of Object.entries(TABLE)) {
    for (const [code, error, text] of errors) {
      test(`is ${verdict} where it is ${error}: ${text}`, () => {
        expect(verdictOf(new StreamApiError(code, text, error))).toBe(verdict as Verdict);
      });
    }
  }

  test("is final where NATS does not let us ask, and else only in the end", () => {
    expect(verdictOf(new PermissionError("publish", "a"))).toBe("final");
    expect(verdictOf(new Error("there is no answer"))).toBe("transient");
    let nowMs = 0;
    const deadline = new FailureDeadline(100, () => nowMs);
    expect(deadline.isFinal(new Error("there is no answer"))).toBe(false);
    nowMs = 99;
    expect(deadline.isFinal(new StreamApiError(503, "", 10008))).toBe(false);
    expect(deadline.isFinal(new StreamApiError(400, "", 10026))).toBe(true);
    nowMs = 100;
    expect(deadline.isFinal(new Error("there is no answer"))).toBe(true);
    deadline.reset();
    expect(deadline.isFinal(new Error("there is no answer"))).toBe(false);
  });
});
