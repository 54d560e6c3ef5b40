/** A message that a client's grant denies reaches it in no way, and nothing waits for it. */
import { describe, expect, test } from "bun:test";
import { Grant, type GrantTerms } from "../../../src/core/access/grant.ts";
import type { Selection } from "../../../src/core/subject/subject.ts";
import { PLAIN, SSE, V1 } from "../../../src/core/wire/dialect.ts";
import { FakeDurables } from "../support/fake-durables.ts";
import { FakeStream, ORIGIN } from "../support/fake-stream.ts";
import { Harness, lastOf, stateOf, type TestClient } from "../support/harness.ts";

const DENIED = ["s.internal.>", "*.secret"];

function grantOf(harness: Harness, terms: Partial<GrantTerms> = {}, deny = DENIED): Grant {
  return new Grant(harness.grant.patterns, {
    ...harness.grant.terms,
    receives: { allow: "everything", deny },
    ...terms,
  });
}

function subjectsOf({ socket }: TestClient): unknown[] {
  return socket.envelopes.map(({ subject }) => subject);
}

function publishAll(harness: Harness): void {
  for (const subject of ["s.internal.1", "s.1", "s.secret", "s.internal.2", "s.2", "t.secret"]) {
    harness.publish("x", subject);
  }
  harness.clock.advance(1);
}

/** Lets promises and timers do their work until something is true. */
async function until({ clock }: Harness, isDone: () => boolean): Promise<void> {
  for (let turn = 0; turn < 200 && !isDone(); turn++) {
    clock.advance(5);
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(isDone()).toBe(true);
}

describe("A client with denied subjects", () => {
  const options = {
    subjects: ["s.>", "t.*"],
    ringMessages: 100,
    ringBytes: 100_000,
    highWaterBytes: 500,
  };

  test.each([["everything"], [["s.>", "t.*"]], [[">"]], [["s.*", "s.1", "t.1"]]])(
    "gets the others of %p",
    (subjects) => {
      const harness = new Harness(options);
      const request = { id: "", subjects: subjects as Selection };
      const client = harness.joinWith(request, PLAIN, false, undefined, grantOf(harness));
      publishAll(harness);
      expect(subjectsOf(client)).toEqual(["s.1", "s.2"]);
      harness.expectBalance();
    },
  );

  test("is told that it has a good subscription, and is refused one of which nothing is left", () => {
    const harness = new Harness(options);
    const client = harness.joinWith(undefined, V1, false, undefined, grantOf(harness));
    client.send({ type: "subscribe", id: "1", subjects: ["s.>"] });
    expect(lastOf(client)).toMatchObject({ type: "subscribed", id: "1", subjects: ["s.>"] });
    for (const subject of ["s.internal.1", "s.internal.>", "*.internal.x", "t.secret"]) {
      client.send({ type: "subscribe", id: "2", subjects: [subject] });
      expect(lastOf(client)).toMatchObject({ id: "2", error: { code: "forbidden" } });
    }
    expect([...harness.source.patterns]).toEqual(["s.>"]);
  });

  test("has no subscription at the source for what is denied as a whole", () => {
    const harness = new Harness(options);
    const grant = grantOf(harness, {}, ["t.>"]);
    harness.joinWith({ id: "", subjects: "everything" }, PLAIN, false, undefined, grant);
    harness.joinWith({ id: "", subjects: [">"] }, PLAIN, false, undefined, grant);
    expect([...harness.source.patterns]).toEqual(["s.>"]);
  });

  test.each([
    ["a WebSocket", PLAIN],
    ["server-sent events", SSE],
  ])("gets none of them from the ring by %s", (_, dialect) => {
    const harness = new Harness(options);
    const first = harness.join();
    publishAll(harness);
    const after = String(first.socket.envelopes[0]!.id);
    publishAll(harness);
    const client = harness.joinWith(
      { id: "", subjects: "everything", after },
      dialect,
      false,
      undefined,
      grantOf(harness),
    );
    harness.clock.advance(10);
    const ids = client.socket.textFrames.map(({ text }) => text).join("\n");
    expect([...(ids.match(/"subject":"[^"]+"/g) ?? [])]).toEqual(
      ["s.1", "s.2", "s.1", "s.2"].map((subject) => `"subject":"${subject}"`),
    );
    harness.expectBalance();
  });

  test("learns from a gap of the ring no exact count", () => {
    const harness = new Harness({ ...options, ringMessages: 2 });
    const first = harness.join();
    publishAll(harness);
    const after = String(first.socket.envelopes[0]!.id);
    const client = harness.joinWith(undefined, V1, false, undefined, grantOf(harness));
    client.send({ type: "subscribe", id: "1", subjects: ["s.>", "t.*"], from: { after } });
    harness.clock.advance(1);
    const gaps = client.socket.notices.filter(({ type }) => type === "gap");
    expect(gaps).toMatchObject([{ reason: "expired", exact: false }]);
  });

  test.each(["conflate", "drop-oldest", "drop-newest"] as const)(
    "gets none of them from its backlog with policy %s, nor a count of them",
    (policy) => {
      const harness = new Harness({ ...options, policy, maxQueueMessages: 3 });
      const request = { id: "", subjects: "everything" as const };
      const client = harness.joinWith(request, V1, false, undefined, grantOf(harness));
      client.socket.reads = false;
      harness.publish("x".repeat(600), "s.1");
      harness.clock.advance(300);
      expect(stateOf(client.session)).toBe("queued");
      for (let n = 0; n < 10; n++) harness.publish(n, n === 5 ? "s.2" : "s.internal.1");
      client.socket.reads = true;
      client.socket.buffered = 0;
      harness.clock.advance(300);
      expect(subjectsOf(client)).toEqual(["s.1", "s.2"]);
      expect(client.socket.notices.filter(({ type }) => type === "gap")).toEqual([]);
      expect(harness.meter.ledger.offered).toBe(2);
      harness.expectBalance();
    },
  );

  test("gets none of them by the session that it resumes", () => {
    const harness = new Harness({ ...options, deliveryMode: "at-least-once" });
    const name = "my-own-session-0001";
    const join = () =>
      harness.joinWith({ id: "", subjects: "everything" }, PLAIN, false, name, grantOf(harness));
    const first = join();
    publishAll(harness);
    first.connection.closed(1006);
    publishAll(harness);
    const second = join();
    harness.clock.advance(1);
    expect(subjectsOf(second)).toEqual(["s.1", "s.2", "s.1", "s.2"]);
    expect(harness.meter.sessionsResumed).toBe(1);
    harness.expectBalance();
  });

  test("can't acknowledge, nor make dead letters of, what it was not sent", () => {
    const harness = new Harness({
      ...{ ...options, deliveryMode: "at-least-once", maxDeliver: 1 },
      deadLetterSubject: "dead",
    });
    const everything = { id: "", subjects: "everything" as const };
    const other = harness.joinWith(everything);
    const client = harness.joinWith(everything, PLAIN, false, undefined, grantOf(harness));
    harness.publish("x", "s.internal.1");
    harness.clock.advance(1);
    const id = String(other.socket.envelopes[0]!.id);
    for (const type of ["nack", "ack", "working"]) client.send({ type, id });
    client.send({ type: "ack", upto: id });
    expect(harness.deadLetters).toEqual([]);
    expect(harness.meter.ledger.inFlight).toBe(1);
    expect(harness.meter.ledger.acks.acked).toBe(0);
    other.send({ type: "ack", id });
    expect(harness.meter.ledger.inFlight).toBe(0);
    harness.expectBalance();
  });
});

describe("A client with denied subjects of a stream", () => {
  const options = {
    subjects: ["s.>", "t.*"],
    demanded: ["t.*"],
    streams: [{ name: "S", subjects: ["s.>"] }],
    ringMessages: 2,
    ringBytes: 10_000,
  };
  const KEPT = ["s.internal.1", "s.1", "s.secret", "s.2", "s.1", "s.internal.2", "s.secret"];

  function harnessOf(kept: FakeStream): Harness {
    const harness = new Harness(options, kept);
    harness.broadcaster.stream({ name: "S", origin: ORIGIN, sequence: kept.last, lost: false });
    return harness;
  }

  async function read(from: unknown, subjects = ["s.>"], deny = DENIED): Promise<TestClient> {
    const kept = new FakeStream();
    for (const subject of KEPT) kept.add(subject);
    const harness = harnessOf(kept);
    const client = harness.joinWith(undefined, V1, false, undefined, grantOf(harness, {}, deny));
    client.send({ type: "subscribe", id: "1", subjects, from });
    await until(harness, () => client.socket.notices.some(({ type }) => type === "caught_up"));
    harness.broadcaster.message(kept.add("s.internal.live"));
    harness.broadcaster.message(kept.add("s.live"));
    harness.clock.advance(5);
    harness.expectBalance();
    return client;
  }

  test.each([
    ["all", "all", ["s.1", "s.2", "s.1"]],
    ["a sequence", { seq: 3 }, ["s.2", "s.1"]],
    ["a time", { time: "2026-01-01T00:00:00Z" }, ["s.1", "s.2", "s.1"]],
    ["a cursor", { after: `${ORIGIN}:2` }, ["s.2", "s.1"]],
    ["the latest of each subject", "last_per_subject", ["s.2", "s.1"]],
    ["the latest, which is denied", "last", ["s.1"]],
  ])("gets none of them from %s on", async (_, from, got) => {
    const client = await read(from);
    expect(subjectsOf(client)).toEqual([...got, "s.live"]);
  });

  test("gets no latest message if all are denied", async () => {
    const client = await read("last", ["s.*"], ["s.1", "s.2", "*.secret"]);
    expect(subjectsOf(client)).toEqual(["s.live"]);
  });

  test("learns nothing of a stream that is denied as a whole", async () => {
    const kept = new FakeStream();
    for (const subject of KEPT) kept.add(subject);
    const harness = harnessOf(kept);
    const client = harness.joinWith(undefined, V1, false, undefined, grantOf(harness, {}, ["s.>"]));
    client.send({ type: "subscribe", id: "1", subjects: [">"], from: "all" });
    expect(lastOf(client)).toMatchObject({ error: { code: "unsupported" } });
    client.send({ type: "subscribe", id: "2", subjects: [">"] });
    expect(lastOf(client)).toMatchObject({ type: "subscribed", subjects: ["t.*"] });
    harness.broadcaster.stream({ name: "S", origin: ORIGIN, sequence: 20, lost: true });
    harness.broadcaster.streamRefused("S", "no permission");
    harness.clock.advance(5);
    const told = JSON.stringify(client.socket.frames);
    expect(told).not.toContain(ORIGIN);
    expect(told).not.toContain("no permission");
    expect(kept.asked).toEqual([]);
  });
});

describe("A durable of a client with denied subjects", () => {
  test("settles them for it, sends it the others, and does not wait", async () => {
    const durables = new FakeDurables();
    const options = {
      subjects: ["s.>"],
      demanded: [],
      streams: [{ name: "S", subjects: ["s.>"] }],
      deliveryMode: "at-least-once",
    } as const;
    const harness = new Harness(options, new FakeStream(), durables);
    harness.broadcaster.stream({ name: "S", origin: ORIGIN, sequence: 0, lost: false });
    const client = harness.joinWith(undefined, V1, false, undefined, grantOf(harness));
    client.send({ type: "subscribe", id: "1", subjects: ["s.>"], durable: "mine" });
    durables.begin();
    durables.deliver(1, "s.internal.1");
    durables.deliver(2, "s.1");
    durables.deliver(3, "s.secret");
    await Promise.resolve();
    harness.clock.advance(1);
    expect(subjectsOf(client)).toEqual(["s.1"]);
    expect(durables.settled).toEqual([
      ["r1", "ack"],
      ["r3", "ack"],
    ]);
    const { offered, tracked, lostTotal, acks } = harness.meter.ledger;
    expect({ offered, tracked, lostTotal, acked: acks.acked }).toEqual({
      ...{ offered: 1, tracked: 1 },
      ...{ lostTotal: 0, acked: 0 },
    });
    client.send({ type: "ack", id: String(client.socket.envelopes[0]!.id) });
    // A durable that must be made again begins after all that is settled, denied or acknowledged.
    expect(durables.listener?.settledUpTo).toBe(3);
    harness.expectBalance();
  });
});
