/** What a grant says of each subject is what its patterns say one by one, and a client gets exactly that. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Grant, type SubjectPermission } from "../../../src/core/access/grant.ts";
import { isReserved, type Selection } from "../../../src/core/subject/subject.ts";
import { V1 } from "../../../src/core/wire/dialect.ts";
import { FakeStream, ORIGIN } from "../support/fake-stream.ts";
import { Harness, type TestClient } from "../support/harness.ts";

const TOKENS = ["a", "b", "$x", "_y"];
/** Patterns name the first four of these tokens at most, so that no list of names is a wildcard. */
const SUBJECTS = subjectsOf([...TOKENS, "z"], 4);
const SHORT_SUBJECTS = subjectsOf([...TOKENS, "z"], 3);

function subjectsOf(tokens: readonly string[], depth: number): string[] {
  if (depth === 1) return [...tokens];
  const shorter = subjectsOf(tokens, depth - 1);
  return [...new Set([...shorter, ...shorter.flatMap((one) => tokens.map((t) => `${one}.${t}`))])];
}

const pattern = fc
  .tuple(
    fc.array(fc.constantFrom(...TOKENS, "*", "*"), { minLength: 1, maxLength: 3 }),
    fc.boolean(),
  )
  .map(([tokens, isOpen]) => (isOpen ? [...tokens.slice(0, -1), ">"] : tokens).join("."));
const patterns = (minLength: number) => fc.array(pattern, { minLength, maxLength: 3 });
const selection: fc.Arbitrary<Selection> = fc.oneof(
  fc.constant("everything" as const),
  patterns(1),
);
const permission: fc.Arbitrary<SubjectPermission> = fc.record({
  allow: fc.oneof(fc.constant("everything" as const), patterns(0)),
  deny: patterns(0),
});

/** Whether a pattern matches a subject, token by token. */
function matches(pattern: string, subject: string): boolean {
  const tokens = pattern.split(".").map((token) => {
    if (token === ">") return ".+";
    return token === "*" ? "[^.]+" : token.replace("$", "\\$");
  });
  return new RegExp(`^${tokens.join("\\.")}$`).test(subject);
}

/** Whether a selection allows a subject: no wildcard stands for a subject of NATS itself. */
function allows(selection: Selection, subject: string): boolean {
  if (selection === "everything") return true;
  return selection.some(
    (one) => matches(one, subject) && (isReserved(one) || !isReserved(subject)),
  );
}

function asksFor(asked: Selection, subject: string): boolean {
  return asked === "everything" || asked.some((one) => matches(one, subject));
}

/** The subjects that are exposed, allowed and not denied. */
function permittedOf(
  exposed: readonly string[],
  { allow, deny }: SubjectPermission,
  subjects: readonly string[],
): string[] {
  return subjects.filter(
    (subject) =>
      allows(exposed, subject) &&
      allows(allow, subject) &&
      !deny.some((one) => matches(one, subject)),
  );
}

function grantOf(exposed: readonly string[], permission: SubjectPermission): Grant {
  const { terms } = Grant.forEverybody(exposed, {
    deliveryMode: "at-most-once",
    policy: "disconnect",
    allowedPolicies: [],
    startFrom: "new",
    maxSubscriptions: 8,
  });
  const token = { id: undefined, issuedAtMs: 0, expiresAtMs: Number.POSITIVE_INFINITY };
  const all = { receives: permission, publishes: permission, requests: permission };
  return new Grant(exposed, { ...terms, ...all, token, basis: "claims" });
}

describe("A grant of any patterns", () => {
  test("permits to receive, publish and request what is exposed, allowed and not denied", () => {
    fc.assert(
      fc.property(patterns(1), permission, (exposed, permission) => {
        const grant = grantOf(exposed, permission);
        const permitted = permittedOf(exposed, permission, SUBJECTS);
        expect(SUBJECTS.filter((one) => grant.mayReceive(one))).toEqual(permitted);
        expect(SUBJECTS.filter((one) => grant.mayPublish(one))).toEqual(permitted);
        expect(SUBJECTS.filter((one) => grant.mayRequest(one))).toEqual(permitted);
      }),
      { numRuns: 300 },
    );
  });

  test("selects the permitted part of what is asked for, and refuses patterns without one", () => {
    fc.assert(
      fc.property(patterns(1), permission, selection, (exposed, permission, asked) => {
        const grant = grantOf(exposed, permission);
        const permitted = permittedOf(exposed, permission, SUBJECTS);
        const wanted = permitted.filter((one) => asksFor(asked, one));
        const selected = grant.select(asked);
        const arrives = SUBJECTS.filter((one) => allows(exposed, one));
        const brought = arrives.filter(
          (one) => asksFor(selected, one) && !grant.denied.denies(one),
        );
        expect(brought).toEqual(wanted);

        const left = grant.leftOf(asked);
        if (left === undefined) expect(wanted).toEqual([]);
        else {
          const kept = arrives.filter((one) => asksFor(left, one) && !grant.denied.denies(one));
          expect(kept).toEqual(wanted);
        }
        if (asked === "everything") return;
        const refusal = grant.refusalOf({ id: "", subjects: asked });
        const vain = asked.filter((one) => !permitted.some((subject) => matches(one, subject)));
        if (refusal !== undefined) expect(vain.length).toBeGreaterThan(0);
        // Several denied patterns may cover a pattern together, which is not looked for.
        else if (permission.deny.length < 2) expect(vain).toEqual([]);
      }),
      { numRuns: 500 },
    );
  });

  test("has an equal list of denied subjects exactly if another one denies the same", () => {
    fc.assert(
      fc.property(patterns(1), permission, permission, (exposed, one, other) => {
        const [first, second] = [grantOf(exposed, one).denied, grantOf(exposed, other).denied];
        if (first.key !== second.key) return;
        for (const subject of SUBJECTS) {
          expect(first.denies(subject)).toBe(second.denies(subject));
        }
      }),
      { numRuns: 300 },
    );
  });
});

/** A client, with what it is to get. */
interface Peer {
  readonly client: TestClient;
  readonly wanted: readonly string[];
}

function join(
  harness: Harness,
  exposed: readonly string[],
  [permission, asked, subjects]: readonly [SubjectPermission, readonly string[], readonly string[]],
  from: object,
): Peer {
  const grant = grantOf(exposed, permission);
  const client = harness.joinWith(undefined, V1, false, undefined, grant);
  client.send({ type: "subscribe", id: "1", subjects: asked, ...from });
  const isRefused = grant.refusalOf({ id: "", subjects: asked }) !== undefined;
  const permitted = isRefused ? [] : permittedOf(exposed, permission, subjects);
  return { client, wanted: permitted.filter((one) => asksFor(asked, one)) };
}

function expectExactly({ client, wanted }: Peer, times = 1): void {
  const got = client.socket.envelopes.map(({ subject }) => subject);
  expect(got).toEqual(Array.from({ length: times }, () => wanted).flat());
}

describe("Clients with grants of any patterns", () => {
  const wishes = fc.array(fc.tuple(permission, patterns(1)), { minLength: 1, maxLength: 5 });
  const options = { ringMessages: 1000, ringBytes: 1_000_000, highWaterBytes: 1_000_000 };

  test("get exactly what is allowed, not denied and asked for: live, and from the ring", () => {
    fc.assert(
      fc.property(patterns(1), wishes, (exposed, wishes) => {
        const harness = new Harness({ ...options, subjects: exposed });
        const arriving = SHORT_SUBJECTS.filter((one) => allows(exposed, one));
        const all = wishes.map(([permission, asked]) => [permission, asked, arriving] as const);
        const early = all.map((wish) => join(harness, exposed, wish, {}));
        // Others may ask for everything: that all of it arrives must not matter.
        const witness = harness.join();
        for (const subject of arriving) harness.publish(1, subject);
        harness.clock.advance(10);
        for (const peer of early) expectExactly(peer);
        expectExactly({ client: witness, wanted: arriving });
        const first = witness.socket.envelopes[0];
        if (first === undefined) return;
        const from = { from: { after: `${String(first.id).split(":")[0]}:0` } };
        const late = all.map((wish) => join(harness, exposed, wish, from));
        for (const { client } of late) client.session.slowDown();
        harness.clock.advance(10_000);
        for (const peer of late) expectExactly(peer);
        for (const subject of arriving) harness.publish(2, subject);
        harness.clock.advance(10_000);
        for (const peer of late) expectExactly(peer, 2);
        harness.expectBalance();
      }),
      { numRuns: 60 },
    );
  });

  test("get exactly that from a stream, from its beginning on and live", async () => {
    await fc.assert(
      fc.asyncProperty(patterns(1), wishes, async (exposed, wishes) => {
        const kept = new FakeStream(50);
        const carried = SHORT_SUBJECTS.filter((one) => allows(exposed, one));
        fc.pre(carried.length > 0);
        for (const subject of carried) kept.add(subject);
        const streams = [{ name: "S", subjects: exposed }];
        const harness = new Harness(
          { ...options, subjects: exposed, demanded: [], streams, maxQueueMessages: 1000 },
          kept,
        );
        harness.broadcaster.stream({ name: "S", origin: ORIGIN, sequence: kept.last, lost: false });
        const peers = wishes.map(([permission, asked]) =>
          join(harness, exposed, [permission, asked, carried], { from: "all" }),
        );
        const waiting = peers.filter(({ client }) =>
          client.socket.notices.every(({ type }) => type !== "error"),
        );
        const isLive = (): boolean =>
          waiting.every(({ client: { socket } }) =>
            socket.notices.some(({ type }) => type === "caught_up"),
          );
        for (let turn = 0; turn < 200 && !isLive(); turn++) {
          harness.clock.advance(5);
          await new Promise((resolve) => setImmediate(resolve));
        }
        expect(isLive()).toBe(true);
        for (const subject of carried) harness.broadcaster.message(kept.add(subject));
        harness.clock.advance(10);
        for (const peer of peers) expectExactly(peer, 2);
        harness.expectBalance();
      }),
      { numRuns: 40 },
    );
  });
});
