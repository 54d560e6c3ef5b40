import { expect, test } from "bun:test";
import fc from "fast-check";
import { Customer, type Terms } from "../support/ack-model-client.ts";
import { Stage } from "../support/harness.ts";

interface World {
  readonly stage: Stage;
  readonly customers: readonly Customer[];
  readonly maxSessions: number;
}

const MESSAGES = 4;
const RUNS = Number(process.env.SPILLWAY_MODEL_RUNS ?? 10_000);

/** What happens in one step; the model is the customers' own memory. */
class Step implements fc.Command<object, World> {
  readonly #what: string;
  readonly #act: (world: World) => void;

  constructor(what: string, act: (world: World) => void) {
    this.#what = what;
    this.#act = act;
  }

  check(): boolean {
    return true;
  }

  run(_: unknown, world: World): void {
    this.#act(world);
    expireAway(world);
    for (const customer of world.customers) customer.check();
    world.stage.expectBalance();
  }

  toString(): string {
    return this.#what;
  }
}

/** Sessions end when nobody came back in time, or when there are too many. */
function expireAway({ stage, customers, maxSessions }: World): void {
  const nowMs = stage.clock.nowMs();
  for (const customer of customers) {
    if (customer.expiresMs !== undefined && customer.expiresMs <= nowMs) customer.over();
  }
  const away = customers
    .filter(({ expiresMs }) => expiresMs !== undefined)
    .sort((one, other) => one.left - other.left);
  // Those who have been away the longest make room.
  for (const customer of away.splice(0, Math.max(0, away.length - maxSessions))) customer.over();
  expect(stage.meter.sessionsParked).toBe(away.length);
}

const who = fc.nat(MESSAGES - 1);

function of(name: string, act: (customer: Customer, choice: number) => void) {
  return fc.tuple(who, fc.nat(50)).map(
    ([index, choice]) =>
      new Step(`${name}(${index}, ${choice})`, ({ customers }) => {
        act(customers[index] as Customer, choice);
      }),
  );
}

const steps = [
  fc.integer({ min: 1, max: 6 }).map(
    (count) =>
      new Step(`publish(${count})`, ({ stage, customers }) => {
        for (let n = 0; n < count; n++) {
          const sequence = stage.meter.messagesReceived + 1;
          for (const customer of customers) customer.publishes(sequence);
          stage.publish(sequence);
        }
      }),
  ),
  fc
    .constantFrom(1, 2, 10, 60, 300, 1000, 1500, 2500, 6000)
    .map((ms) => new Step(`advance(${ms})`, ({ stage }) => stage.clock.advance(ms))),
  of("connect", (customer) => customer.connect()),
  of("vanish", (customer) => customer.vanish()),
  of("ack", (customer, choice) => customer.ack(choice, "id")),
  of("ackIds", (customer, choice) => customer.ack(choice, "ids")),
  of("ackUpto", (customer, choice) => customer.ack(choice, "upto")),
  of("nack", (customer, choice) => customer.nack(choice)),
  of("stall", ({ actor }) => {
    if (actor !== undefined) actor.socket.reads = false;
  }),
  of("read", (customer) => {
    const { actor } = customer;
    if (actor === undefined || actor.socket.reads) return;
    actor.socket.reads = true;
    actor.socket.buffered = 0;
    customer.attentiveMs = Math.max(customer.attentiveMs, customer.nowMs);
  }),
];

const terms: fc.Arbitrary<Terms & { maxSessions: number }> = fc.record({
  ackTimeoutMs: fc.constantFrom(500, 1000),
  maxDeliver: fc.integer({ min: 1, max: 4 }),
  redeliveryBackoffMs: fc.constantFrom(0, 100, 400),
  maxInflightMessages: fc.constantFrom(1, 3, 100),
  maxQueueMessages: fc.constantFrom(2, 5, 100),
  sessionTtlMs: fc.constantFrom(2000, 20_000),
  policy: fc.constantFrom("disconnect", "drop-oldest", "drop-newest"),
  maxSessions: fc.constantFrom(1, 2, 100),
});

test("In at-least-once nothing is lost without being declared, and nothing comes once it was acknowledged", async () => {
  const seen = { redelivered: 0, resumed: 0, lost: 0, expired: 0, evicted: 0, dropped: 0 };
  await fc.assert(
    fc.asyncProperty(
      terms,
      fc.double({ min: 0, max: 0.99, noNaN: true }),
      fc.commands(steps, { maxCommands: 60, size: "max" }),
      fc.boolean(),
      async (terms, random, commands, settles) => {
        const stage = new Stage({
          ...terms,
          deliveryMode: "at-least-once",
          highWaterBytes: 2000,
          lowWaterBytes: 500,
          writeTimeoutMs: 3000,
          // The customers count messages, not bytes.
          maxQueueBytes: 1_000_000,
        });
        stage.random = random;
        const customers = [
          new Customer(stage, terms, "plain", "the-first-session"),
          new Customer(stage, terms, "v1", undefined),
          new Customer(stage, terms, "plain", undefined),
          new Customer(stage, terms, "v1", undefined),
        ];
        const world = { stage, customers, maxSessions: terms.maxSessions };
        fc.modelRun(() => ({ model: {}, real: world }), commands);
        if (settles) {
          for (const customer of customers) customer.returns();
          for (const customer of customers) customer.settle();
        }
        const drained = stage.broadcaster.drain(700);
        // They are told of the end, if only by its coming.
        stage.clock.advance(1500);
        await drained;
        for (const customer of customers) customer.over();
        stage.expectBalance();
        checkTotals(world);
        const { meter } = stage;
        seen.redelivered += meter.redelivered;
        seen.resumed += meter.sessionsResumed;
        seen.lost += meter.lost.max_deliver;
        seen.expired += meter.lost.session_expired;
        seen.evicted += meter.lost.session_evicted;
        seen.dropped += meter.droppedTotal();
      },
    ),
    { numRuns: RUNS },
  );
  // All of it happens often, or nothing would be said.
  for (const count of Object.values(seen)) expect(count).toBeGreaterThan(RUNS / 50);
}, 300_000);

/** What the gateway counted is what its clients saw. */
function checkTotals({ stage, customers }: World): void {
  const { meter, clock } = stage;
  const lives = customers.flatMap((customer) => customer.lives);
  const sum = (of: (life: (typeof lives)[number]) => number): number =>
    lives.reduce((total, life) => total + of(life), 0);
  expect(meter.offered).toBe(sum(({ due }) => due.length));
  expect(meter.sent).toBe(sum(({ delivered }) => delivered.size));
  expect(meter.tracked).toBe(meter.sent);
  expect(meter.acks.acked).toBe(sum(({ acked }) => acked));
  expect(meter.redelivered).toBe(
    sum(({ delivered }) => [...delivered.values()].reduce((all, { times }) => all + times - 1, 0)),
  );
  const { queued, inFlight, sessionsParked } = meter;
  expect({ queued, inFlight, sessionsParked, timers: clock.timers }).toEqual({
    queued: 0,
    inFlight: 0,
    sessionsParked: 0,
    timers: 0,
  });
}
