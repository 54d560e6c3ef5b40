import { expect, test } from "bun:test";
import fc from "fast-check";
import { AckModelClient, type Terms } from "../support/ack-model-client.ts";
import { Harness } from "../support/harness.ts";

interface Simulation {
  readonly harness: Harness;
  readonly clients: readonly AckModelClient[];
  readonly maxSessions: number;
}

const MESSAGES = 4;
const RUNS = Number(process.env.SPILLWAY_MODEL_RUNS ?? 3000);

/** What happens in one step; the model is the clients' own memory. */
class Step implements fc.Command<object, Simulation> {
  readonly #what: string;
  readonly #act: (simulation: Simulation) => void;

  constructor(what: string, act: (simulation: Simulation) => void) {
    this.#what = what;
    this.#act = act;
  }

  check(): boolean {
    return true;
  }

  run(_: unknown, simulation: Simulation): void {
    this.#act(simulation);
    expireAway(simulation);
    for (const client of simulation.clients) client.check();
    simulation.harness.expectBalance();
  }

  toString(): string {
    return this.#what;
  }
}

/** Sessions end when nobody came back in time, or when there are too many. */
function expireAway({ harness, clients, maxSessions }: Simulation): void {
  const nowMs = harness.clock.nowMs();
  for (const client of clients) {
    if (client.expiresMs !== undefined && client.expiresMs <= nowMs) client.over();
  }
  const away = clients
    .filter(({ expiresMs }) => expiresMs !== undefined)
    .sort((one, other) => one.left - other.left);
  // Those who have been away the longest make room.
  for (const client of away.splice(0, Math.max(0, away.length - maxSessions))) client.over();
  expect(harness.meter.sessionsDetached).toBe(away.length);
}

const who = fc.nat(MESSAGES - 1);

function of(name: string, act: (client: AckModelClient, choice: number) => void) {
  return fc.tuple(who, fc.nat(50)).map(
    ([index, choice]) =>
      new Step(`${name}(${index}, ${choice})`, ({ clients }) => {
        act(clients[index] as AckModelClient, choice);
      }),
  );
}

const steps = [
  fc.integer({ min: 1, max: 6 }).map(
    (count) =>
      new Step(`publish(${count})`, ({ harness, clients }) => {
        for (let n = 0; n < count; n++) {
          const sequence = harness.meter.messagesReceived + 1;
          for (const client of clients) client.publishes(sequence);
          harness.publish(sequence);
        }
      }),
  ),
  fc
    .constantFrom(1, 2, 10, 60, 300, 1000, 1500, 2500, 6000)
    .map((ms) => new Step(`advance(${ms})`, ({ harness }) => harness.clock.advance(ms))),
  of("connect", (client) => client.connect()),
  of("vanish", (client) => client.vanish()),
  of("ack", (client, choice) => client.ack(choice, "id")),
  of("ackIds", (client, choice) => client.ack(choice, "ids")),
  of("ackUpto", (client, choice) => client.ack(choice, "upto")),
  of("nack", (client, choice) => client.nack(choice)),
  of("stall", ({ peer }) => {
    if (peer !== undefined) peer.socket.reads = false;
  }),
  of("read", (client) => client.reads()),
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
  markIntervalMs: fc.constantFrom(0, 100, 1000),
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
        const harness = new Harness({
          ...terms,
          deliveryMode: "at-least-once",
          highWaterBytes: 2000,
          lowWaterBytes: 500,
          writeTimeoutMs: 3000,
          // The clients count messages, not bytes.
          maxQueueBytes: 1_000_000,
        });
        harness.random = random;
        const clients = [
          new AckModelClient(harness, terms, "plain", "the-first-session"),
          new AckModelClient(harness, terms, "v1", undefined),
          new AckModelClient(harness, terms, "plain", undefined),
          new AckModelClient(harness, terms, "v1", undefined),
        ];
        const simulation = { harness, clients, maxSessions: terms.maxSessions };
        fc.modelRun(() => ({ model: {}, real: simulation }), commands);
        if (settles) {
          for (const client of clients) client.returns();
          for (const client of clients) client.settle();
        }
        const drained = harness.clients.drain(700);
        // They are told of the end, if only by its coming.
        harness.clock.advance(1500);
        await drained;
        for (const client of clients) client.over();
        harness.expectBalance();
        checkTotals(simulation);
        const { meter } = harness;
        seen.redelivered += meter.ledger.redelivered;
        seen.resumed += meter.sessionsResumed;
        seen.lost += meter.ledger.lost.max_deliver;
        seen.expired += meter.ledger.lost.session_expired;
        seen.evicted += meter.ledger.lost.session_evicted;
        seen.dropped += meter.ledger.droppedTotal;
      },
    ),
    { numRuns: RUNS },
  );
  // All of it happens often, or nothing would be said.
  for (const count of Object.values(seen)) expect(count).toBeGreaterThan(RUNS / 50);
}, 300_000);

/** What the gateway counted is what its clients saw. */
function checkTotals({ harness, clients }: Simulation): void {
  const { meter, clock } = harness;
  const sessions = clients.flatMap((client) => client.sessions);
  const sum = (of: (session: (typeof sessions)[number]) => number): number =>
    sessions.reduce((total, session) => total + of(session), 0);
  expect(meter.ledger.offered).toBe(sum(({ due }) => due.length));
  expect(meter.ledger.sent).toBe(sum(({ delivered }) => delivered.size));
  expect(meter.ledger.tracked).toBe(meter.ledger.sent);
  expect(meter.ledger.acks.acked).toBe(sum(({ acked }) => acked));
  expect(meter.ledger.redelivered).toBe(
    sum(({ delivered }) => [...delivered.values()].reduce((all, { times }) => all + times - 1, 0)),
  );
  const { sessionsDetached } = meter;
  const { queued, inFlight } = meter.ledger;
  expect({ queued, inFlight, sessionsDetached, timers: clock.timers }).toEqual({
    queued: 0,
    inFlight: 0,
    sessionsDetached: 0,
    timers: 0,
  });
}
