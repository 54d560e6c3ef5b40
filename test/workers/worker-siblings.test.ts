import { describe, expect, test } from "bun:test";
import type { WorkerReport } from "../../src/gateway/siblings.ts";
import type { WorkerMessage } from "../../src/workers/messages.ts";
import { WorkerSiblings } from "../../src/workers/worker-siblings.ts";
import { ManualClock } from "../core/support/manual-clock.ts";

test.each(["throws", "rejects"])("A worker whose report %s answers with nothing", async (how) => {
  const sent: WorkerMessage[] = [];
  const siblings = new WorkerSiblings(true, (message) => sent.push(message), new ManualClock());
  const status = (): never => {
    throw new Error("no status");
  };
  siblings.join({
    status: how === "throws" ? status : async () => status(),
  } as unknown as WorkerReport);
  siblings.take({ type: "ask", id: 7, question: "status" });
  for (let turn = 0; turn < 5; turn++) await Promise.resolve();
  expect(sent).toEqual([{ type: "answer", id: 7, answer: undefined }]);
});

test("A worker that was not told of posts is told so", () => {
  const siblings = new WorkerSiblings(true, () => {}, new ManualClock());
  let missed = 0;
  siblings.join({ missed: () => missed++ } as unknown as WorkerReport);
  siblings.take({ type: "news", news: { kind: "missed" } });
  expect(missed).toBe(1);
});

/** A worker that tells its last metrics. */
async function stopping() {
  const sent: WorkerMessage[] = [];
  const clock = new ManualClock();
  const siblings = new WorkerSiblings(true, (message) => sent.push(message), clock);
  siblings.join({ metrics: async () => [] } as unknown as WorkerReport);
  let hasStopped = false;
  void siblings.stopped(2000).then(() => {
    hasStopped = true;
  });
  const settle = async (): Promise<boolean> => {
    for (let turn = 0; turn < 9; turn++) await Promise.resolve();
    return hasStopped;
  };
  expect(await settle()).toBe(false);
  expect(sent).toEqual([{ type: "stopped", id: 1, metrics: [] }]);
  return { siblings, sent, clock, settle };
}

describe("A worker that has stopped", () => {
  test("tells its last metrics until they are confirmed, and nothing else when it is asked", async () => {
    const { siblings, sent, settle } = await stopping();
    siblings.take({ type: "ask", id: 7, question: "metrics" });
    expect(await settle()).toBe(false);
    expect(sent.slice(1)).toEqual([{ type: "answer", id: 7, answer: undefined }]);
    siblings.take({ type: "answer", id: 1 });
    expect(await settle()).toBe(true);
  });

  test("doesn't wait for a supervisor that doesn't confirm them in time", async () => {
    const { clock, settle } = await stopping();
    clock.advance(2000);
    expect(await settle()).toBe(true);
  });

  test("doesn't wait for a supervisor that is gone", async () => {
    const { siblings, settle } = await stopping();
    siblings.orphaned();
    expect(await settle()).toBe(true);
  });
});

test.each([
  ["is gone", (siblings: WorkerSiblings) => siblings.orphaned()],
  [
    "gives no answer in time",
    (_: WorkerSiblings, clock: ManualClock) => void clock.advance(600_000),
  ],
])(
  "A reload of which nobody knows how it ended, as the supervisor %s, may be asked for again",
  async (_, happens) => {
    const clock = new ManualClock();
    const siblings = new WorkerSiblings(true, () => {}, clock);
    const reload = siblings.reload();
    happens(siblings, clock);
    expect(await reload).toMatchObject({ fault: "unfinished" });
  },
);
