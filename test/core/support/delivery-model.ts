import type { TextFrame } from "../../../src/core/ports/text-frame.ts";
import type { Dialect } from "../../../src/core/wire/dialect.ts";
import { readEvents } from "../../support/event-parser.ts";
import type { ReceivedFrame } from "./fake-sockets.ts";
import type { TestClient } from "./harness.ts";
import { stateOf } from "./harness.ts";
import type { HistoryModel, ModelRequest } from "./history-model.ts";

/** A subscription in effect. */
interface Held extends ModelRequest {
  readonly sinceSequence: number;
  /** Whether NATS delivers every message of it, as long as the connection stands. */
  assured: boolean;
  /** Whether NATS delivered every message, and then refused some. */
  refused: boolean;
  /** Whether a message of it was published while the source was disconnected or refused it. */
  owed: boolean;
}

/** A message that the client must get once. */
interface Due {
  readonly sequence: number;
  readonly subject: string;
  /** The subscription with `max_rate` that delivers it, if one does. */
  by: Held | "any" | undefined;
  got: boolean;
  /** The client has unsubscribed since: the message may still come. */
  optional: boolean;
}

/**
 * Computes which messages one client must get by the rules of the wire protocol, and compares them with what
 * its socket received. Knows nothing of audiences, queues and pacers.
 */
export class DeliveryModel {
  readonly peer: TestClient;
  readonly #dialect: Dialect;
  readonly #history: HistoryModel;
  /** The subscriptions in effect, oldest first. */
  readonly held = new Map<string, Held>();
  /** Requests without an answer yet. */
  readonly asked = new Map<string, ModelRequest>();
  /** How many messages the client was ever due, and how many its socket took. */
  entitled = 0;
  delivered = 0;
  /** Whether `entitled` may be too high: the connection ended during a resume. */
  unsure = false;
  #due: Due[] = [];
  #heard = 0;
  #superseded = 0;
  #lost = 0;
  #slow = false;
  /** Gaps since the last `subscribed`. */
  #gaps: ReceivedFrame[] = [];
  #expectedGaps: string[] = [];

  constructor(peer: TestClient, dialect: Dialect, history: HistoryModel) {
    this.peer = peer;
    this.#dialect = dialect;
    this.#history = history;
  }

  get isOver(): boolean {
    return this.peer.connection.isOver;
  }

  /** How many subscriptions have a `max_rate`. */
  get paced(): number {
    return [...this.held.values()].filter(({ maxRate }) => maxRate !== undefined).length;
  }

  /** A message arrives at the gateway. */
  expect(sequence: number, subject: string): void {
    const first = this.#firstThatWants(subject);
    if (this.isOver || first === undefined) return;
    this.#owe(sequence, subject, first);
  }

  /** A message is published and does not arrive at the gateway. */
  missed(subject: string, connected: boolean): void {
    const wanting = [...this.held.values()].filter((held) => this.#history.wants(held, subject));
    if (this.isOver || wanting.length === 0) return;
    for (const held of wanting) held.owed ||= !connected || held.refused;
    if (connected && wanting.some(({ assured }) => assured)) {
      throw new Error(`the source is not subscribed to ${subject}, though a client is`);
    }
  }

  /** A plain client's request takes effect at once, without a `subscribed`. */
  beginUntold(wish: ModelRequest): void {
    this.#begin(wish, undefined);
  }

  /** The client unsubscribes. */
  unsubscribe(id: string): void {
    this.asked.delete(id);
    const ended = this.held.get(id);
    if (ended === undefined) return;
    this.held.delete(id);
    for (const due of this.#due.filter(({ by, got }) => !got && (by === ended || by === "any"))) {
      due.optional ||= this.#firstThatWants(due.subject) === undefined;
      // It is queued already, or another subscription delivers it: its place among other subjects is open.
      due.by = "any";
    }
  }

  /** Marks the subscriptions whose messages NATS now delivers. */
  assure(arrives: (pattern: string) => boolean): void {
    for (const held of this.held.values()) {
      held.assured ||= this.#history.exposedOf(held).every(arrives);
      if (held.assured) held.refused = false;
    }
  }

  cutOff(): void {
    for (const held of this.held.values()) {
      held.assured = false;
      held.refused = false;
    }
  }

  /** NATS stops delivering some messages. */
  unassure(arrives: (pattern: string) => boolean): void {
    for (const held of this.held.values()) {
      if (!held.assured || this.#history.exposedOf(held).every(arrives)) continue;
      held.assured = false;
      held.refused = true;
    }
  }

  /** Reads what the socket received since the last call. */
  listen(): void {
    const { textFrames } = this.peer.socket;
    for (; this.#heard < textFrames.length; this.#heard++) {
      for (const said of read(textFrames[this.#heard]!, this.#dialect)) this.#hear(said);
    }
    this.#checkGaps();
  }

  /** Nothing is under way any more: each due message was delivered, declared lost, or superseded. */
  settle(connected: boolean): void {
    const { session, socket } = this.peer;
    if (this.isOver || socket.peerCloses) return;
    const missing = this.#due.filter(({ got }) => !got);
    const told = this.#superseded + this.#lost;
    const needed = missing.filter((due) => !due.optional && !this.#cameForAnEndedOne(due)).length;
    const said = `${missing.length} due and not delivered (${needed} of them for sure), ${this.#superseded} superseded, ${this.#lost} declared lost`;
    if (told > missing.length) throw new Error(`declared too much: ${said}`);
    if (this.#dialect.sendsNotices && told < needed) throw new Error(`lost in silence: ${said}`);
    if (session.queuedBytes > 0) throw new Error("a client that reads still has a queue");
    if (this.paced === 0 && stateOf(session) !== "live")
      throw new Error(`it is ${stateOf(session)} for ever`);
    if (this.#slow) throw new Error("no ok after slow");
    const owed = [...this.held.values()].some(({ owed, refused }) => owed && !refused);
    if (connected && owed && this.#dialect.sendsNotices) throw new Error("no gap after a cut");
    this.#due = [];
    this.#superseded = 0;
    this.#lost = 0;
  }

  /** Whether the message came for a subscription that has ended, and counts for this one. */
  #cameForAnEndedOne({ sequence }: Due): boolean {
    const other = this.#due.find((due) => due.sequence === sequence && due.optional && due.got);
    if (other !== undefined) other.optional = false;
    return other !== undefined;
  }

  #firstThatWants(subject: string): Held | undefined {
    return [...this.held.values()].find((held) => this.#history.wants(held, subject));
  }

  #owe(sequence: number, subject: string, by?: Held): void {
    this.entitled++;
    const paced = by?.maxRate === undefined ? undefined : by;
    this.#due.push({ sequence, subject, by: paced, got: false, optional: false });
  }

  #hear(said: ReceivedFrame): void {
    switch (said.type) {
      case "data":
        this.#take(said);
        break;
      case "gap":
        this.#gaps.push(said);
        if (said.reason === "slow") this.#lose(said);
        if (said.reason === "upstream") for (const held of this.held.values()) held.owed = false;
        break;
      case "subscribed":
        this.#checkGaps();
        this.#begin(this.asked.get(String(said.id))!, said);
        break;
      case "error":
        this.asked.delete(String(said.id));
        break;
      case "disconnect":
        if (said.cursor !== undefined) this.#checkCursor(String(said.cursor));
        break;
      case "slow":
      case "ok":
        if (this.#slow === (said.type === "slow")) throw new Error(`${said.type} twice`);
        this.#slow = said.type === "slow";
    }
  }

  /** Checks that a message is due, comes once and in order, and supersedes only messages that were due before it. */
  #take({ id, subject, superseded = 0 }: ReceivedFrame): void {
    this.delivered++;
    const sequence = this.#history.sequenceOf(String(id));
    this.#history.told(String(id));
    const what = `${subject} (${sequence})`;
    const due = this.#due.find(
      (due, at) => due.sequence === sequence && !due.got && this.#isNext(due, at),
    );
    if (due === undefined || due.subject !== subject) {
      throw new Error(`got ${what}, which it is not due, has already, or which comes too late`);
    }
    due.got = true;
    if (superseded === 0) return;
    const earlier = this.#due.filter(
      (other) => !other.got && other.subject === subject && other.sequence < sequence!,
    );
    if (typeof superseded !== "number" || superseded > earlier.length) {
      throw new Error(`${what} says superseded ${superseded}, but only ${earlier.length} can be`);
    }
    this.#superseded += superseded;
  }

  /** Whether no later message of the same subscription, and no later value of its subject, came before it. */
  #isNext({ by, subject, sequence }: Due, at: number): boolean {
    return !this.#due.slice(at + 1).some((later) => {
      if (!later.got) return false;
      if (later.by === by && by !== "any") return true;
      return later.subject === subject && later.sequence > sequence;
    });
  }

  #lose({ from, to, count }: ReceivedFrame): void {
    const first = this.#history.sequenceOf(String(from));
    const last = this.#history.sequenceOf(String(to));
    const missing = this.#due.filter(({ got }) => !got);
    const ends = [first, last].map((end) => missing.some(({ sequence }) => sequence === end));
    const within = missing.filter(({ sequence }) => sequence >= first! && sequence <= last!);
    if (ends.includes(false) || typeof count !== "number" || count < 1 || count > within.length) {
      throw new Error(
        `gap of ${count} from ${first} to ${last}, but missing are ${missing.map(({ sequence }) => sequence)}`,
      );
    }
    this.#lost += count;
  }

  /** A client that resumes at the cursor misses no message that was due before it and not declared. */
  #checkCursor(cursor: string): void {
    this.#history.told(cursor);
    const skipped = this.#due.filter(
      (due) =>
        due.sequence <= this.#history.sequenceOf(cursor)! &&
        !due.got &&
        !due.optional &&
        !this.#cameForAnEndedOne(due),
    );
    if (skipped.length <= this.#superseded + this.#lost) return;
    throw new Error(`the cursor ${cursor} skips ${skipped.map(({ sequence }) => sequence)}`);
  }

  #begin(wish: ModelRequest, told: ReceivedFrame | undefined): void {
    const resumption = this.#history.resume(wish);
    const others = [...this.held.values()];
    const { fromSequence } = resumption;
    if (told !== undefined) {
      this.asked.delete(wish.id);
      this.#history.told(String(told.from));
      if (this.#history.sequenceOf(String(told.from)) !== fromSequence) {
        throw new Error(`begins behind ${told.from} instead of ${fromSequence}`);
      }
      this.#gaps = [];
      this.#expectedGaps = [...resumption.gaps];
    }
    this.held.set(wish.id, {
      ...wish,
      sinceSequence: fromSequence,
      assured: false,
      refused: false,
      owed: false,
    });
    for (const { sequence, subject } of resumption.kept) {
      const hasIt = others.some(
        (held) => held.sinceSequence < sequence && this.#history.wants(held, subject),
      );
      if (hasIt) continue;
      this.unsure ||= this.isOver;
      this.#owe(sequence, subject);
    }
  }

  /** Messages after a cursor that cannot be replayed are declared by a gap. */
  #checkGaps(): void {
    for (const reason of this.isOver ? [] : this.#expectedGaps) {
      const gap = this.#gaps.find((gap) => gap.reason === reason);
      if (gap === undefined) throw new Error(`no gap "${reason}" after a cursor`);
    }
    this.#expectedGaps = [];
  }
}

function read(frame: TextFrame, dialect: Dialect): ReceivedFrame[] {
  const texts =
    dialect.name === "sse"
      ? readEvents(frame.text).map(({ data }) => data)
      : frame.text.split("\n");
  if (dialect.name === "plain" && texts.length > 1) throw new Error("two envelopes in one frame");
  return texts.map((text) => JSON.parse(text) as ReceivedFrame);
}
