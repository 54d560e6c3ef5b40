/** What a client may do is what its grant says, wherever it asks. */
import { describe, expect, test } from "bun:test";
import { Grant, type GrantTerms, NOTHING_ALLOWED } from "../../../src/core/access/grant.ts";
import type { DurableQuery, Durables } from "../../../src/core/ports/source.ts";
import { PLAIN, V1 } from "../../../src/core/wire/dialect.ts";
import type { SubscriptionRequest } from "../../../src/core/wire/subscription-request.ts";
import { FakeStream, ORIGIN } from "../support/fake-stream.ts";
import { Harness, lastOf, type TestClient } from "../support/harness.ts";

const EXPOSED = ["a.>", "b.*", "c"];
const EVERYTHING: SubscriptionRequest = { id: "", subjects: "everything" };

const { terms: ALL } = Grant.forEverybody(EXPOSED, {
  deliveryMode: "at-least-once",
  policy: "disconnect",
  allowedPolicies: ["conflate"],
  startFrom: "new",
  maxSubscriptions: 2,
  publishSubjects: "everything",
});

function grantOf(terms: Partial<GrantTerms>): Grant {
  return new Grant(EXPOSED, { ...ALL, ...terms });
}

const ONLY_A = { receives: { allow: ["a.public.>", "secret.>"], deny: [] } };

function subjectsOf({ socket }: TestClient): unknown[] {
  return socket.envelopes.map(({ subject }) => subject);
}

describe("A grant", () => {
  test("of everything selects what is asked for", () => {
    const grant = grantOf({});
    expect(grant.select("everything")).toBe("everything");
    expect(grant.select(["a.b", ">"])).toEqual(["a.b", ">"]);
    expect(grant.patterns).toEqual(EXPOSED);
  });

  test("of some subjects selects what both have, and never everything", () => {
    const grant = grantOf(ONLY_A);
    expect(grant.patterns).toEqual(["a.public.>"]);
    expect(grant.select("everything")).toEqual(["a.public.>"]);
    expect(grant.select([">", "a.*.x"])).toEqual(["a.public.>", "a.public.x"]);
    expect(grant.select(["b.*"])).toEqual([]);
  });

  test("of nothing selects nothing", () => {
    const grant = grantOf({ receives: NOTHING_ALLOWED });
    expect(grant.select("everything")).toEqual([]);
    expect(grant.refusalOf({ id: "", subjects: ["a.b"] })).toMatchObject({ code: "forbidden" });
  });

  test("selects nothing that is denied as a whole, and never everything where something is denied", () => {
    const grant = grantOf({ receives: { allow: "everything", deny: ["a.internal.>", "b.*"] } });
    expect(grant.patterns).toEqual(["a.>", "c"]);
    expect(grant.select("everything")).toEqual(["a.>", "c"]);
    expect(grant.select(["a.>", "a.internal.x", "b.1", "*.internal.y"])).toEqual(["a.>"]);
    const elsewhere = grantOf({ receives: { allow: "everything", deny: ["d.>", "$SYS.>"] } });
    expect(elsewhere.select("everything")).toBe("everything");
    expect(elsewhere.denied.isEmpty).toBe(true);
  });

  test.each([
    ["a.>", undefined],
    ["a.*.x", undefined],
    ["a.internal.x", "forbidden"],
    ["a.internal.>", "forbidden"],
    ["*.internal.x", "forbidden"],
    ["b.1", "forbidden"],
    ["*.1", undefined],
  ])("with denied subjects answers a request for %s with %p", (subject, code) => {
    const grant = grantOf({ receives: { allow: "everything", deny: ["a.internal.>", "b.*"] } });
    expect(grant.refusalOf({ id: "", subjects: [subject] })?.code as string).toBe(code as string);
    expect(grant.refusalOf({ id: "", subjects: ["c", subject] })?.code as string).toBe(
      code as string,
    );
  });

  test.each([
    ["a subject outside of it", ONLY_A, { subjects: ["a.public.x", "b.x"] }, "forbidden"],
    ["another mode", {}, { mode: "at-most-once" }, "unsupported"],
    ["a place to begin", { starts: ["new"] }, { start: "all" }, "forbidden"],
    ["a sequence", { starts: ["new", "time"] }, { start: { sequence: 1 } }, "forbidden"],
    ["a time", { starts: ["new", "seq"] }, { start: { timeMs: 1 } }, "forbidden"],
    ["a cursor", { starts: ["new"] }, { after: "o:1" }, "forbidden"],
    ["the default place", { starts: ["new"], startFrom: "all" }, {}, "forbidden"],
    ["a durable", { durables: ["mine"] }, { durable: "yours" }, "forbidden"],
  ] as [string, Partial<GrantTerms>, Partial<SubscriptionRequest>, string][])(
    "refuses %s that it does not have",
    (_, terms, request, code) => {
      expect(grantOf(terms).refusalOf({ ...EVERYTHING, ...request })).toMatchObject({ code });
      expect(grantOf({}).refusalOf({ ...EVERYTHING, ...request })?.code).not.toBe("forbidden");
    },
  );

  test("has the policy that is asked for if it allows it, and its own otherwise", () => {
    const grant = grantOf({});
    expect(grant.deliveryOf({ policy: "conflate" }).policy).toBe("conflate");
    expect(grant.deliveryOf({ policy: "drop-oldest" }).policy).toBe("disconnect");
  });

  test("of claims lets publish to exposed subjects that it names, with a token and without", () => {
    expect(grantOf({}).mayPublish("a.x")).toBe(true);
    expect(grantOf({}).mayPublish("d")).toBe(false);
    const named = { allow: ["a.in.*", "d"], deny: ["a.in.secret"] };
    const claims = { publishes: named, requests: named, basis: "claims" } as const;
    const shown = { id: undefined, issuedAtMs: 0, expiresAtMs: Number.POSITIVE_INFINITY };
    for (const token of [shown, undefined]) {
      const grant = grantOf({ ...claims, token });
      expect([grant.mayPublish("a.in.x"), grant.mayRequest("a.in.x")]).toEqual([true, true]);
      for (const subject of ["a.x", "d", "a.in.secret"]) {
        expect(grant.mayPublish(subject)).toBe(false);
        expect(grant.mayRequest(subject)).toBe(false);
      }
    }
  });

  test("of the configuration lets publish and request what this names, exposed or not", () => {
    const grant = Grant.forEverybody(EXPOSED, {
      ...ALL,
      publishSubjects: ["d.*", "$KV.b.*"],
      requestSubjects: ["svc.>"],
    });
    expect(grant.mayPublish("d.x")).toBe(true);
    expect(grant.mayPublish("$KV.b.k")).toBe(true);
    expect(grant.mayRequest("svc.add")).toBe(true);
    for (const subject of ["a.x", "svc.add", "$SYS.x"])
      expect(grant.mayPublish(subject)).toBe(false);
    expect(Grant.forEverybody(EXPOSED, ALL).mayPublish("a.x")).toBe(false);
  });

  test("resumes what its principal began, as long as it has as much", () => {
    const narrow = grantOf(ONLY_A);
    const other = grantOf({ principal: { issuer: "", sub: "u2" } });
    expect(grantOf({}).mayResume(narrow)).toBe(true);
    expect(narrow.mayResume(narrow)).toBe(true);
    expect(narrow.mayResume(grantOf({}))).toBe(false);
    expect(other.mayResume(narrow)).toBe(false);
  });
});

describe("A client with a grant of some subjects", () => {
  const options = { subjects: EXPOSED, ringMessages: 10, ringBytes: 10_000 };

  function publishAll(harness: Harness): void {
    for (const subject of ["a.public.1", "a.private", "b.1", "c", "a.public.2"]) {
      harness.publish("x", subject);
    }
    harness.clock.advance(1);
  }

  test("gets none of the others, though it asks for everything", () => {
    const harness = new Harness(options);
    const grant = grantOf({ ...ONLY_A, deliveryMode: "at-most-once" });
    const narrow = harness.joinWith(EVERYTHING, PLAIN, false, undefined, grant);
    const wide = harness.joinWith(EVERYTHING);
    publishAll(harness);
    expect(subjectsOf(narrow)).toEqual(["a.public.1", "a.public.2"]);
    expect(subjectsOf(wide)).toHaveLength(5);
    expect(narrow.session.audience).not.toBe(wide.session.audience);
    harness.expectBalance();
  });

  test("gets none of NATS' own subjects by a wildcard, though others get them", () => {
    const harness = new Harness({ ...options, subjects: [">", "$x.*"] });
    const { terms } = harness.grant;
    const join = (allow: readonly string[] | "everything") =>
      harness.joinWith(
        { id: "", subjects: [">"] },
        PLAIN,
        false,
        undefined,
        new Grant([">", "$x.*"], { ...terms, receives: { allow, deny: [] } }),
      );
    const [all, narrow, named] = [join("everything"), join([">"]), join([">", "$x.1"])];
    for (const subject of ["$x.1", "a", "$x.2"]) harness.publish("x", subject);
    harness.clock.advance(1);
    expect(subjectsOf(all)).toEqual(["$x.1", "a", "$x.2"]);
    expect(subjectsOf(narrow)).toEqual(["a"]);
    expect(subjectsOf(named)).toEqual(["$x.1", "a"]);
  });

  test("shares its audience with those who have the same", () => {
    const harness = new Harness(options);
    const join = (receives: readonly string[]) =>
      harness.joinWith(
        EVERYTHING,
        PLAIN,
        false,
        undefined,
        grantOf({ receives: { allow: receives, deny: [] }, deliveryMode: "at-most-once" }),
      ).session.audience;
    expect(join(["a.x"])).toBe(join(["a.x"]));
    expect(join(["a.x"])).not.toBe(join(["a.y"]));
  });

  test("gets none of the others by a wildcard, nor from the ring", () => {
    const harness = new Harness(options);
    publishAll(harness);
    const grant = grantOf({ ...ONLY_A, deliveryMode: "at-most-once" });
    const client = harness.joinWith(undefined, V1, false, undefined, grant);
    client.send({
      type: "subscribe",
      id: "1",
      subjects: [">"],
      from: { after: cursorBefore(harness) },
    });
    publishAll(harness);
    expect(subjectsOf(client)).toEqual(["a.public.1", "a.public.2", "a.public.1", "a.public.2"]);
    expect(client.socket.notices.find(({ type }) => type === "subscribed")).toMatchObject({
      subjects: ["a.public.>"],
    });
  });

  test("is refused what it does not have, and ended if it can't ask again", () => {
    const harness = new Harness(options);
    const grant = grantOf({ ...ONLY_A, deliveryMode: "at-most-once" });
    const v1 = harness.joinWith(undefined, V1, false, undefined, grant);
    v1.send({ type: "subscribe", id: "1", subjects: ["b.*"] });
    expect(lastOf(v1)).toMatchObject({ type: "error", error: { code: "forbidden" } });
    const plain = harness.joinWith({ id: "", subjects: ["c"] }, PLAIN, false, undefined, grant);
    expect(plain.socket.closedWith).toBe(4403);
    expect(harness.source.patterns.size).toBe(0);
  });

  test("has as many subscriptions as it says, and is told so", () => {
    const harness = new Harness(options);
    const grant = grantOf({ maxSubscriptions: 1, deliveryMode: "at-most-once" });
    const client = harness.joinWith(undefined, V1, false, undefined, grant);
    expect(client.socket.notices[0]).toMatchObject({ limits: { max_subscriptions: 1 } });
    for (const id of ["1", "2"]) client.send({ type: "subscribe", id, subjects: ["a.b"] });
    expect(lastOf(client)).toMatchObject({ error: { code: "too_many_subscriptions" } });
  });
});

describe("A client with a grant of some subjects of a stream", () => {
  const options = {
    subjects: ["s.>"],
    demanded: [],
    streams: [{ name: "S", subjects: ["s.>"] }],
    ringMessages: 2,
    ringBytes: 10_000,
  };
  const grantOfStream = (terms: Partial<GrantTerms>) =>
    new Grant(["s.>"], { ...ALL, receives: { allow: ["s.public.*"], deny: [] }, ...terms });

  test.each(["all", "last_per_subject", "last"] as const)(
    "gets none of the others from %s on",
    async (from) => {
      const kept = new FakeStream();
      for (let n = 0; n < 9; n++) kept.add(n % 2 === 0 ? "s.private" : `s.public.${n}`);
      const harness = new Harness(options, kept);
      const state = { name: "S", origin: ORIGIN, sequence: kept.last, lost: false };
      harness.broadcaster.stream(state);
      const grant = grantOfStream({ deliveryMode: "at-most-once" });
      const client = harness.joinWith(undefined, V1, false, undefined, grant);
      client.send({ type: "subscribe", id: "1", subjects: [">"], from });
      const isLive = (): boolean => client.socket.notices.some(({ type }) => type === "caught_up");
      for (let turn = 0; turn < 100 && !isLive(); turn++) {
        harness.clock.advance(5);
        await new Promise((resolve) => setImmediate(resolve));
      }
      harness.broadcaster.message(kept.add("s.private"));
      harness.broadcaster.message(kept.add("s.public.new"));
      harness.clock.advance(5);
      const got = subjectsOf(client);
      expect(got.at(-1)).toBe("s.public.new");
      expect(got).toHaveLength(from === "last" ? 2 : 5);
      expect(got.filter((subject) => subject === "s.private")).toEqual([]);
      for (const { subjects } of kept.asked) expect(subjects).toEqual(["s.public.*"]);
    },
  );

  test.each([
    ["new", "all", []],
    ["all", "new", ["s.public.1"]],
  ] as const)("begins with %s by default, whatever others do", async (own, others, got) => {
    const kept = new FakeStream();
    kept.add("s.public.1");
    const harness = new Harness({ ...options, startFrom: others }, kept);
    harness.broadcaster.stream({ name: "S", origin: ORIGIN, sequence: kept.last, lost: false });
    const grant = grantOfStream({ deliveryMode: "at-most-once", starts: [own], startFrom: own });
    const client = harness.joinWith(EVERYTHING, PLAIN, false, undefined, grant);
    for (let turn = 0; turn < 20; turn++) {
      harness.clock.advance(5);
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(subjectsOf(client)).toEqual([...got]);
  });

  test("has a durable of its own subjects only", () => {
    const asked: DurableQuery[] = [];
    const durables: Durables = {
      used: 0,
      use(query) {
        asked.push(query);
        return { settle() {}, resume() {}, release() {} };
      },
    };
    const harness = new Harness(
      { ...options, deliveryMode: "at-least-once" },
      new FakeStream(),
      durables,
    );
    harness.broadcaster.stream({ name: "S", origin: ORIGIN, sequence: 0, lost: false });
    const grant = grantOfStream({ durables: ["mine"] });
    const client = harness.joinWith(undefined, V1, false, undefined, grant);
    const subscribe = { type: "subscribe", subjects: ["s.>"] };
    client.send({ ...subscribe, id: "1", durable: "yours" });
    expect(lastOf(client)).toMatchObject({ error: { code: "forbidden" } });
    client.send({ ...subscribe, id: "2", durable: "mine" });
    expect(asked).toMatchObject([{ name: "mine", owner: "", subjects: ["s.public.*"] }]);
    for (const issuer of ["i", "j"]) {
      const principal = { issuer, sub: "ann" };
      const named = grantOfStream({ durables: ["mine"], principal });
      const owner = harness.joinWith(undefined, V1, false, undefined, named);
      owner.send({ ...subscribe, id: "1", durable: "mine" });
    }
    expect(new Set(asked.map(({ owner }) => owner)).size).toBe(3);
  });
});

/** A cursor of this run, before its first message. */
function cursorBefore(harness: Harness): string {
  const client = harness.joinV1();
  client.send({ type: "subscribe", id: "now", subjects: ["a.cursor"] });
  const subscribed = client.socket.notices.find(({ type }) => type === "subscribed");
  return `${String(subscribed?.from).split(":")[0]}:0`;
}

describe("A session", () => {
  const options = { subjects: EXPOSED, deliveryMode: "at-least-once" as const };
  const NAME = "my-own-session-0001";

  /** Leaves a session behind for which messages wait. */
  function leave(harness: Harness, grant: Grant): void {
    const { connection, socket } = harness.joinWith(EVERYTHING, PLAIN, false, NAME, grant);
    connection.closed(1006);
    harness.publish("x", "a.private");
    harness.publish("x", "a.public.1");
    expect(socket.envelopes).toEqual([]);
  }

  test("is not found by another principal, and stays its owner's", () => {
    const harness = new Harness(options);
    const owner = grantOf({ principal: { issuer: "", sub: "u1" } });
    leave(harness, owner);
    const other = grantOf({ principal: { issuer: "", sub: "u2" } });
    const thief = harness.joinWith(EVERYTHING, PLAIN, false, NAME, other);
    harness.clock.advance(1);
    expect(subjectsOf(thief)).toEqual([]);
    const back = harness.joinWith(EVERYTHING, PLAIN, false, NAME, owner);
    harness.clock.advance(1);
    expect(subjectsOf(back)).toEqual(["a.private", "a.public.1"]);
    expect(thief.socket.closedWith).toBeUndefined();
  });

  test("is not resumed with a grant of less, and nothing of it reaches its client", () => {
    const harness = new Harness(options);
    leave(harness, grantOf({}));
    const back = harness.joinWith(EVERYTHING, PLAIN, false, NAME, grantOf(ONLY_A));
    harness.publish("x", "a.private");
    harness.publish("x", "a.public.2");
    harness.clock.advance(1);
    expect(subjectsOf(back)).toEqual(["a.public.2"]);
    expect(harness.meter.sessionsResumed).toBe(0);
    harness.expectBalance();
  });

  test("of a connection that is still open ends it, if it is named with a grant of less", () => {
    const harness = new Harness(options);
    const open = harness.joinWith(EVERYTHING, PLAIN, false, NAME, grantOf({}));
    const back = harness.joinWith(EVERYTHING, PLAIN, false, NAME, grantOf(ONLY_A));
    expect(open.socket.closedWith).toBe(4409);
    harness.publish("x", "a.private");
    harness.clock.advance(1);
    expect(subjectsOf(back)).toEqual([]);
    harness.expectBalance();
  });

  test("is not kept for a client that may have none", () => {
    const harness = new Harness(options);
    leave(harness, grantOf({ sessions: false }));
    const back = harness.joinWith(EVERYTHING, PLAIN, false, NAME, grantOf({}));
    harness.clock.advance(1);
    expect(subjectsOf(back)).toEqual([]);
    harness.expectBalance();
  });
});
