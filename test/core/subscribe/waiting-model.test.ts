import { expect, test } from "bun:test";
import fc from "fast-check";
import type { SourceMessage, StreamHistory, StreamPage } from "../../../src/core/ports/source.ts";
import { carries } from "../../../src/core/subject/subject.ts";
import { V1 } from "../../../src/core/wire/dialect.ts";
import { Harness, stateOf, type TestClient } from "../support/harness.ts";

/**
 * Nothing waits for something that no longer comes: whatever clients have said, and in whatever order, a
 * client that has said nothing for a while, reads, and acknowledges, has all that waited for it.
 */

const ORIGIN = "S:epoch";
const PAGE = 3;
const CLIENTS = 2;
const RUNS = Number(process.env.SPILLWAY_MODEL_RUNS ?? 400);

/** A stream that has kept everything, in pages of three. */
class FakeStream implements StreamHistory {
  readonly messages: SourceMessage[] = [];

  add(subject: string): SourceMessage {
    const position = { origin: ORIGIN, sequence: this.messages.length + 1 };
    const data = new TextEncoder().encode(String(position.sequence));
    const message = { subject, data, position, timestampMs: 0 };
    this.messages.push(message);
    return message;
  }

  selects(): boolean {
    return true;
  }

  async extent() {
    return { first: 1, removed: 0 };
  }

  async read({ subjects }: { subjects: readonly string[] }, after: number): Promise<StreamPage> {
    const behind = this.messages
      .slice(Math.max(0, after))
      .filter(({ subject }) => subjects.some((pattern) => carries(pattern, subject)));
    const messages = behind.slice(0, PAGE);
    const end = messages.length === behind.length;
    return { messages, end, first: 1, sparse: false, last: this.messages.length };
  }

  async *latest(): AsyncGenerator<StreamPage, void, void> {
    const last = this.messages.length;
    yield { messages: this.messages.slice(-1), end: true, first: 1, sparse: false, last };
  }

  async snapshot(): Promise<undefined> {
    return undefined;
  }

  async before(): Promise<number> {
    return 0;
  }
}

/** Somebody who says whatever comes to mind, and remembers what was answered. */
class Talker {
  readonly #harness: Harness;
  #peer: TestClient | undefined;
  #session: string | undefined;
  #heard = 0;
  #unacked: string[] = [];
  #subscriptions = 0;
  readonly ids = new Set<string>();
  gaps = 0;
  lastId: string | undefined;
  /** Whether it ever asked for less than everything. */
  paces = false;

  constructor(harness: Harness) {
    this.#harness = harness;
    this.come();
  }

  get isHere(): boolean {
    return this.#peer !== undefined && !this.#peer.connection.isOver;
  }

  get peer(): TestClient {
    return this.#peer!;
  }

  come(): void {
    if (this.isHere) return;
    this.#heard = 0;
    this.#unacked = [];
    this.#peer = this.#harness.joinWith(undefined, V1, false, this.#session);
    this.listen();
  }

  detach(): void {
    this.listen();
    if (this.isHere) this.#peer?.connection.closed(1006);
  }

  send(frame: unknown): void {
    if (this.isHere) this.#peer?.send(frame);
  }

  subscribe(subject: string, from: unknown, maxRate: number | undefined): void {
    const id = `${++this.#subscriptions}`;
    this.paces ||= maxRate !== undefined;
    this.send({
      ...{ type: "subscribe", id, subjects: [subject], policy: "drop-oldest", from },
      ...(maxRate !== undefined && { max_rate: maxRate }),
    });
  }

  listen(): void {
    const said = this.#peer?.socket.frames ?? [];
    for (const frame of said.slice(this.#heard)) {
      const { type, id } = frame;
      if (type === "welcome") this.#session = String(frame.session);
      if (type === "data") {
        this.lastId = String(id);
        this.ids.add(this.lastId);
        this.#unacked.push(this.lastId);
      }
      if (type === "gap") this.gaps++;
    }
    this.#heard = said.length;
  }

  ack(): void {
    this.listen();
    if (this.#unacked.length > 0) this.send({ type: "ack", ids: this.#unacked.splice(0) });
  }

  reads(reads: boolean): void {
    const { socket } = this.peer;
    socket.reads = reads;
    if (reads) socket.buffered = 0;
  }
}

interface Simulation {
  readonly harness: Harness;
  readonly kept: FakeStream;
  readonly talkers: readonly Talker[];
}

/** Time passes in small steps, between which what was promised is done. */
async function pass({ harness, talkers }: Simulation, ms: number, stepMs = 10): Promise<void> {
  for (let at = 0; at < ms; at += stepMs) {
    harness.clock.advance(stepMs);
    await new Promise((resolve) => setImmediate(resolve));
    for (const talker of talkers) talker.listen();
  }
}

type Act = (world: Simulation) => void | Promise<void>;

const by = (arbitrary: fc.Arbitrary<(talker: Talker) => void>): fc.Arbitrary<Act> =>
  fc.tuple(fc.nat(CLIENTS - 1), arbitrary).map(([index, act]) => ({ talkers }) => {
    act(talkers[index]!);
  });

const acts: fc.Arbitrary<Act> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.tuple(fc.constantFrom("s.x", "s.y", "a.x"), fc.integer({ min: 1, max: 8 })).map(
      ([subject, count]): Act =>
        ({ harness, kept }) => {
          for (let n = 0; n < count; n++) {
            if (subject.startsWith("s.")) harness.broadcaster.message(kept.add(subject));
            else harness.publish(n, subject);
          }
        },
    ),
  },
  {
    weight: 3,
    arbitrary: fc.constantFrom(1, 20, 300, 1200).map(
      (ms): Act =>
        (world) =>
          pass(world, ms),
    ),
  },
  { weight: 2, arbitrary: by(fc.constant((talker) => talker.send({ type: "slow" }))) },
  by(fc.constant((talker) => talker.send({ type: "ok" }))),
  by(fc.constant((talker) => talker.ack())),
  by(fc.boolean().map((reads) => (talker) => talker.reads(reads))),
  by(fc.constant((talker) => talker.detach())),
  by(fc.constant((talker) => talker.come())),
  by(
    fc.integer({ min: 1, max: 6 }).map((sub) => (talker) => {
      talker.send({ type: "unsubscribe", sub: `${sub}` });
    }),
  ),
  {
    weight: 2,
    arbitrary: by(
      fc
        .tuple(
          fc.constantFrom("s.>", "s.x", "a.>", ">"),
          fc.constantFrom("new", "all", "after", "last"),
          fc.constantFrom(undefined, undefined, 2, 100),
        )
        .map(([subject, from, maxRate]) => (talker) => {
          const after = talker.lastId;
          const start = from === "after" ? (after === undefined ? "new" : { after }) : from;
          talker.subscribe(subject, subject === "a.>" && from !== "after" ? "new" : start, maxRate);
        }),
    ),
  },
  fc.boolean().map(
    (connected): Act =>
      ({ harness }) => {
        if (connected && !harness.source.connected) harness.connect();
        if (!connected && harness.source.connected) harness.disconnect();
      },
  ),
);

test("whatever waits comes, once a client has said nothing for a while and acknowledges", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom("at-most-once" as const, "at-least-once" as const),
      fc.constantFrom(0, 5, 100),
      fc.constantFrom(0, 100, 1000),
      fc.array(acts, { minLength: 3, maxLength: 25 }),
      async (deliveryMode, ringMessages, markIntervalMs, steps) => {
        const kept = new FakeStream();
        const harness = new Harness(
          {
            ...{ deliveryMode, ringMessages, ringBytes: 100_000, maxQueueAgeMs: 3_600_000 },
            markIntervalMs,
            ...{ subjects: ["a.>", "s.>"], demanded: ["a.>"], maxInflightMessages: 4 },
            ...{ writeTimeoutMs: 3_600_000, readTimeoutMs: 3_600_000, maxDeliver: 1_000 },
            streams: [{ name: "S", subjects: ["s.>"] }],
          },
          kept,
        );
        harness.broadcaster.stream({ name: "S", origin: ORIGIN, sequence: 0, lost: false });
        const talkers = Array.from({ length: CLIENTS }, () => new Talker(harness));
        const world = { harness, kept, talkers };
        for (const step of steps) {
          await step(world);
          harness.expectBalance();
        }

        if (!harness.source.connected) harness.connect();
        for (const talker of talkers) {
          talker.come();
          talker.reads(true);
        }
        // Long enough for the slowest that a client can have become, and then for all of it.
        for (let n = 0; n < 120; n++) {
          for (const talker of talkers) talker.ack();
          await pass(world, 400, n < 20 ? 20 : 200);
        }
        for (const { peer } of talkers) {
          expect(peer.session.hasAll).toBe(true);
          expect(peer.session.isPressing).toBe(false);
          expect(peer.session.subscriptions.catchingUp).toBe(0);
          if (!peer.session.subscriptions.anyPaced) expect(stateOf(peer.session)).toBe("live");
        }
        const { queued, inFlight } = harness.meter.ledger;
        expect({ queued, inFlight }).toEqual({ queued: 0, inFlight: 0 });
        // And who wants a stream from its beginning has, or was told of, all of it.
        for (const talker of talkers) {
          const { gaps } = talker;
          talker.subscribe("s.>", "all", undefined);
          await pass(world, 20);
          for (let n = 0; n < 60; n++) {
            talker.ack();
            await pass(world, 20);
          }
          if (!talker.isHere || talker.gaps > gaps || talker.paces) continue;
          for (let sequence = 1; sequence <= kept.messages.length; sequence++) {
            expect(talker.ids).toContain(`${ORIGIN}:${sequence}`);
          }
        }
        harness.expectBalance();
      },
    ),
    { numRuns: RUNS },
  );
}, 120_000);
