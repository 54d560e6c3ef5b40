import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { KeptStream, ORIGIN } from "./kept-stream.ts";
import { type Actor, Stage } from "./stage.ts";

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
function follow(kept: KeptStream, ringMessages: number, more = {}): Stage {
  const stage = new Stage({ ...OPTIONS, ringMessages, ...more }, kept);
  const { last: sequence } = kept;
  stage.broadcaster.stream({ name: "S", origin: ORIGIN, sequence, lost: false });
  return stage;
}

/** Time passes, between which what was promised is done. */
async function pass(stage: Stage, turns = 40): Promise<void> {
  for (let turn = 0; turn < turns; turn++) {
    stage.clock.advance(5);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

function sequencesOf({ socket }: Actor): number[] {
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
      const kept = new KeptStream();
      for (let n = 0; n < 20; n++) kept.add(`s.${n % 4}`);
      const stage = follow(kept, 10);
      const actor = stage.joinV1();
      actor.says({ type: "subscribe", id: "1", subjects: ["s.>"], from: one });
      actor.says({ type: "subscribe", id: "2", subjects: ["s.*"], from: other });
      await pass(stage, 5);
      stage.broadcaster.message(kept.add("s.1"));
      await pass(stage);
      const sequences = sequencesOf(actor);
      expect(sequences).toHaveLength(new Set(sequences).size);
      const isWhole = one === "all" || other === "all";
      const expected = isWhole ? countTo(21) : [17, 18, 19, 20, 21];
      expect(sequences.toSorted((one, other) => one - other)).toEqual(expected);
      stage.expectBalance();
    });

  test("in the ring, bring each message once, as the one says that was asked for first", async () => {
    const stage = new Stage({ ringMessages: 100, ringBytes: 100_000, stepsPerTurn: 3 });
    const keeper = stage.join(["a"]);
    stage.publish(0);
    stage.clock.advance(10);
    const after = String(keeper.socket.envelopes[0]?.id);
    for (let n = 1; n <= 50; n++) stage.publish(n);
    const actor = stage.joinV1();
    const from = { after };
    actor.says({ type: "subscribe", id: "1", subjects: ["a"], policy: "conflate", from });
    actor.says({ type: "subscribe", id: "2", subjects: [">"], from });
    actor.says({ type: "subscribe", id: "3", subjects: ["*"] });
    stage.publish(51);
    stage.clock.advance(200);
    const numbers = actor.socket.payloads.map(Number);
    expect(numbers.toSorted((one, other) => one - other)).toEqual(countTo(51));
    expect([...actor.client.subscriptions].map(({ id }) => id)).toEqual(["1", "2", "3"]);
    stage.expectBalance();
  });

  test("bring what one of them left when it was ended", async () => {
    const kept = new KeptStream();
    for (let n = 0; n < 40; n++) kept.add("s.a");
    const stage = follow(kept, 10);
    const actor = stage.joinV1();
    actor.says({ type: "subscribe", id: "1", subjects: ["s.>"], from: "all" });
    actor.says({ type: "subscribe", id: "2", subjects: ["s.*"], from: "all" });
    await pass(stage, 3);
    actor.says({ type: "unsubscribe", sub: "1" });
    await pass(stage);
    expect(new Set(sequencesOf(actor))).toEqual(new Set(countTo(40)));
    stage.expectBalance();
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
          const kept = new KeptStream();
          for (let n = 0; n < 20; n++) kept.add(`s.${n % 3}`);
          const stage = follow(kept, ringMessages, { stepsPerTurn });
          const actor = stage.joinV1();
          let id = 0;
          const begun: { matches: (subject: string) => boolean; behind: number }[] = [];
          for (const step of steps) {
            if ("publish" in step) {
              for (let n = 0; n < step.publish; n++) {
                stage.broadcaster.message(kept.add(`s.${n % 3}`));
              }
            } else if ("turns" in step) {
              await pass(stage, step.turns);
            } else if (id < 8) {
              const { subject, start } = step;
              const from = typeof start === "number" ? { seq: start } : start;
              actor.says({ type: "subscribe", id: `${++id}`, subjects: [subject], from });
              // What changes before the snapshot is made, only the last of it is in it.
              if (start === "last_per_subject") await pass(stage, 30);
              const [, token] = subject.split(".") as [string, string];
              const behind =
                start === "all" ? 0 : typeof start === "number" ? start - 1 : kept.last;
              const matches = (one: string) => /[>*]/.test(token) || one === `s.${token}`;
              begun.push({ matches, behind });
            }
          }
          await pass(stage, 120);
          const sequences = sequencesOf(actor);
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
          expect(actor.client.subscriptions.catchingUp).toBe(0);
          stage.expectBalance();
        },
      ),
      { numRuns: 100 },
    );
  });
});
