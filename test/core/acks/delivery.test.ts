import { describe, test } from "bun:test";
import fc from "fast-check";
import { POLICIES } from "../../../src/protocol/fields.ts";
import { Simulation, type Step, SUBJECTS } from "../support/simulation.ts";

const maybe = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined });

const asking = fc.record({
  subjects: maybe(
    fc.constantFrom(["a"], ["b"], ["c.>"], ["*"], ["c.*", "a"], ["c.x"], [">"], ["a", "b", "c.y"]),
  ),
  policy: maybe(fc.constantFrom(...POLICIES)),
  maxRate: fc.constantFrom(undefined, undefined, undefined, 50, 5),
  cursor: fc.constantFrom(undefined, undefined, undefined, 0, 1, 2, 3, 5, 9),
});
const client = fc.nat(9);
const id = fc.constantFrom("1", "2", "3");

const come = fc.record({
  does: fc.constant("come" as const),
  dialect: fc.constantFrom("plain" as const, "v1" as const, "v1" as const, "sse" as const),
  asking,
  lingers: fc.boolean(),
});
const subscribe = fc.record({ does: fc.constant("subscribe" as const), client, id, asking });

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 10,
    arbitrary: fc.record({
      does: fc.constant("publish" as const),
      subject: fc.constantFrom(...SUBJECTS),
      length: fc.constantFrom(1, 1, 40, 300, 900),
      times: fc.constantFrom(1, 1, 2, 7),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      does: fc.constant("pass" as const),
      ms: fc.constantFrom(0, 1, 10, 30, 250, 1200),
    }),
  },
  { weight: 3, arbitrary: fc.record({ does: fc.constant("stop reading" as const), client }) },
  {
    weight: 3,
    arbitrary: fc.record({
      does: fc.constant("read" as const),
      client,
      share: fc.constantFrom(0.3, 0.6, 1),
    }),
  },
  { weight: 1, arbitrary: come },
  { weight: 4, arbitrary: subscribe },
  {
    weight: 2,
    arbitrary: fc.record({ does: fc.constant("unsubscribe" as const), client, id }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      does: fc.constantFrom("ping" as const, "begin to close" as const),
      client,
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      does: fc.constant("go" as const),
      client,
      code: fc.constantFrom(1000, 1006),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ does: fc.constant("refuse" as const), pattern: fc.nat(4) }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      does: fc.constantFrom(
        "cut" as const,
        "reconnect" as const,
        "reconnect" as const,
        "hesitate" as const,
        "confirm" as const,
        "settle" as const,
      ),
    }),
  },
);

const options = fc.record({
  flushIntervalMs: fc.constantFrom(0, 1, 20),
  highWaterBytes: fc.constantFrom(400, 1000),
  lowWaterBytes: fc.constantFrom(50, 300),
  maxQueueMessages: fc.constantFrom(1, 2, 4, 100),
  maxQueueBytes: fc.constantFrom(300, 1500, 10_000),
  maxQueueAgeMs: fc.constantFrom(100, 700, 60_000),
  maxTotalQueueBytes: fc.constantFrom(3000, 1_000_000),
  writeTimeoutMs: fc.constantFrom(500, 1_000_000),
  pingIntervalMs: fc.constant(1_000_000),
  readTimeoutMs: fc.constant(1_000_000_000),
  markIntervalMs: fc.constantFrom(0, 100, 1000),
  subjects: fc.constantFrom([">"], ["a", "c.>"], ["c.x", "*", "c.>"]),
  policy: fc.constantFrom(...POLICIES),
  maxSubscriptions: fc.constantFrom(2, 8),
  maxClients: fc.constantFrom(4, 1000),
  upstream: fc.constantFrom("demand" as const, "demand" as const, "eager" as const),
  upstreamLingerMs: fc.constantFrom(0, 100),
  ringMessages: fc.constantFrom(0, 5, 50),
  ringBytes: fc.constant(1_000_000),
});

describe("Whatever happens", () => {
  test("a client gets what it is due once and in order, or is told what it does not get", async () => {
    const scenario = fc.record({
      options,
      cast: fc.array(come, { minLength: 1, maxLength: 4 }),
      wishes: fc.array(subscribe, { maxLength: 3 }),
      steps: fc.array(step, { maxLength: 60, size: "max" }),
    });
    await fc.assert(
      fc.asyncProperty(scenario, async ({ options, cast, wishes, steps }) => {
        const simulation = new Simulation(options);
        for (const step of [...cast, ...wishes, ...steps]) simulation.do(step);
        await simulation.end();
      }),
      { numRuns: Number(process.env.SPILLWAY_MODEL_RUNS ?? 1500) },
    );
  }, 300_000);
});
