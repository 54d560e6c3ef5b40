import { expect, test } from "bun:test";
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

test("A worker that has stopped tells its last metrics, and nothing else when it is asked", async () => {
  const sent: WorkerMessage[] = [];
  const siblings = new WorkerSiblings(true, (message) => sent.push(message), new ManualClock());
  siblings.join({ metrics: async () => [] } as unknown as WorkerReport);
  await siblings.stopped();
  siblings.take({ type: "ask", id: 7, question: "metrics" });
  for (let turn = 0; turn < 5; turn++) await Promise.resolve();
  expect(sent).toEqual([
    { type: "stopped", metrics: [] },
    { type: "answer", id: 7, answer: undefined },
  ]);
});
