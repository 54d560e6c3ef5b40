import { test } from "bun:test";
import fc from "fast-check";
import { Grant } from "../../../src/core/access/grant.ts";
import { V1 } from "../../../src/core/wire/dialect.ts";
import type { Policy } from "../../../src/protocol/fields.ts";
import { covers, idOf, type Place, placeOf } from "../support/declared-gaps.ts";
import type { ReceivedFrame } from "../support/fake-sockets.ts";
import { Harness, type TestClient } from "../support/harness.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { ModelStep } from "../support/model-step.ts";
import { CARRIED, ModelStream, NAME, type Published } from "../support/model-stream.ts";

const RUNS = Number(process.env.SPILLWAY_MODEL_RUNS ?? 400);
const MOST_CLIENTS = 4;
const DENIED = "s.b";

/** A gateway, and its source of the stream that all gateways follow. */
interface Gateway {
  readonly harness: Harness;
  readonly stream: ModelStream;
}

/** A client with one subscription that resumes after what it has, at any gateway. */
class ResumingClient {
  readonly #subject: string;
  readonly #policy: Policy;
  readonly #isOutsider: boolean;
  /** The messages that the stream had removed before the client came. */
  readonly #removedBefore: ReadonlySet<Published>;
  #peer: TestClient | undefined;
  #heard = 0;
  /** The number of frames that the connection had when the client stopped to read. */
  #unreadFrom: number | undefined;
  #began: Place | undefined;
  #cursor: string | undefined;
  readonly #received = new Set<string>();
  readonly #gaps: ReceivedFrame[] = [];

  constructor(subject: string, policy: Policy, isOutsider: boolean, stream: ModelStream) {
    this.#removedBefore = new Set(stream.removed);
    this.#subject = subject;
    this.#policy = policy;
    this.#isOutsider = isOutsider;
  }

  get isHere(): boolean {
    return this.#peer?.connection.isOver === false;
  }

  get catchesUp(): boolean {
    return (this.#peer?.session.subscriptions.catchingUp ?? 0) > 0;
  }

  connect({ harness }: Gateway): void {
    this.cut();
    const { terms, patterns } = harness.grant;
    const receives = { allow: "everything", deny: this.#isOutsider ? [DENIED] : [] } as const;
    const grant = new Grant(patterns, { ...terms, receives });
    this.#peer = harness.joinWith(undefined, V1, false, undefined, grant);
    this.#heard = 0;
    this.#unreadFrom = undefined;
    const from = this.#cursor === undefined ? "new" : { after: this.#cursor };
    const subjects = [this.#subject];
    this.#peer.send({ type: "subscribe", id: "1", subjects, policy: this.#policy, from });
  }

  /** The connection ends. What the client has not read is lost. */
  cut(): void {
    this.listen();
    if (this.isHere) this.#peer?.connection.closed(1006);
    this.#peer = undefined;
  }

  reads(reads: boolean): void {
    this.listen();
    const { socket } = this.#peer ?? {};
    if (socket === undefined) return;
    socket.reads = reads;
    this.#unreadFrom = reads ? undefined : (this.#unreadFrom ?? socket.frames.length);
    if (reads) socket.buffered = 0;
  }

  listen(): void {
    const frames = this.#peer?.socket.frames ?? [];
    const upTo = this.#unreadFrom ?? frames.length;
    for (; this.#heard < upTo; this.#heard++) this.#take(frames[this.#heard]!);
  }

  #take(frame: ReceivedFrame): void {
    if (frame.type === "data") {
      const id = String(frame.id);
      const { subject } = frame;
      if (this.#isOutsider && subject === DENIED) throw new Error(`it got ${id}, which it may not`);
      this.#received.add(id);
      this.#cursor = id;
    } else if (frame.type === "subscribed") {
      this.#began ??= placeOf(String(frame.from));
      this.#cursor ??= String(frame.from);
    } else if (frame.type === "gap") this.#gaps.push(frame);
    else if (frame.type === "disconnect" && frame.cursor !== undefined)
      this.#cursor = String(frame.cursor);
  }

  /** Everything came, or is in a declared gap. */
  check({ published, removed }: ModelStream): void {
    const began = this.#began;
    if (began === undefined) throw new Error("the subscription never started");
    const epochOf = ({ origin }: Place) => Number(origin.split("-")[1]);
    for (const message of published) {
      const { subject } = message;
      if (this.#subject !== "s.>" && this.#subject !== subject) continue;
      if (!subject.startsWith("s.") || (this.#isOutsider && subject === DENIED)) continue;
      const isOwed =
        epochOf(message) > epochOf(began) ||
        (message.origin === began.origin && message.sequence > began.sequence);
      if (!isOwed || this.#received.has(idOf(message))) continue;
      const isRemoved = removed.has(message);
      // All of a successor comes, but what it had removed before.
      if (isRemoved && message.origin !== began.origin) continue;
      if (this.#removedBefore.has(message)) continue;
      if (this.#gaps.some((gap) => this.#declares(gap, message, isRemoved))) continue;
      throw new Error(`${idOf(message)} is missing`);
    }
  }

  #declares(gap: ReceivedFrame, message: Published, isRemoved: boolean): boolean {
    const { from, to, reason } = gap;
    const isOfStream = [from, to].every((cursor) => String(cursor).startsWith(`${NAME}:`));
    // A cursor of the gateway's own count says nothing of the stream.
    if (!isOfStream) return true;
    const isAny = reason === "slow" || reason === "upstream";
    return (isAny || isRemoved) && covers(gap, message);
  }
}

interface World {
  readonly clock: ManualClock;
  readonly gateways: readonly [Gateway, Gateway];
  readonly clients: ResumingClient[];
}

/** Time passes; what was promised is done, and live messages come. */
async function pass({ clock, gateways }: World, turns: number, ms: number): Promise<void> {
  for (let turn = 0; turn < turns; turn++) {
    clock.advance(ms);
    for (let n = 0; n < 3; n++) await new Promise((resolve) => setImmediate(resolve));
    if (ms >= 100) for (const { stream } of gateways) stream.pump();
  }
}

class Step extends ModelStep<World> {}

const gateway = fc.constantFrom(0, 1);

const withStream = (name: string, run: (stream: ModelStream) => void) =>
  fc.constant(new Step(name, ({ gateways: [{ stream }] }) => run(stream)));

const withSource = (name: string, run: (stream: ModelStream) => void) =>
  gateway.map((n) => new Step(`${name} (${n})`, ({ gateways }) => run(gateways[n]!.stream)));

const withClient = (name: string, run: (client: ResumingClient, gateway: Gateway) => void) =>
  fc.tuple(fc.nat(MOST_CLIENTS - 1), gateway).map(
    ([n, m]) =>
      new Step(`${name} (client ${n}, gateway ${m})`, ({ clients, gateways }) => {
        const client = clients[n % Math.max(1, clients.length)];
        if (client !== undefined) run(client, gateways[m]!);
      }),
  );

const steps = fc.oneof(
  {
    weight: 8,
    arbitrary: fc
      .tuple(fc.constantFrom("s.a", "s.a", "s.b", "o.x"), fc.integer({ min: 1, max: 8 }))
      .map(
        ([subject, count]) =>
          new Step(`publish(${subject} x ${count})`, ({ gateways: [{ stream }] }) => {
            for (let n = 0; n < count; n++) stream.publish(subject);
          }),
      ),
  },
  {
    weight: 4,
    arbitrary: fc
      .tuple(
        fc.constantFrom("s.>", "s.a", "s.b"),
        fc.constantFrom<Policy>("drop-oldest", "drop-newest", "disconnect"),
        fc.boolean(),
        gateway,
      )
      .map(
        ([subject, policy, isOutsider, n]) =>
          new Step(`come(${subject} ${policy} ${isOutsider}) (${n})`, ({ clients, gateways }) => {
            if (clients.length === MOST_CLIENTS || (isOutsider && subject === DENIED)) return;
            const client = new ResumingClient(subject, policy, isOutsider, gateways[n]!.stream);
            client.connect(gateways[n]!);
            clients.push(client);
          }),
      ),
  },
  { weight: 6, arbitrary: withClient("resume", (client, at) => client.connect(at)) },
  { weight: 2, arbitrary: withClient("cut", (client) => client.cut()) },
  withClient("stop reading", (client) => client.reads(false)),
  { weight: 2, arbitrary: withClient("read", (client) => client.reads(true)) },
  { weight: 3, arbitrary: withSource("pump", (stream) => stream.pump()) },
  { weight: 2, arbitrary: withSource("pump two", (stream) => stream.pump(2)) },
  { weight: 2, arbitrary: withSource("cut off", (stream) => stream.cut()) },
  { weight: 3, arbitrary: withSource("reconnect", (stream) => stream.reconnect()) },
  withSource("blink", (stream) => {
    stream.cut();
    stream.reconnect();
  }),
  {
    weight: 3,
    arbitrary: fc.tuple(gateway, fc.nat(5), fc.boolean()).map(
      ([n, back, reconnects]) =>
        new Step(`outage (${n}): delete(last - ${back}), ${reconnects}`, ({ gateways }) => {
          const { stream } = gateways[n]!;
          stream.cut();
          for (const subject of ["s.a", "s.b", "s.a", "s.b", "s.a", "s.b"]) stream.publish(subject);
          stream.delete(stream.last - back);
          if (reconnects) stream.reconnect();
        }),
    ),
  },
  { weight: 2, arbitrary: withSource("notice", (stream) => stream.notice()) },
  withSource("fail once", (stream) => void stream.failures.push("unavailable")),
  {
    weight: 3,
    arbitrary: fc.tuple(fc.constantFrom("delete" as const, "purge" as const), fc.nat(8)).map(
      ([how, back]) =>
        new Step(`${how}(last - ${back})`, ({ gateways: [{ stream }] }) => {
          stream[how](stream.last - back);
        }),
    ),
  },
  withStream("make the stream anew", (stream) => {
    stream.deleteStream();
    stream.createStream();
  }),
  {
    weight: 6,
    arbitrary: fc
      .constantFrom(1, 2, 5)
      .map((n) => new Step(`turns(${n})`, (world) => pass(world, n, 1))),
  },
  {
    weight: 2,
    arbitrary: fc
      .constantFrom(2, 10, 50)
      .map((n) => new Step(`wait(${n} x 100 ms)`, (world) => pass(world, n, 100))),
  },
);

test("a client that resumes at either of two gateways gets each message, or is told of a gap", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(0, 4, 100),
      fc.constantFrom(1, 5000),
      fc.constantFrom(3, 10_000),
      fc.array(steps, { minLength: 3, maxLength: 50 }),
      async (ringMessages, stepsPerTurn, maxQueueMessages, steps) => {
        const clock = new ManualClock();
        let twin: ModelStream | undefined;
        const begin = (): Gateway => {
          const stream = new ModelStream(twin);
          twin = stream;
          const harness = new Harness(
            {
              ...{ subjects: CARRIED, demanded: [], streams: [{ name: NAME, subjects: CARRIED }] },
              ...{ ringMessages, ringBytes: 1_000_000, stepsPerTurn, maxQueueMessages, clock },
              ...{ maxQueueBytes: 10_000_000, maxFrameBytes: 65_536, maxQueueAgeMs: 1e9 },
              ...{ highWaterBytes: 500, lowWaterBytes: 100, pingIntervalMs: 1e9 },
              ...{ writeTimeoutMs: 1e9, readTimeoutMs: 1e9 },
            },
            stream,
          );
          stream.harness = harness;
          return { harness, stream };
        };
        const gateways = [begin(), begin()] as const;
        const [{ stream }] = gateways;
        for (let n = 0; n < 10; n++) stream.publish(n % 2 === 0 ? "s.a" : "s.b");
        for (const { stream } of gateways) stream.notice();
        const world: World = { clock, gateways, clients: [] };
        for (const step of steps) {
          await step.run(world);
          for (const client of world.clients) client.listen();
          for (const { harness } of gateways) harness.expectBalance();
        }

        // Everything works again, and everybody reads.
        stream.createStream();
        for (const { stream } of gateways) {
          stream.failures.length = 0;
          stream.reconnect();
          stream.notice();
        }
        for (const client of world.clients) client.reads(true);
        await pass(world, 120, 100);
        for (const client of world.clients) if (!client.isHere) client.connect(gateways[0]);
        for (const subject of ["s.a", "s.b"]) stream.publish(subject);
        await pass(world, 120, 100);
        for (const client of world.clients) {
          client.listen();
          if (client.catchesUp) throw new Error("it has not caught up");
          client.check(stream);
        }
      },
    ),
    { numRuns: RUNS },
  );
}, 300_000);
