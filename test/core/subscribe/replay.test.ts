import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { SourceMessage, StreamHistory, StreamPage } from "../../../src/core/ports/source.ts";
import { V1 } from "../../../src/core/wire/dialect.ts";
import { FakeStream, ORIGIN } from "../support/fake-stream.ts";
import { Harness, stateOf, type TestClient } from "../support/harness.ts";

const OPTIONS = {
  subjects: ["s.>"],
  demanded: [],
  streams: [{ name: "S", subjects: ["s.>"] }],
  ringBytes: 1_000_000,
  maxQueueMessages: 10_000,
  maxQueueBytes: 10_000_000,
  maxFrameBytes: 65_536,
};

/** A gateway that follows a stream. */
function follow(kept: FakeStream, ringMessages: number, more = {}): Harness {
  const harness = new Harness({ ...OPTIONS, ringMessages, ...more }, kept);
  const { last: sequence } = kept;
  harness.broadcaster.stream({ name: "S", origin: ORIGIN, sequence, lost: false });
  return harness;
}

/** Time passes, between which what was promised is done. */
async function pass(harness: Harness, turns = 40): Promise<void> {
  for (let turn = 0; turn < turns; turn++) {
    harness.clock.advance(5);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

function sequencesOf({ socket }: TestClient): number[] {
  return socket.envelopes.map(({ id }) => Number(String(id).split(":").at(-1)));
}

function countTo(last: number): number[] {
  return Array.from({ length: last }, (_, n) => n + 1);
}

describe("Overlapping subscriptions that catch up at the same time", () => {
  for (const [one, other] of [
    ["all", "all"],
    ["all", { seq: 5 }],
    [{ seq: 5 }, "all"],
    ["last_per_subject", "last_per_subject"],
    ["last_per_subject", "all"],
    ["all", "last_per_subject"],
  ] as const)
    test(`from ${JSON.stringify(one)} and ${JSON.stringify(other)}, bring each message once`, async () => {
      const kept = new FakeStream();
      for (let n = 0; n < 20; n++) kept.add(`s.${n % 4}`);
      const harness = follow(kept, 10);
      const peer = harness.joinV1();
      peer.send({ type: "subscribe", id: "1", subjects: ["s.>"], from: one });
      peer.send({ type: "subscribe", id: "2", subjects: ["s.*"], from: other });
      await pass(harness, 5);
      harness.broadcaster.message(kept.add("s.1"));
      await pass(harness);
      const sequences = sequencesOf(peer);
      expect(sequences).toHaveLength(new Set(sequences).size);
      const isWhole = one === "all" || other === "all";
      const expected = isWhole ? countTo(21) : [17, 18, 19, 20, 21];
      expect(sequences.toSorted((one, other) => one - other)).toEqual(expected);
      harness.expectBalance();
    });

  test("name themselves in the gaps that only they have", async () => {
    const kept = new FakeStream();
    for (let n = 0; n < 20; n++) kept.add("s.a");
    const harness = follow(kept, 4, { maxReplayMessages: 10 });
    const peer = harness.joinV1();
    const after = (sequence: number) => ({ after: `${ORIGIN}:${sequence}` });
    peer.send({ type: "subscribe", id: "1", subjects: ["s.>"], from: after(2) });
    peer.send({ type: "subscribe", id: "2", subjects: ["s.*"], from: after(5) });
    peer.send({ type: "subscribe", id: "3", subjects: ["s.a"], from: after(15) });
    await pass(harness);
    const gaps = peer.socket.notices.filter(({ type }) => type === "gap");
    const to = `${ORIGIN}:10`;
    expect(gaps).toMatchObject([
      { sub: "1", from: `${ORIGIN}:3`, to },
      { sub: "2", from: `${ORIGIN}:6`, to },
    ]);
    harness.expectBalance();
  });

  test("in the ring, bring each message once, as the one says that was asked for first", async () => {
    const harness = new Harness({ ringMessages: 100, ringBytes: 100_000, stepsPerTurn: 3 });
    const keeper = harness.join(["a"]);
    harness.publish(0);
    harness.clock.advance(10);
    const after = String(keeper.socket.envelopes[0]?.id);
    for (let n = 1; n <= 50; n++) harness.publish(n);
    const peer = harness.joinV1();
    const from = { after };
    peer.send({ type: "subscribe", id: "1", subjects: ["a"], policy: "conflate", from });
    peer.send({ type: "subscribe", id: "2", subjects: [">"], from });
    peer.send({ type: "subscribe", id: "3", subjects: ["*"] });
    harness.publish(51);
    harness.clock.advance(200);
    const numbers = peer.socket.payloads.map(Number);
    expect(numbers.toSorted((one, other) => one - other)).toEqual(countTo(51));
    expect([...peer.session.subscriptions].map(({ id }) => id)).toEqual(["1", "2", "3"]);
    harness.expectBalance();
  });

  test("bring what one of them left when it was ended", async () => {
    const kept = new FakeStream();
    for (let n = 0; n < 40; n++) kept.add("s.a");
    const harness = follow(kept, 10);
    const peer = harness.joinV1();
    peer.send({ type: "subscribe", id: "1", subjects: ["s.>"], from: "all" });
    peer.send({ type: "subscribe", id: "2", subjects: ["s.*"], from: "all" });
    await pass(harness, 3);
    peer.send({ type: "unsubscribe", sub: "1" });
    await pass(harness, 80);
    expect(new Set(sequencesOf(peer))).toEqual(new Set(countTo(40)));
    harness.expectBalance();
  });

  test("whatever they are and whenever they begin and end, miss nothing and bring nothing twice", async () => {
    const subscribe = fc.record({
      subject: fc.constantFrom("s.>", "s.*", "s.0", "s.1", "*.1"),
      start: fc.constantFrom("all", "last_per_subject", "new", 3, 12),
    });
    const step = fc.oneof(
      subscribe,
      fc.record({ publish: fc.integer({ min: 1, max: 4 }) }),
      fc.record({ turns: fc.integer({ min: 1, max: 4 }) }),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { maxLength: 14 }),
        fc.constantFrom(5, 40),
        fc.constantFrom(1, 5000),
        async (steps, ringMessages, stepsPerTurn) => {
          const kept = new FakeStream();
          for (let n = 0; n < 20; n++) kept.add(`s.${n % 3}`);
          const harness = follow(kept, ringMessages, { stepsPerTurn });
          const peer = harness.joinV1();
          let id = 0;
          const begun: { matches: (subject: string) => boolean; behind: number }[] = [];
          for (const step of steps) {
            if ("publish" in step) {
              for (let n = 0; n < step.publish; n++) {
                harness.broadcaster.message(kept.add(`s.${n % 3}`));
              }
            } else if ("turns" in step) {
              await pass(harness, step.turns);
            } else if (id < 8) {
              const { subject, start } = step;
              const from = typeof start === "number" ? { seq: start } : start;
              peer.send({ type: "subscribe", id: `${++id}`, subjects: [subject], from });
              // What changes before the snapshot is made, only the last of it is in it.
              if (start === "last_per_subject") await pass(harness, 30);
              const [, token] = subject.split(".") as [string, string];
              const behind =
                start === "all" ? 0 : typeof start === "number" ? start - 1 : kept.last;
              const matches = (one: string) => /[>*]/.test(token) || one === `s.${token}`;
              begun.push({ matches, behind });
            }
          }
          await pass(harness, 120);
          const sequences = sequencesOf(peer);
          for (const { sequence } of [...kept.messages.values()].map(({ position }) => position!)) {
            const { subject } = kept.messages.get(sequence)!;
            const isDue = begun.some(
              ({ matches, behind }) => sequence > behind && matches(subject),
            );
            const times = sequences.filter((one) => one === sequence).length;
            // Each that begins with the latest of each subject gets it, when no other one catches up.
            const snapshots = steps.filter(
              (one) => "start" in one && one.start === "last_per_subject",
            ).length;
            const least = isDue ? 1 : 0;
            if (times < least || times > least + snapshots) {
              throw new Error(`${sequence} came ${times} times`);
            }
          }
          expect(peer.session.subscriptions.catchingUp).toBe(0);
          harness.expectBalance();
        },
      ),
      { numRuns: 100 },
    );
  });
});

describe("Who begins in a stream", () => {
  for (const [name, from, expected] of [
    ["all", "all", [1, 3, 5, 6]],
    ["a sequence", { seq: 2 }, [3, 5, 6]],
    ["a time", { time: "2026-01-01T00:00:00Z" }, [1, 3, 5, 6]],
  ] as const)
    test(`with ${name}, is not sent from the ring what the stream no longer keeps`, async () => {
      const kept = new FakeStream();
      const harness = follow(kept, 100);
      for (let n = 0; n < 5; n++) harness.broadcaster.message(kept.add("s.a"));
      kept.delete(2);
      kept.delete(4);
      const peer = harness.joinV1();
      peer.send({ type: "subscribe", id: "1", subjects: ["s.>"], from });
      await pass(harness);
      harness.broadcaster.message(kept.add("s.a"));
      await pass(harness);
      expect(sequencesOf(peer)).toEqual([...expected]);
      harness.expectBalance();
    });

  test("is not sent what was purged, though all that is left is in the ring", async () => {
    const kept = new FakeStream();
    const harness = follow(kept, 100);
    for (let n = 0; n < 6; n++) harness.broadcaster.message(kept.add("s.a"));
    for (const sequence of [1, 2, 3]) kept.delete(sequence);
    const peer = harness.joinV1();
    peer.send({ type: "subscribe", id: "1", subjects: ["s.>"], from: "all" });
    await pass(harness);
    expect(sequencesOf(peer)).toEqual([4, 5, 6]);
    // Nothing but its head is gone: the ring was proved, and served it.
    expect(kept.asked).toEqual([]);
    expect(kept.extents).toBe(1);
  });

  test("is not sent from a page that others read what is gone since; who resumes may be", async () => {
    const kept = new FakeStream();
    for (let n = 0; n < 12; n++) kept.add("s.a");
    const harness = follow(kept, 2);
    const first = harness.joinV1();
    first.send({ type: "subscribe", id: "1", subjects: ["s.>"], from: "all" });
    await pass(harness);
    expect(sequencesOf(first)).toEqual(countTo(12));
    const { length: before } = kept.asked;
    const second = harness.joinV1();
    second.send({ type: "subscribe", id: "1", subjects: ["s.>"], from: "all" });
    await pass(harness);
    expect(sequencesOf(second)).toEqual(countTo(12));
    // Only the last page is read anew.
    expect(kept.asked.length - before).toBe(1);
    kept.delete(5);
    const third = harness.joinV1();
    third.send({ type: "subscribe", id: "1", subjects: ["s.>"], from: "all" });
    await pass(harness);
    expect(sequencesOf(third)).toEqual(countTo(12).filter((one) => one !== 5));
  });

  test("has no hole where messages come while it reads", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.oneof(fc.constant("publish"), fc.constant("turn"), fc.nat(20)), {
          maxLength: 30,
        }),
        fc.constantFrom(3, 50),
        async (steps, ringMessages) => {
          const kept = new FakeStream();
          for (let n = 0; n < 10; n++) kept.add("s.a");
          const harness = follow(kept, ringMessages);
          for (let n = 0; n < 10; n++) harness.broadcaster.message(kept.add("s.a"));
          const gone = new Set<number>();
          const delayed = steps.splice(0, 5);
          for (const step of delayed) {
            if (typeof step !== "number") continue;
            kept.delete(step);
            gone.add(step);
          }
          const peer = harness.joinV1();
          peer.send({ type: "subscribe", id: "1", subjects: ["s.>"], from: "all" });
          for (const step of steps) {
            if (step === "publish") harness.broadcaster.message(kept.add("s.a"));
            else await pass(harness, 1);
          }
          await pass(harness, 60);
          const expected = countTo(kept.last).filter((sequence) => !gone.has(sequence));
          expect(sequencesOf(peer)).toEqual(expected);
        },
      ),
      { numRuns: 100 },
    );
  });
});

describe("Catch-ups with patterns that the source can't select", () => {
  test("read the same pages, however different they are", async () => {
    const kept = new FakeStream(10);
    for (let n = 0; n < 100; n++) kept.add(`s.${n % 10}.x`);
    const harness = follow(kept, 2);
    const peers = Array.from({ length: 20 }, (_, n) => {
      const peer = harness.joinV1();
      const subjects = [`s.${n % 10}.*`, `s.*.${n}`];
      peer.send({ type: "subscribe", id: "1", subjects, from: "all" });
      return peer;
    });
    await pass(harness, 400);
    for (const [n, peer] of peers.entries()) {
      const wanted = countTo(100).filter((sequence) => (sequence - 1) % 10 === n % 10);
      expect(sequencesOf(peer)).toEqual(wanted);
    }
    // Ten pages, and some of them for those who came while they were read.
    expect(kept.asked.length).toBeLessThan(30);
    for (const { subjects } of kept.asked) expect(subjects).toEqual(["s.>"]);
    harness.expectBalance();
  });

  test("that begin with the latest of each subject share a snapshot", async () => {
    const kept = new FakeStream(10);
    for (let n = 0; n < 100; n++) kept.add(`s.${n % 50}.x`);
    const harness = follow(kept, 2);
    const join = (n: number): TestClient => {
      const peer = harness.joinV1();
      const subjects = [`s.${n % 10}.*`, `s.*.${n}`, `s.${(n % 10) + 20}.x`];
      peer.send({ type: "subscribe", id: "1", subjects, from: "last_per_subject" });
      return peer;
    };
    const peers = Array.from({ length: 20 }, (_, n) => join(n));
    await pass(harness, 400);
    for (const [n, peer] of peers.entries()) {
      expect(sequencesOf(peer)).toEqual([51 + (n % 10), 71 + (n % 10)]);
      expect(peer.socket.frames.at(-1)?.type).toBe("caught_up");
    }
    expect(kept.asked.length).toBeLessThanOrEqual(2);
    for (const { subjects } of kept.asked) expect(subjects).toEqual(["s.>"]);
    harness.expectBalance();
  });

  test("are not sent from a snapshot that others read what is gone since", async () => {
    const kept = new FakeStream(1);
    for (let n = 0; n < 50; n++) kept.add(`s.${n % 25}`);
    const harness = follow(kept, 2);
    const join = (): TestClient => {
      const peer = harness.joinV1();
      peer.send({ type: "subscribe", id: "1", subjects: ["s.*"], from: "last_per_subject" });
      return peer;
    };
    const first = join();
    await pass(harness, 5);
    expect(sequencesOf(first).length).toBeGreaterThan(0);
    kept.delete(50);
    const others = Array.from({ length: 5 }, join);
    await pass(harness, 600);
    expect(sequencesOf(first)).toEqual(countTo(50).slice(25));
    for (const other of others) {
      expect(sequencesOf(other).filter((one) => one > 25)).toEqual(countTo(49).slice(25));
    }
    expect(kept.asked).toHaveLength(2);
  });

  test("wait for nobody who takes its time, and keep no more of a snapshot for it than some megabytes", async () => {
    const kept = new FakeStream(1);
    const long = "x".repeat(400_000);
    for (let n = 0; n < 20; n++) {
      const message = kept.add(`s.${n}`);
      Object.assign(message, { data: new TextEncoder().encode(JSON.stringify(long)) });
    }
    const harness = follow(kept, 0, {
      maxReplayBytes: 1e9,
      writeTimeoutMs: 1e9,
      readTimeoutMs: 1e9,
    });
    const [slow, fast] = [harness.joinV1(), harness.joinV1()];
    slow.socket.reads = false;
    const frame = { type: "subscribe", id: "1", subjects: ["s.*"], from: "last_per_subject" };
    for (const peer of [slow, fast]) peer.send(frame);
    await pass(harness, 400);
    expect(sequencesOf(fast)).toEqual(countTo(20));
    expect(fast.socket.frames.at(-1)?.type).toBe("caught_up");
    expect(sequencesOf(slow).length).toBeLessThan(10);
    slow.socket.reads = true;
    slow.socket.buffered = 0;
    await pass(harness, 600);
    expect(sequencesOf(slow)).toEqual(countTo(20));
    // It went on by itself.
    expect(kept.asked).toHaveLength(2);
    harness.expectBalance();
  });

  test("ask the source for no more than it is to do at the same time", async () => {
    const kept = new FakeStream();
    for (let n = 0; n < 30; n++) kept.add(`s.${n % 10}`);
    const harness = follow(kept, 2);
    for (let n = 0; n < 100; n++) {
      const peer = harness.joinV1();
      const from = n % 2 === 0 ? "all" : "last_per_subject";
      peer.send({ type: "subscribe", id: "1", subjects: [`s.${n % 10}`], from });
    }
    for (let turn = 0; turn < 3000; turn++) await pass(harness, 1);
    expect(kept.mostOpen).toBeLessThanOrEqual(16);
    expect(harness.meter.ledger.sent).toBe(50 * 3 + 50);
  });
});

describe("A client whose place is beyond what the source has of the stream", () => {
  const begin = async (from: object = { after: `${ORIGIN}:12` }) => {
    const kept = new FakeStream();
    for (let n = 0; n < 10; n++) kept.add("s.a");
    const harness = follow(kept, 10);
    const client = harness.joinV1();
    client.send({ type: "subscribe", id: "1", subjects: ["s.>"], from });
    await pass(harness, 20);
    const gaps = () => client.socket.frames.filter(({ type }) => type === "gap");
    return { kept, harness, client, gaps };
  };

  test("gets what follows its place if the source only lagged behind, and nothing twice", async () => {
    const { kept, harness, client, gaps } = await begin();
    for (let n = 0; n < 3; n++) harness.broadcaster.message(kept.add("s.a"));
    await pass(harness, 5);
    expect(sequencesOf(client)).toEqual([13]);
    expect(gaps()).toEqual([]);
    harness.expectBalance();
  });

  test("is told at once if it only begins there, as it misses nothing", async () => {
    const { kept, harness, client, gaps } = await begin({ seq: 15 });
    expect(gaps()).toMatchObject([{ reason: "stream_reset", to: `${ORIGIN}:10` }]);
    expect(client.socket.frames.at(-1)?.type).toBe("caught_up");
    harness.broadcaster.message(kept.add("s.a"));
    await pass(harness, 5);
    expect(sequencesOf(client)).toEqual([11]);
    harness.expectBalance();
  });

  test("is told after some seconds that the stream never had that message", async () => {
    const { kept, harness, client, gaps } = await begin();
    expect(gaps()).toEqual([]);
    for (let second = 0; second < 10; second++) {
      harness.clock.advance(1000);
      await pass(harness, 5);
    }
    expect(gaps()).toMatchObject([{ reason: "stream_reset", to: `${ORIGIN}:10` }]);
    harness.broadcaster.message(kept.add("s.a"));
    await pass(harness, 5);
    expect(sequencesOf(client)).toEqual([11]);
    harness.expectBalance();
  });
});

test("A source that doesn't know yet what has come live isn't asked again and again, and then everything comes once", async () => {
  const kept = new FakeStream(100);
  for (let n = 0; n < 10; n++) kept.add("s.a");
  const harness = follow(kept, 1);
  const missing = [kept.add("s.a"), kept.add("s.a")];
  for (const message of missing) {
    harness.broadcaster.message(message);
    kept.delete(message.position!.sequence);
  }
  kept.last = 10;
  const client = harness.joinV1();
  client.send({ type: "subscribe", id: "1", subjects: ["s.>"], from: { after: `${ORIGIN}:5` } });
  await pass(harness, 200);
  expect(sequencesOf(client)).toEqual([6, 7, 8, 9, 10]);
  expect(kept.asked.length).toBeLessThan(10);
  for (const message of missing) kept.messages.set(message.position!.sequence, message);
  kept.last = 12;
  await pass(harness, 200);
  expect(sequencesOf(client)).toEqual([6, 7, 8, 9, 10, 11, 12]);
  expect(client.socket.frames.at(-1)?.type).toBe("caught_up");
  harness.expectBalance();
});

describe("A client of a stream whose last messages the gateway doesn't carry", () => {
  const begin = async (from: unknown, edit: (kept: FakeStream) => void = () => {}) => {
    const kept = new FakeStream();
    for (let n = 0; n < 10; n++) kept.add("s.a");
    const harness = follow(kept, 10);
    for (let n = 0; n < 10; n++) kept.add("other");
    edit(kept);
    const client = harness.joinV1();
    client.send({ type: "subscribe", id: "1", subjects: ["s.>"], from });
    await pass(harness, 20);
    return { kept, harness, client };
  };
  const isCaughtUp = ({ socket }: TestClient) =>
    socket.frames.some(({ type }) => type === "caught_up");

  for (const [name, from, sequences] of [
    ["a snapshot", "last_per_subject", [10]],
    ["the last message", "last", [10]],
    ["what it missed after a snapshot", { after: `${ORIGIN}:20` }, []],
  ] as const)
    test(`has caught up with ${name} without a wait, and gets the next ones once`, async () => {
      const { kept, harness, client } = await begin(from);
      expect(isCaughtUp(client)).toBe(true);
      harness.broadcaster.message(kept.add("s.a"));
      await pass(harness, 5);
      expect(sequencesOf(client)).toEqual([...sequences, 21]);
      harness.expectBalance();
    });

  test("has caught up without a wait if those that it wants are gone", async () => {
    const { client } = await begin("all", (kept) => {
      for (let sequence = 1; sequence <= 15; sequence++) kept.delete(sequence);
    });
    expect(isCaughtUp(client)).toBe(true);
    expect(sequencesOf(client)).toEqual([]);
  });

  test("gets nothing twice that was sent and deleted before it comes live", async () => {
    const late: SourceMessage[] = [];
    const { kept, harness, client } = await begin("last", (stream) => {
      late.push(stream.add("s.a"));
      stream.add("other");
    });
    expect(sequencesOf(client)).toEqual([21]);
    expect(isCaughtUp(client)).toBe(false);
    kept.delete(21);
    harness.broadcaster.message(late[0]!);
    await pass(harness, 20);
    expect(isCaughtUp(client)).toBe(true);
    harness.broadcaster.message(kept.add("s.a"));
    await pass(harness, 5);
    expect(sequencesOf(client)).toEqual([21, 23]);
    harness.expectBalance();
  });
});

test("A client that read more than has come live gets nothing twice if that comes late", async () => {
  const kept = new FakeStream();
  for (let n = 0; n < 10; n++) kept.add("s.a");
  const harness = follow(kept, 10);
  const late = Array.from({ length: 5 }, () => kept.add("s.a"));
  const client = harness.joinV1();
  client.send({ type: "subscribe", id: "1", subjects: ["s.>"], from: { after: `${ORIGIN}:12` } });
  await pass(harness, 20);
  expect(sequencesOf(client)).toEqual([13, 14, 15]);
  // The source's consumer stands still for longer than messages need that are only under way.
  for (let second = 0; second < 5; second++) {
    harness.clock.advance(1000);
    await pass(harness, 5);
  }
  for (const message of [...late, kept.add("s.a")]) harness.broadcaster.message(message);
  await pass(harness, 5);
  expect(sequencesOf(client)).toEqual([13, 14, 15, 16]);
  harness.expectBalance();
});

describe("A client that is handed what the ring has, in many turns,", () => {
  const begin = async () => {
    const kept = new FakeStream();
    const harness = follow(kept, 100, { stepsPerTurn: 1 });
    for (let n = 0; n < 30; n++) harness.broadcaster.message(kept.add("s.a"));
    const client = harness.joinV1();
    client.send({
      type: "subscribe",
      id: "1",
      subjects: ["s.>"],
      from: { after: `${ORIGIN}:0` },
    });
    for (let turn = 0; turn < 10; turn++) {
      await new Promise((resolve) => setImmediate(resolve));
      harness.clock.turn();
    }
    expect(client.session.subscriptions.catchingUp).toBe(1);
    return { kept, harness, client };
  };

  test("is told that the stream was made anew meanwhile, and gets all of the new one", async () => {
    const { harness, client } = await begin();
    const { broadcaster } = harness;
    const origin = "S:another";
    broadcaster.stream({ name: "S", origin, sequence: 0, lost: false });
    const data = new TextEncoder().encode("31");
    broadcaster.message({ subject: "s.a", data, position: { origin, sequence: 1 } });
    await pass(harness);
    expect(sequencesOf(client)).toEqual([...countTo(30), 1]);
    expect(client.socket.notices.slice(-2)).toMatchObject([
      { type: "gap", reason: "stream_reset", to: `${origin}:0`, sub: "1" },
      { type: "caught_up" },
    ]);
    harness.expectBalance();
  });

  test("gets from the stream what did not come live meanwhile", async () => {
    const { kept, harness, client } = await begin();
    for (let n = 0; n < 10; n++) kept.add("s.a");
    harness.broadcaster.stream({ name: "S", origin: ORIGIN, sequence: 35, lost: true });
    for (let sequence = 36; sequence <= 40; sequence++) {
      harness.broadcaster.message(kept.messages.get(sequence)!);
    }
    await pass(harness, 120);
    expect(sequencesOf(client)).toEqual(countTo(40));
    expect(client.socket.frames.at(-1)?.type).toBe("caught_up");
    harness.expectBalance();
  });
});

describe("A client that resumes at a cursor of the gateway", () => {
  const MORE = { subjects: ["s.>", "a"], demanded: ["a"], stepsPerTurn: 1 };
  /** A gateway with a message of its own, and that message's cursor. */
  const begin = () => {
    const kept = new FakeStream();
    const harness = follow(kept, 100, MORE);
    const keeper = harness.join(["a"]);
    harness.publish(0);
    harness.clock.advance(10);
    const after = String(keeper.socket.envelopes[0]?.id);
    return { kept, harness, after };
  };
  /** The client resumes, and is still handed what the ring has. */
  const resume = async () => {
    const { kept, harness, after } = begin();
    for (let n = 0; n < 30; n++) harness.broadcaster.message(kept.add("s.a"));
    const client = harness.joinV1();
    client.send({ type: "subscribe", id: "1", subjects: ["s.>", "a"], from: { after } });
    for (let turn = 0; turn < 10; turn++) harness.clock.turn();
    expect(client.session.subscriptions.catchingUp).toBe(1);
    return { harness, client };
  };

  test("is told of all that a stream lost meanwhile", async () => {
    const { harness, client } = await resume();
    for (const sequence of [35, 38]) {
      const lost = { name: "S", origin: ORIGIN, sequence, lost: true };
      harness.broadcaster.stream(lost);
    }
    await pass(harness);
    expect(sequencesOf(client)).toEqual(countTo(30));
    expect(client.socket.notices.slice(-3)).toMatchObject([
      { type: "gap", reason: "expired", from: `${ORIGIN}:31`, to: `${ORIGIN}:35`, count: 5 },
      { type: "gap", reason: "expired", from: `${ORIGIN}:36`, to: `${ORIGIN}:38`, count: 3 },
      { type: "caught_up" },
    ]);
    harness.expectBalance();
  });

  test("is told that the source was not connected meanwhile", async () => {
    const { harness, client } = await resume();
    harness.disconnect();
    harness.connect();
    await pass(harness);
    expect(sequencesOf(client)).toEqual(countTo(30));
    expect(client.socket.notices.slice(-2)).toMatchObject([
      { type: "gap", reason: "upstream", count: 0 },
      { type: "caught_up" },
    ]);
    harness.expectBalance();
  });

  test("is told once what another subscription of its was told, too", async () => {
    const { harness, client } = await resume();
    client.send({ type: "subscribe", id: "2", subjects: ["s.b"] });
    const lost = { name: "S", origin: ORIGIN, sequence: 35, lost: true };
    harness.broadcaster.stream(lost);
    await pass(harness);
    const types = client.socket.notices.map(({ type }) => type);
    expect(types.filter((type) => type === "gap")).toHaveLength(1);
    expect(types).toContain("caught_up");
  });

  test("is told of what a stream lost while it was away", async () => {
    const { kept, harness, after } = begin();
    for (let n = 0; n < 5; n++) harness.broadcaster.message(kept.add("s.a"));
    harness.broadcaster.stream({ name: "S", origin: ORIGIN, sequence: 7, lost: true });
    for (kept.last = 7; kept.last < 10; ) harness.broadcaster.message(kept.add("s.a"));
    const client = harness.joinV1();
    client.send({ type: "subscribe", id: "1", subjects: ["s.>", "a"], from: { after } });
    await pass(harness);
    expect(sequencesOf(client)).toEqual([1, 2, 3, 4, 5, 8, 9, 10]);
    expect(client.socket.notices).toMatchObject([
      { type: "welcome" },
      { type: "subscribed" },
      { type: "gap", from: after, count: 0 },
      { type: "caught_up" },
    ]);
  });
});

test("A client that resumes after a message of one stream is told what another one has removed meanwhile", async () => {
  const one = new FakeStream();
  const other = new FakeStream(3, "T:epoch");
  const of = (origin: string) => (origin === ORIGIN ? one : other);
  const history: StreamHistory = {
    selects: () => true,
    extent: (origin) => of(origin).extent(origin),
    read: (query, after) => of(query.origin).read(query, after),
    latest: (query, kind) => of(query.origin).latest(query, kind),
    snapshot: async () => undefined,
    before: async () => 0,
  };
  for (let n = 0; n < 20; n++) one.add("s.a");
  const streams = [
    { name: "S", subjects: ["s.>"] },
    { name: "T", subjects: ["t.>"] },
  ];
  const more = { streams, subjects: ["s.>", "t.>"], ringMessages: 4 };
  const harness = new Harness({ ...OPTIONS, ...more }, history);
  for (const [name, origin] of [
    ["S", ORIGIN],
    ["T", "T:epoch"],
  ] as const) {
    harness.broadcaster.stream({ name, origin, sequence: of(origin).last, lost: false });
  }
  const client = harness.joinV1();
  const after = `${ORIGIN}:0`;
  client.send({ type: "subscribe", id: "1", subjects: ["s.>", "t.>"], from: { after } });
  await pass(harness, 1);
  for (let n = 0; n < 10; n++) harness.broadcaster.message(other.add("t.a"));
  for (const sequence of [1, 2, 3]) other.delete(sequence);
  await pass(harness);
  expect(sequencesOf(client)).toEqual([...countTo(20), 4, 5, 6, 7, 8, 9, 10]);
  expect(client.socket.notices.slice(-2)).toMatchObject([
    { type: "gap", reason: "expired", from: "T:epoch:1", to: "T:epoch:3", count: 3 },
    { type: "caught_up" },
  ]);
});

test("A client of streams and of other subjects is told that the source was not connected while it read", async () => {
  const kept = new FakeStream();
  for (let n = 0; n < 9; n++) kept.add("s.a");
  const harness = follow(kept, 5, { subjects: ["s.>", "a"], demanded: ["a"] });
  const client = harness.joinV1();
  client.send({ type: "subscribe", id: "1", subjects: ["s.>", "a"], from: "all" });
  await pass(harness, 1);
  expect(client.session.subscriptions.catchingUp).toBe(1);
  harness.disconnect();
  harness.connect();
  await pass(harness);
  expect(sequencesOf(client)).toEqual(countTo(9));
  expect(client.socket.notices.slice(-2)).toMatchObject([
    { type: "gap", reason: "upstream", count: 0 },
    { type: "caught_up" },
  ]);
  harness.expectBalance();
});

describe("Many clients that catch up", () => {
  test("give their places back when their pages are taken, or when they go", async () => {
    const kept = new FakeStream();
    for (let n = 0; n < 12; n++) kept.add("s.a");
    const harness = follow(kept, 2);
    const clients = Array.from({ length: 80 }, () => {
      const client = harness.joinV1();
      client.send({ type: "subscribe", id: "1", subjects: ["s.>"], from: "all" });
      return client;
    });
    await pass(harness, 5);
    for (const { connection } of clients.splice(0, 40)) connection.closed(1006);
    await pass(harness, 100);
    // Sooner than places are taken back.
    expect(harness.clock.nowMs()).toBeLessThan(1000);
    for (const client of clients) expect(sequencesOf(client)).toEqual(countTo(12));
    harness.expectBalance();
  });

  test("have their own pace from the first page to the last, and are live then", async () => {
    const kept = new FakeStream();
    for (let n = 0; n < 12; n++) kept.add("s.a");
    const harness = follow(kept, 2);
    const client = harness.joinV1();
    client.send({ type: "subscribe", id: "1", subjects: ["s.>"], from: "all" });
    const states: string[] = [];
    while (client.session.subscriptions.catchingUp > 0) {
      states.push(stateOf(client.session));
      await pass(harness, 1);
    }
    expect(sequencesOf(client)).toEqual(countTo(12));
    // Before its first page, it is in the audience that wants nothing.
    expect([...new Set(states)]).toEqual(["live", "queued"]);
    expect(states.lastIndexOf("live")).toBeLessThan(states.indexOf("queued"));
    await pass(harness, 2);
    expect(stateOf(client.session)).toBe("live");
  });

  test("are live while the stream can't be read between two pages", async () => {
    class FailingStream extends FakeStream {
      isAway = false;

      override async read(...args: Parameters<FakeStream["read"]>): Promise<StreamPage> {
        if (this.isAway) throw new Error("JetStream is away");
        return await super.read(...args);
      }
    }
    const kept = new FailingStream();
    for (let n = 0; n < 12; n++) kept.add("s.a");
    const harness = follow(kept, 2);
    const client = harness.joinV1();
    client.send({ type: "subscribe", id: "1", subjects: ["s.>"], from: "all" });
    while (sequencesOf(client).length === 0) await pass(harness, 1);
    expect(stateOf(client.session)).toBe("queued");
    kept.isAway = true;
    await pass(harness, 10);
    expect(stateOf(client.session)).toBe("live");
    kept.isAway = false;
    await pass(harness, 100);
    expect(sequencesOf(client)).toEqual(countTo(12));
    expect(stateOf(client.session)).toBe("live");
    harness.expectBalance();
  });

  test("are sent nothing more when they unsubscribe, and the stream is not read for them", async () => {
    const kept = new FakeStream(1);
    for (let n = 0; n < 50; n++) kept.add("s.a");
    const harness = follow(kept, 2);
    const client = harness.joinV1();
    await pass(harness, 10);
    const { timers } = harness.clock;
    client.send({ type: "subscribe", id: "1", subjects: ["s.>"], from: "all" });
    await pass(harness, 10);
    client.send({ type: "unsubscribe", sub: "1" });
    // One page waits for the next flush.
    await pass(harness, 1);
    const { length } = sequencesOf(client);
    const asked = kept.asked.length;
    await pass(harness, 100);
    expect(sequencesOf(client)).toHaveLength(length);
    expect(kept.asked.length).toBeLessThanOrEqual(asked + 1);
    expect(client.session.subscriptions.catchingUp).toBe(0);
    expect(stateOf(client.session)).toBe("live");
    // The pages that were read are kept for a short time.
    expect(harness.clock.timers).toBe(timers + 1);
    harness.expectBalance();
  });
});

test("A client that takes nothing of all that it has asked for keeps no other client waiting", async () => {
  const kept = new FakeStream(200);
  for (let n = 0; n < 180; n++) kept.add(`s.${n % 60}`);
  const harness = follow(kept, 10, { maxSubscriptions: 64 });
  const [idle, busy] = ["192.0.2.1", "192.0.2.2"].map((address) =>
    harness.joinWith(undefined, V1, false, undefined, harness.grant, undefined, address),
  ) as [TestClient, TestClient];
  idle.send({ type: "slow" });
  for (let n = 0; n < 60; n++) {
    idle.send({ type: "subscribe", id: `${n}`, subjects: [`s.${n}`], from: "all" });
  }
  await pass(harness);
  busy.send({ type: "subscribe", id: "1", subjects: ["s.>"], from: "all" });
  await pass(harness, 80);
  expect(sequencesOf(busy)).toEqual(countTo(180));
});
