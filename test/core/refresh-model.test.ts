import { expect, test } from "bun:test";
import fc from "fast-check";
import type { Grant } from "../../src/core/access/grant.ts";
import { subjectMatches } from "../../src/core/subject/subject.ts";
import { AuthHarness, grantOf } from "./support/auth-harness.ts";
import type { ReceivedFrame } from "./support/fake-sockets.ts";
import type { TestClient } from "./support/harness.ts";

const SUBJECTS = ["a", "a.x", "a.y", "b.x", "b.y.z"];
const PATTERNS = [">", "a", "a.*", "a.>", "*.x", "b.>", "b.y.z", "*"];
/** Longer than `highWaterBytes`: a client that doesn't read it lags. */
const BIG = "x".repeat(40_000);

/** A message that was published, and whether the client may and must get it. */
interface Published {
  readonly subject: string;
  /** Whether a subscription wanted it. */
  isWanted: boolean;
  /** Whether all grants since then allow it. */
  isAllowed: boolean;
  /** Whether the client has ended a subscription that may have been about to bring it. */
  isOptional: boolean;
  /** How often it came, and how often it may: again for a subscription that begins in the past, if no other has it. */
  came: number;
  mayCome: number;
}

/** A subscription, as the client was told. */
interface Held {
  subjects: readonly string[];
  /** The number of the first message that it brings. */
  readonly since: number;
}

/** One client whose grant changes, as it sees it itself: it knows what it holds from what it is told. */
class RefreshModel {
  readonly gate: AuthHarness;
  readonly peer: TestClient;
  readonly #messages: Published[] = [];
  readonly #held = new Map<string, Held>();
  /** By the name of a subscription that isn't confirmed yet, the number of the first message that it brings. */
  readonly #since = new Map<string, number>();
  #grant: Grant;
  #next: Grant | undefined;
  #heard = 0;
  #ids = 0;

  constructor(stepsPerTurn: number, deliveryMode: "at-most-once" | "at-least-once") {
    const bounds = { ringMessages: 1000, ringBytes: 10_000_000, maxQueueMessages: 1000 };
    const limits = { maxQueueBytes: 10_000_000, maxInflightMessages: 1000, maxSubscriptions: 100 };
    // A client that asks and doesn't read the answers is disconnected: there is room for those of this test.
    const water = { highWaterBytes: 30_000, lowWaterBytes: 200 };
    const more = {
      ...water,
      maxInflightBytes: 10_000_000,
      maxFramesPerSecond: 10_000,
      stepsPerTurn,
      upstream: "eager",
    } as const;
    this.gate = new AuthHarness({ ...bounds, ...limits, ...more, deliveryMode });
    this.#grant = grantOf({ deliveryMode, maxSubscriptions: 100 });
    this.peer = this.gate.join(this.#grant);
    this.#listen();
  }

  publish(subject: string, isBig: boolean): void {
    const isWanted = [...this.#held.values()].some(({ subjects }) => wants(subjects, subject));
    const payload = { n: this.#messages.length, ...(isBig && { BIG }) };
    const isAllowed = this.#grant.mayReceive(subject);
    const message = { subject, isWanted, isAllowed, isOptional: false, came: 0, mayCome: 1 };
    this.#messages.push(message);
    this.gate.harness.publish(payload, subject);
    this.#listen();
  }

  subscribe(subjects: readonly string[], fromFirst: boolean): void {
    const id = `${++this.#ids}`;
    const first = fromFirst ? this.peer.socket.envelopes[0] : undefined;
    const from = first === undefined ? {} : { from: { after: first.id } };
    const since = first === undefined ? this.#messages.length : numberOf(first) + 1;
    this.#since.set(id, since);
    this.peer.send({ type: "subscribe", id, subjects, policy: "drop-oldest", ...from });
    this.#listen();
  }

  unsubscribe(choice: number): void {
    const id = [...this.#held.keys()][choice % Math.max(1, this.#held.size)];
    if (id === undefined) return;
    const ended = this.#held.get(id) as Held;
    for (const [n, message] of this.#messages.entries()) {
      if (!wants(ended.subjects, message.subject)) continue;
      message.isOptional = true;
      // Another one may be on its way there, and didn't bring it as this one had it.
      const isWantedAgain = [...this.#held].some(
        ([other, held]) => other !== id && n >= held.since && wants(held.subjects, message.subject),
      );
      if (isWantedAgain) message.mayCome++;
    }
    this.peer.send({ type: "unsubscribe", sub: id });
    this.#listen();
  }

  async refresh(allow: readonly string[], deny: readonly string[]): Promise<void> {
    const { deliveryMode } = this.#grant.terms;
    this.#next = grantOf({ allow, deny, deliveryMode, maxSubscriptions: 100 });
    await this.gate.auth(this.peer, this.#next);
    this.#listen();
    if (this.#next !== undefined) throw new Error("the new token wasn't accepted");
  }

  /** The client doesn't read, so that what comes next is queued. */
  fallBehind(): void {
    this.lag(true);
    this.publish("a", true);
    this.pass(300);
  }

  lag(lags: boolean): void {
    const { socket } = this.peer;
    socket.reads = !lags;
    if (!lags) socket.buffered = 0;
  }

  pass(ms: number): void {
    this.gate.harness.clock.advance(ms);
    this.#listen();
  }

  /** Nothing is under way any more. */
  settle(): void {
    this.lag(false);
    for (let round = 0; round < 50; round++) this.pass(20);
    for (const [n, message] of this.#messages.entries()) {
      const { isWanted, isAllowed, isOptional, subject, came } = message;
      if (isWanted && isAllowed && !isOptional && came === 0) {
        throw new Error(`${n} of ${subject} is missing`);
      }
    }
    expect(this.peer.socket.closedWith).toBeUndefined();
    this.gate.harness.expectBalance();
  }

  #listen(): void {
    const { frames } = this.peer.socket;
    for (; this.#heard < frames.length; this.#heard++) this.#hear(frames[this.#heard]!);
  }

  #hear(frame: ReceivedFrame): void {
    const sub = String(frame.sub);
    switch (frame.type) {
      case "subscribed":
        this.#subscribed(sub, frame.subjects as readonly string[]);
        break;
      case "unsubscribed":
        this.#held.delete(sub);
        break;
      case "authenticated":
        this.#grant = this.#next!;
        this.#next = undefined;
        for (const message of this.#messages) {
          message.isAllowed &&= this.#grant.mayReceive(message.subject);
        }
        break;
      case "gap":
        throw new Error(`a gap: ${JSON.stringify(frame)}`);
      case "data":
        this.#take(frame);
    }
  }

  #subscribed(sub: string, subjects: readonly string[]): void {
    const held = this.#held.get(sub);
    if (held !== undefined) {
      held.subjects = subjects;
      return;
    }
    const since = this.#since.get(sub) as number;
    for (const [n, message] of this.#messages.entries()) {
      const { subject, came, isOptional } = message;
      if (n < since || !wants(subjects, subject) || !this.#grant.mayReceive(subject)) continue;
      message.isWanted = true;
      const isHad = [...this.#held.values()].some(
        (other) => n >= other.since && wants(other.subjects, subject),
      );
      if (!isHad && (came > 0 || isOptional)) message.mayCome++;
    }
    this.#held.set(sub, { subjects, since });
  }

  #take(frame: ReceivedFrame): void {
    const { id, subject } = frame;
    const n = numberOf(frame);
    const what = `${n} of ${subject}`;
    const message = this.#messages[n]!;
    if (++message.came > message.mayCome) throw new Error(`${what} comes too often`);
    if (!this.#grant.mayReceive(String(subject))) throw new Error(`${what} is not allowed`);
    if (!message.isWanted) throw new Error(`nobody wanted ${what}`);
    this.peer.send({ type: "ack", id });
  }
}

function numberOf({ payload }: ReceivedFrame): number {
  return (payload as { n: number }).n;
}

function wants(patterns: readonly string[], subject: string): boolean {
  return patterns.some((pattern) => subjectMatches(pattern, subject));
}

const patterns = fc.uniqueArray(fc.constantFrom(...PATTERNS), { minLength: 1, maxLength: 3 });
const step = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({ publish: fc.constantFrom(...SUBJECTS), isBig: fc.boolean() }),
  },
  { weight: 2, arbitrary: fc.record({ subscribe: patterns, fromFirst: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ unsubscribe: fc.nat(5) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      allow: patterns,
      deny: fc.constantFrom<readonly string[]>([], ["a.x"], ["a.>", "b.y.z"], ["*.x"]),
    }),
  },
  { weight: 1, arbitrary: fc.record({ lag: fc.boolean() }) },
  { weight: 2, arbitrary: fc.constant({ fallsBehind: true }) },
  { weight: 2, arbitrary: fc.record({ pass: fc.constantFrom(0, 1, 5, 300) }) },
);

test.each(["at-most-once", "at-least-once"] as const)(
  "Whatever new tokens allow, and whenever they come, a client gets that, all of it and each message once (%s)",
  async (deliveryMode) => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { maxLength: 40 }),
        fc.constantFrom(1, 7, 5000),
        async (steps, stepsPerTurn) => {
          const model = new RefreshModel(stepsPerTurn, deliveryMode);
          for (const step of steps) {
            if ("publish" in step) model.publish(step.publish, step.isBig);
            else if ("subscribe" in step) model.subscribe(step.subscribe, step.fromFirst);
            else if ("unsubscribe" in step) model.unsubscribe(step.unsubscribe);
            else if ("allow" in step) await model.refresh(step.allow, step.deny);
            else if ("lag" in step) model.lag(step.lag);
            else if ("fallsBehind" in step) model.fallBehind();
            else model.pass(step.pass);
          }
          model.settle();
        },
      ),
      { numRuns: 1500 },
    );
  },
);
