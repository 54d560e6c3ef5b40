import { expect, test } from "bun:test";
import {
  type SubscriptionRequest,
  wantsTheSame,
} from "../../../src/core/wire/subscription-request.ts";

const ASKED: SubscriptionRequest = { id: "", subjects: ["a", "b"] };

test.each([
  ["subjects", { subjects: ["a"] }],
  ["a subject with a comma", { subjects: ["a,b"] }],
  ["all subjects", { subjects: "everything" }],
  ["a policy", { policy: "conflate" }],
  ["a rate", { maxRate: 1 }],
  ["a durable", { durable: "worker" }],
] as const)("Whoever asks for other things wants %s", (_, other) => {
  expect(wantsTheSame(ASKED, { ...ASKED, ...other })).toBe(false);
});

test("Whoever only begins elsewhere, or calls it otherwise, wants the same", () => {
  expect(wantsTheSame(ASKED, { ...ASKED, id: "1", after: "x:1", start: "all" })).toBe(true);
});
