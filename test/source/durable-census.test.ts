import { describe, expect, test } from "bun:test";
import { DurableCensus } from "../../src/source/jetstream/durable-census.ts";
import { CONSUMER_PREFIX } from "../../src/source/jetstream/durable-key.ts";
import { JetStreamDurables } from "../../src/source/jetstream/durables.ts";
import type { StreamApi } from "../../src/source/jetstream/stream-api.ts";
import { keptLog } from "../access/support/kept-log.ts";
import { settled } from "../core/support/auth-harness.ts";
import { until } from "../support/event-log.ts";

const BOUNDS = { maxDurables: 2, maxDurablesPerSub: 2 };

/** A census whose lists of consumers come when the test says so. */
function open() {
  let nowMs = 0;
  const lists: ((names: readonly string[]) => void)[] = [];
  const api = {
    consumerNames: () => new Promise((resolve) => lists.push(resolve)),
  } as unknown as StreamApi;
  const census = new DurableCensus(BOUNDS, () => nowMs);
  const make = (name: string, made: Promise<string> = Promise.resolve("made")) =>
    census.make(api, "S", `${CONSUMER_PREFIX}${name}`, () => made);
  return {
    ...{ lists, make },
    pass: (ms: number) => {
      nowMs += ms;
    },
  };
}

const FULL = { full: "a stream may have at most 2 durables" };

describe("The durables of a stream", () => {
  test("are listed once, for all that begin before the list is there, however long it takes", async () => {
    const { lists, make, pass } = open();
    const made = [make("a")];
    for (let second = 0; second < 10; second++) {
      pass(1001);
      made.push(make("a"));
    }
    expect(lists).toHaveLength(1);
    lists[0]!([]);
    expect(await Promise.all(made)).toEqual(made.map(() => "made") as never);
    // Its beginning is long ago.
    const next = make("b");
    expect(lists).toHaveLength(2);
    lists[1]!([]);
    expect(await next).toBe("made");
    expect(await make("c")).toBe("made");
    expect(lists).toHaveLength(2);
    expect(await make("d")).toEqual(FULL);
  });

  test("are counted while they are made, though a later list lacks them", async () => {
    const { lists, make, pass } = open();
    const slow = Promise.withResolvers<string>();
    const first = [make("a", slow.promise), make("b", slow.promise)];
    lists[0]!([]);
    await settled();
    pass(1001);
    const third = make("c");
    lists[1]!([]);
    expect(await third).toEqual(FULL);
    slow.resolve("made");
    expect(await Promise.all(first)).toEqual(["made", "made"]);
  });
});

test("A durable that begins after the drain asks JetStream for nothing, and settlements still arrive", async () => {
  const { log } = keptLog();
  const bounds = { ...BOUNDS, ackTimeoutMs: 1000, maxInflightMessages: 1, maxInflightBytes: 1 };
  const durables = new JetStreamDurables({ ...bounds, durableTtlMs: 1000 }, log);
  const asked: string[] = [];
  const api = {
    stream: (name: string) => {
      asked.push(name);
      return new Promise(() => {});
    },
    connection: { publish: (subject: string, body: string) => void asked.push(subject + body) },
  } as unknown as StreamApi;
  const query = {
    name: "d",
    stream: "S",
    owner: undefined,
    subjects: ["a"],
    start: "all",
  } as never;
  const listener = { settledUpTo: undefined } as never;
  const times = (count: number) =>
    until(
      `${count} questions`,
      async () => asked.filter((one) => one === "S").length,
      (questions) => questions === count,
    );
  durables.open(api);
  const before = durables.use(query, listener);
  await times(1);
  durables.drain();
  const after = durables.use(query, listener);
  before.settle("receipt", "ack");
  // The next connection asks for both, after what would have been asked before.
  durables.open(api);
  await times(3);
  expect(asked).toEqual(["S", "receipt+ACK", "S", "S"]);
  for (const use of [before, after]) use.release();
});
