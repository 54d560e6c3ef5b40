import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  carriesAll,
  exposes,
  subjectCovers,
  subjectMatches,
} from "../../../src/core/subject/subject.ts";
import { NO, UpstreamHarness } from "./upstream-harness.ts";

describe("UpstreamSubscriptions, whatever is wanted and released", () => {
  const token = fc.constantFrom("a", "b", "*");
  const pattern = fc
    .tuple(fc.array(token, { minLength: 1, maxLength: 3 }), fc.constantFrom("", ".>"))
    .map(([tokens, rest]) => tokens.join(".") + rest);
  const patterns = fc.oneof(
    fc.constant<string[]>([">"]),
    fc.array(fc.oneof(pattern, fc.constant("$X.a"), fc.constant("$X.>")), {
      minLength: 1,
      maxLength: 3,
    }),
  );
  const subjects = ["a", "b", "a.a", "a.b", "b.a", "b.b", "a.a.a", "a.b.a", "b.a.b.a", "$X.a"];

  test("subscribes to nothing that is not exposed, misses nothing, and ends with nothing", () => {
    const step = fc.oneof(
      { weight: 4, arbitrary: fc.record({ want: patterns }) },
      { weight: 4, arbitrary: fc.record({ release: fc.nat(20) }) },
      {
        weight: 4,
        arbitrary: fc.record({ does: fc.constantFrom("confirm one", "cut", "wait", "refuse one") }),
      },
    );
    fc.assert(
      fc.property(
        patterns,
        fc.constantFrom(0, 100),
        fc.boolean(),
        fc.constantFrom(1, 1000),
        fc.constantFrom(1, 3, 1000),
        fc.array(step, { maxLength: 40, size: "max" }),
        (exposed, upstreamLingerMs, confirms, maxLingering, stepsPerTurn, steps) => {
          const options = { demanded: exposed, upstreamLingerMs, maxLingering };
          const harness = new UpstreamHarness(options, stepsPerTurn);
          harness.source.confirms = confirms;
          const refused = new Set<string>();
          const wanted: { subjects: string[]; patterns: readonly string[]; arrives: boolean }[] =
            [];
          const unconfirmed = () =>
            [...harness.source.patterns].find((each) => !harness.source.confirmed.has(each));
          for (const step of steps) {
            if ("want" in step) {
              const patterns = harness.upstream.acquire(step.want);
              const want = { subjects: step.want, patterns, arrives: false };
              wanted.push(want);
              harness.upstream.whenKnown(patterns, (refusal) => {
                want.arrives ||= refusal === undefined;
              });
            } else if ("release" in step) {
              const [want] = wanted.splice(step.release, 1);
              if (want !== undefined) harness.upstream.release(want.patterns);
            } else if (step.does === "confirm one" || step.does === "refuse one") {
              const next = unconfirmed();
              if (next !== undefined && step.does === "confirm one") harness.source.confirm(next);
              if (next !== undefined && step.does === "refuse one") {
                refused.add(next);
                harness.upstream.refused(next, NO);
              }
            } else if (step.does === "cut") {
              harness.source.confirmed.clear();
              harness.upstream.cutOff();
              for (const want of wanted) want.arrives = false;
            } else {
              harness.clock.advance(60);
            }
            expect(harness.upstream.subscriptions).toBe(harness.source.patterns.size);
            for (const each of harness.source.patterns) {
              expect(exposed.some((outer) => subjectCovers(outer, each))).toBe(true);
            }
            // What is said to arrive does.
            for (const want of wanted.filter(({ arrives }) => arrives)) {
              for (const subject of subjects) {
                const isWanted = exposed.some((outer) =>
                  want.subjects.some(
                    (inner) =>
                      exposes(outer, inner) &&
                      subjectMatches(outer, subject) &&
                      subjectMatches(inner, subject) &&
                      (!subject.startsWith("$") || inner.startsWith("$")),
                  ),
                );
                if (isWanted && !harness.source.carries(subject)) {
                  throw new Error(
                    `${want.subjects} does not get ${subject} from ${harness.patterns}`,
                  );
                }
              }
            }
          }
          // When all is confirmed, nothing is subscribed to twice.
          const settle = (): void => {
            for (let round = 0; round < 50; round++) {
              harness.source.confirmAll();
              harness.clock.advance(5);
            }
          };
          settle();
          expect(harness.upstream.pending).toBe(0);
          const { patterns: left } = harness;
          if (refused.size === 0) {
            const covered = left.filter((each) =>
              left.some((other) => other !== each && carriesAll(other, each)),
            );
            expect(covered).toEqual([]);
          }
          for (const { patterns } of wanted) harness.upstream.release(patterns);
          expect(harness.upstream.lingering).toBeLessThanOrEqual(maxLingering);
          settle();
          expect(harness.upstream.lingering).toBe(0);
          expect(harness.patterns).toEqual([]);
          expect(harness.upstream.subscriptions + harness.timers).toBe(0);
        },
      ),
      { numRuns: 2000 },
    );
  }, 60_000);
});
