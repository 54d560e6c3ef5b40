import { expect, test } from "bun:test";
import fc from "fast-check";
import { carries } from "../../../src/core/subject/subject.ts";
import { covers, idOf, type Place, placeOf } from "../support/declared-gaps.ts";
import { Harness, type TestClient } from "../support/harness.ts";
import { ModelStep } from "../support/model-step.ts";
import { CARRIED, ModelStream, NAME, type Published, timeOf } from "../support/model-stream.ts";

const RUNS = Number(process.env.SPILLWAY_MODEL_RUNS ?? 400);
const MOST_CLIENTS = 6;

type Start = "new" | "all" | "last" | "last_per_subject" | "sequence" | "time" | "after";

/** A client with one subscription, and what it is owed. */
class Reader {
  readonly peer: TestClient;
  readonly #pattern: string;
  readonly #start: Start;
  readonly #stream: ModelStream;
  readonly #asked: Place | undefined;
  /** What the stream had removed before the client asked. */
  readonly #removedBefore: ReadonlySet<Published>;
  hasUnsubscribed = false;

  /**
   * @param asked the place after which the subscription is to start; `undefined` if the request doesn't say it.
   */
  constructor(
    harness: Harness,
    stream: ModelStream,
    start: Start,
    pattern: string,
    from: unknown,
    asked: Place | undefined,
  ) {
    this.#pattern = pattern;
    this.#start = start;
    this.#stream = stream;
    this.#asked = asked;
    this.#removedBefore = new Set(stream.removed);
    this.peer = harness.joinV1();
    this.peer.send({ type: "subscribe", id: "1", subjects: [pattern], from });
  }

  get isOver(): boolean {
    return this.peer.connection.isOver;
  }

  /** Where the subscription starts; `undefined`: it was not told. */
  get from(): Place | undefined {
    const subscribed = this.peer.socket.frames.find(({ type }) => type === "subscribed");
    return subscribed && placeOf(String(subscribed.from));
  }

  get received(): Place[] {
    return this.peer.socket.envelopes.map(({ id }) => placeOf(String(id)));
  }

  reads(reads: boolean): void {
    this.peer.socket.reads = reads;
    if (reads) this.peer.socket.buffered = 0;
  }

  unsubscribe(): void {
    this.hasUnsubscribed = true;
    this.peer.send({ type: "unsubscribe", sub: "1" });
  }

  /** Everything came in order and once, or is in a declared gap. */
  check(): void {
    const epochOf = ({ origin }: Place) => Number(origin.split("-")[1]);
    const { received } = this;
    for (const [n, place] of received.entries()) {
      const before = received[n - 1];
      if (before === undefined) continue;
      const isLater =
        epochOf(before) < epochOf(place) ||
        (before.origin === place.origin && before.sequence < place.sequence);
      if (!isLater) throw new Error(`${idOf(place)} came after ${idOf(before)}`);
    }
    if (this.isOver) return;
    if (this.hasUnsubscribed) {
      expect([...this.peer.session.subscriptions]).toEqual([]);
      return;
    }
    const types = this.peer.socket.frames.map(({ type }) => type);
    if (!types.includes("subscribed")) throw new Error("the subscription never started");
    const { from } = this;
    const catchesUp = this.#start !== "new";
    if (catchesUp && types.filter((type) => type === "caught_up").length !== 1) {
      throw new Error("it was not told once that it has caught up");
    }
    const has = new Set(received.map(idOf));
    const due = this.#stream.published.filter((message) => this.#isDue(message, from!));
    for (const message of due) {
      if (has.has(idOf(message)) || this.#isExcused(message, due, has)) continue;
      throw new Error(`${idOf(message)} is missing`);
    }
  }

  #isDue(message: Published, from: Place): boolean {
    if (!carries(this.#pattern, message.subject)) return false;
    if (!CARRIED.some((carried) => carries(carried, message.subject))) return false;
    const epoch = Number(message.origin.split("-")[1]);
    const fromEpoch = Number(from.origin.split("-")[1]);
    // Before the stream existed, the client starts at a message of the gateway's own count.
    if (Number.isNaN(fromEpoch)) return this.#stream.published.at(-1)?.origin === message.origin;
    const asked = this.#asked?.origin === from.origin ? this.#asked.sequence : from.sequence;
    const start = Math.min(from.sequence, asked);
    return epoch > fromEpoch || (epoch === fromEpoch && message.sequence > start);
  }

  #isExcused(message: Published, due: readonly Published[], has: ReadonlySet<string>): boolean {
    const isRemoved = this.#stream.removed.has(message);
    const claimsPast =
      this.#start === "sequence" || this.#start === "after" || this.#start === "new";
    const isSuccessor = message.origin !== this.from!.origin;
    // Who begins with what is kept is not told of what no longer was.
    if (isRemoved && (!claimsPast || isSuccessor)) return true;
    if (this.#start === "new" && this.#removedBefore.has(message)) return true;
    if (this.#start === "last" || this.#start === "last_per_subject") {
      const later = due.slice(due.indexOf(message) + 1);
      const isSuperseded = later.some(
        (other) =>
          has.has(idOf(other)) && (this.#start === "last" || other.subject === message.subject),
      );
      if (isSuperseded) return true;
    }
    return this.peer.socket.frames.some(
      (frame) =>
        frame.type === "gap" &&
        (isRemoved || frame.reason === "upstream") &&
        covers(frame, message),
    );
  }
}

interface World {
  readonly harness: Harness;
  readonly stream: ModelStream;
  readonly readers: Reader[];
}

/** Time passes; what was promised is done, and live messages come. */
async function pass({ harness, stream }: World, turns: number, ms: number): Promise<void> {
  for (let turn = 0; turn < turns; turn++) {
    harness.clock.advance(ms);
    for (let n = 0; n < 3; n++) await new Promise((resolve) => setImmediate(resolve));
    if (ms >= 100) stream.pump();
  }
}

class Step extends ModelStep<World> {}

const CUT = new Step("cut", ({ stream }) => stream.cut());
const RECONNECT = new Step("reconnect", ({ stream }) => stream.reconnect());

const turns = (n: number) => new Step(`turns(${n})`, (world) => pass(world, n, 1));
const wait = (n: number) => new Step(`wait(${n} x 100 ms)`, (world) => pass(world, n, 100));

const simple = (name: string, run: (stream: ModelStream) => void) =>
  fc.constant(new Step(name, ({ stream }) => run(stream)));

const withReader = (name: string, run: (reader: Reader) => void) =>
  fc.nat(MOST_CLIENTS - 1).map(
    (n) =>
      new Step(`${name}(${n})`, ({ readers }) => {
        const reader = readers[n % Math.max(1, readers.length)];
        if (reader !== undefined && !reader.isOver) run(reader);
      }),
  );

const publish = (subject: string, count: number) =>
  new Step(`publish(${subject} x ${count})`, ({ stream }) => {
    for (let n = 0; n < count; n++) stream.publish(subject);
  });

const remove = (how: "delete" | "purge", back: number) =>
  new Step(`${how}(last - ${back})`, ({ stream }) => {
    if (how === "delete") stream.delete(stream.last - back);
    else stream.purge(stream.last - back);
  });

const subscribe = (start: Start, pattern: string, back: number, reads: boolean) =>
  new Step(`subscribe(${pattern} from ${start} - ${back})`, ({ harness, stream, readers }) => {
    if (readers.length >= MOST_CLIENTS) return;
    const sequence = Math.max(1, stream.last - back);
    const cursors = stream.published.map(idOf);
    const from =
      start === "sequence"
        ? { seq: sequence }
        : start === "time"
          ? { time: new Date(timeOf(sequence)).toISOString() }
          : start === "after"
            ? { after: cursors.at(-1 - back) ?? `${stream.origin}:0` }
            : start;
    const { origin } = stream;
    const asked =
      start === "all"
        ? { origin, sequence: 0 }
        : start === "after"
          ? placeOf(cursors.at(-1 - back) ?? `${origin}:0`)
          : start === "sequence" || start === "time"
            ? { origin, sequence: sequence - 1 }
            : undefined;
    const reader = new Reader(harness, stream, start, pattern, from, asked);
    if (!reads) reader.reads(false);
    readers.push(reader);
  });

const steps = fc.oneof(
  {
    weight: 6,
    arbitrary: fc
      .tuple(fc.constantFrom("s.a", "s.b", "s.b", "o.x"), fc.integer({ min: 1, max: 6 }))
      .map((of) => publish(...of)),
  },
  {
    weight: 6,
    arbitrary: fc
      .tuple(
        fc.constantFrom(
          ...(["new", "all", "last", "last_per_subject", "sequence", "time", "after"] as const),
        ),
        fc.constantFrom("s.>", "s.*", "s.a", "*.b"),
        fc.nat(15),
        fc.boolean(),
      )
      .map((of) => subscribe(...of)),
  },
  { weight: 3, arbitrary: simple("pump", (stream) => stream.pump()) },
  {
    weight: 3,
    arbitrary: fc
      .tuple(fc.constantFrom("delete" as const, "purge" as const), fc.nat(12))
      .map((of) => remove(...of)),
  },
  {
    weight: 6,
    arbitrary: fc.constantFrom(1, 2, 5).map(turns),
  },
  {
    weight: 2,
    arbitrary: fc.constantFrom(2, 10, 50).map(wait),
  },
  fc.constant(CUT),
  { weight: 2, arbitrary: fc.constant(RECONNECT) },
  simple("delete the stream", (stream) => stream.deleteStream()),
  { weight: 2, arbitrary: simple("make the stream", (stream) => stream.createStream()) },
  { weight: 2, arbitrary: simple("notice", (stream) => stream.notice()) },
  simple("fail once", (stream) => void stream.failures.push("unavailable")),
  simple("refuse once", (stream) => void stream.failures.push("refused")),
  withReader("stop reading", (reader) => reader.reads(false)),
  { weight: 2, arbitrary: withReader("read", (reader) => reader.reads(true)) },
  withReader("unsubscribe", (reader) => reader.unsubscribe()),
  withReader("vanish", ({ peer }) => peer.connection.closed(1006)),
);

test("a subscription gets each message that it wants once and in order, or is told of a gap, and always catches up", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(0, 4, 100),
      fc.constantFrom(1, 5000),
      fc.constantFrom(0, 100, 1000),
      fc.array(steps, { minLength: 3, maxLength: 40 }),
      async (ringMessages, stepsPerTurn, markIntervalMs, steps) => {
        const stream = new ModelStream();
        const harness = new Harness(
          {
            ...{ subjects: CARRIED, demanded: [], streams: [{ name: NAME, subjects: CARRIED }] },
            ...{ ringMessages, ringBytes: 1_000_000, stepsPerTurn, markIntervalMs },
            ...{ maxQueueMessages: 10_000, maxQueueBytes: 10_000_000, maxFrameBytes: 65_536 },
            ...{ highWaterBytes: 500, lowWaterBytes: 100, maxQueueAgeMs: 1e9 },
            ...{ writeTimeoutMs: 1e9, readTimeoutMs: 1e9, pingIntervalMs: 1e9 },
          },
          stream,
        );
        stream.harness = harness;
        for (let n = 0; n < 10; n++)
          stream.publish(n % 3 === 0 ? "o.x" : n % 3 === 1 ? "s.a" : "s.b");
        stream.notice();
        const world = { harness, stream, readers: [] as Reader[] };
        for (const step of steps) {
          await step.run(world);
          harness.expectBalance();
        }

        // Everything works again, everybody reads, and nothing more happens.
        stream.failures.length = 0;
        stream.reconnect();
        stream.createStream();
        stream.notice();
        for (const reader of world.readers) reader.reads(true);
        await pass(world, 120, 100);
        for (const { peer } of world.readers) expect(peer.session.subscriptions.catchingUp).toBe(0);
        // What comes now comes to all who have caught up.
        for (const subject of ["s.a", "s.b"]) stream.publish(subject);
        await pass(world, 5, 100);
        for (const reader of world.readers) reader.check();
        harness.expectBalance();
        // Nobody asks again and again while the source is cut off.
        const retries = 2 * steps.length + harness.clock.nowMs() / 250 + 10;
        expect(stream.disconnectedRequests).toBeLessThan(MOST_CLIENTS * retries);

        // Nothing is left of those who are gone: no reader of the ring, no timer.
        expect(harness.broadcaster.kept.messages).toBeLessThanOrEqual(ringMessages);
        expect(harness.meter.ledger.queuedBytes).toBe(0);
        const drained = harness.clients.drain(100);
        await pass(world, 5, 100);
        await drained;
        expect(harness.clock.timers).toBe(0);
      },
    ),
    {
      numRuns: RUNS,
      examples: [
        // While the source is cut off, a message is removed. A subscription catches up when it is connected again,
        [
          0,
          1,
          0,
          [publish("s.a", 2), CUT, remove("delete", 0), subscribe("after", "s.>", 2, true)],
        ],
        // or resumes later, where the ring has all that came before and after the message.
        [
          ...([100, 1, 0] as const),
          [
            ...[CUT, publish("s.a", 1), remove("delete", 0), publish("s.a", 1), RECONNECT],
            ...[wait(10), subscribe("after", "s.>", 2, true)],
          ],
        ],
      ],
    },
  );
}, 300_000);
