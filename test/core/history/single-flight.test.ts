import { describe, expect, test } from "bun:test";
import { SingleFlight } from "../../../src/core/history/single-flight.ts";

/** Questions that are answered when the test says so. */
function asking() {
  const answers: { resolve(answer: number): void; reject(error: Error): void }[] = [];
  const ask = (): Promise<number> => {
    const answer = Promise.withResolvers<number>();
    answers.push(answer);
    return answer.promise;
  };
  return { answers, ask, shared: new SingleFlight<number>() };
}

/** Lets all that is ready to run do so. */
async function settle(): Promise<void> {
  for (let n = 0; n < 10; n++) await Promise.resolve();
}

describe("Shared answers", () => {
  test("asks once, and again after the answer", async () => {
    const { answers, ask, shared } = asking();
    const both = [shared.get("a", false, ask), shared.get("a", false, ask)];
    answers[0]?.resolve(1);
    expect(await Promise.all(both)).toEqual([1, 1]);
    const next = shared.get("a", false, ask);
    answers[1]?.resolve(2);
    expect(await next).toBe(2);
    expect(answers).toHaveLength(2);
  });

  test("asks anew for callers that need a newer answer, once for all of them", async () => {
    const { answers, ask, shared } = asking();
    const old = shared.get("a", true, ask);
    const both = [shared.get("a", true, ask), shared.get("a", true, ask)];
    answers[0]?.resolve(1);
    expect(await old).toBe(1);
    await settle();
    expect(answers).toHaveLength(2);
    answers[1]?.resolve(2);
    expect(await Promise.all(both)).toEqual([2, 2]);
  });

  test("asks anew where the question that was waited for failed", async () => {
    const { answers, ask, shared } = asking();
    const old = shared.get("a", true, ask);
    const next = shared.get("a", true, ask);
    answers[0]?.reject(new Error("cut off"));
    await expect(old).rejects.toThrow("cut off");
    await settle();
    answers[1]?.resolve(2);
    expect(await next).toBe(2);
  });
});
