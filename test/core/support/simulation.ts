import type { BroadcasterOptions } from "../../../src/core/broadcaster-parts.ts";
import { PLAIN, SSE, V1 } from "../../../src/core/wire/dialect.ts";
import type { Policy } from "../../../src/core/wire/policy.ts";
import { Witness } from "./delivery-model.ts";
import { type Actor, Stage } from "./harness.ts";
import { History, type Wish } from "./history-model.ts";

export const SUBJECTS = ["a", "b", "c.x", "c.y"];
const DIALECTS = { plain: PLAIN, v1: V1, sse: SSE };

/** What a client asks for, with its cursor named by its place among those that clients were told. */
interface Asking {
  readonly subjects: readonly string[] | undefined;
  readonly policy: Policy | undefined;
  readonly maxRate: number | undefined;
  readonly cursor: number | undefined;
}

/** Something that happens. Clients are meant by their number, whatever that is. */
export type Step =
  | { does: "publish"; subject: string; length: number; times: number }
  | { does: "pass"; ms: number }
  | { does: "stop reading"; client: number }
  | { does: "read"; client: number; share: number }
  | { does: "come"; dialect: keyof typeof DIALECTS; asking: Asking; lingers: boolean }
  | { does: "subscribe"; client: number; id: string; asking: Asking }
  | { does: "unsubscribe"; client: number; id: string }
  | { does: "ping"; client: number }
  | { does: "begin to close"; client: number }
  | { does: "go"; client: number; code: number }
  | { does: "refuse"; pattern: number }
  | { does: "cut" | "reconnect" | "hesitate" | "confirm" | "settle" };

/** A broadcaster, its clients and its source, with the model that each step is held against. */
export class World {
  readonly stage: Stage;
  readonly #options: Partial<BroadcasterOptions>;
  readonly #history: History;
  readonly #witnesses: Witness[] = [];
  #connected = true;
  #largest = 0;
  #replayed = false;
  /** Whether the model does not know all that is due. */
  #blind = false;

  constructor(options: Partial<BroadcasterOptions>) {
    this.#options = options;
    this.stage = new Stage(options);
    this.#history = new History(options.subjects ?? [">"], {
      ringMessages: options.ringMessages ?? 0,
      ringBytes: options.ringBytes ?? 0,
    });
  }

  do(step: Step): void {
    this.#act(step);
    this.#look();
  }

  /** The server drains: everybody goes, and nothing is left. */
  async end(): Promise<void> {
    this.do({ does: "settle" });
    const drain = this.stage.broadcaster.drain(1000).then(() => true);
    this.stage.clock.advance(2000);
    const drained = await Promise.race([drain, new Promise((resolve) => setImmediate(resolve))]);
    for (const witness of this.#witnesses) witness.listen();
    const { meter, clock } = this.stage;
    this.#expectTotals();
    const { queued, queuedBytes, clientsActive, clientsLagging } = meter;
    const left = { queued, queuedBytes, clientsActive, clientsLagging, timers: clock.timers };
    if (drained !== true || Object.values(left).some((value) => value !== 0)) {
      throw new Error(`drained: ${drained}, left: ${JSON.stringify(left)}`);
    }
  }

  #act(step: Step): void {
    const { stage } = this;
    switch (step.does) {
      case "publish":
        for (let n = 0; n < step.times; n++) this.#publish(step.subject, step.length);
        break;
      case "pass":
        stage.clock.advance(step.ms);
        break;
      case "come":
        this.#come(step);
        break;
      case "cut":
        this.#connected = false;
        for (const witness of this.#witnesses) witness.cutOff();
        stage.disconnect();
        break;
      case "refuse": {
        const patterns = [...stage.source.patterns];
        const pattern = patterns[step.pattern % patterns.length];
        if (this.#connected && pattern !== undefined) stage.source.refuse(pattern);
        for (const witness of this.#witnesses) witness.unassure(this.#covers);
        break;
      }
      case "reconnect":
        this.#connected = true;
        stage.connect();
        break;
      case "hesitate":
        stage.source.confirms = false;
        break;
      case "confirm":
        stage.source.confirms = true;
        if (this.#connected) stage.source.confirmAll();
        break;
      case "settle":
        this.#settle();
        break;
      default:
        this.#actAs(this.#witnesses[step.client % this.#witnesses.length], step);
    }
  }

  #actAs(witness: Witness | undefined, step: Extract<Step, { client: number }>): void {
    if (witness === undefined) return;
    const { socket, client, says } = witness.actor;
    switch (step.does) {
      case "stop reading":
        socket.reads = false;
        break;
      case "read":
        socket.buffered = Math.floor(socket.buffered * (1 - step.share));
        socket.reads = socket.buffered === 0;
        break;
      case "ping":
        says({ type: "ping" });
        break;
      case "begin to close":
        socket.peerCloses = true;
        // What it subscribes to from now on, it can't be told.
        this.#blind ||= witness.asked.size > 0;
        break;
      case "go":
        client.closed(step.code);
        break;
      case "subscribe":
        this.#subscribe(witness, step.id, step.asking);
        break;
      case "unsubscribe":
        if (client.dialect !== V1) break;
        says({ type: "unsubscribe", sub: step.id });
        witness.unsubscribe(step.id);
    }
  }

  #publish(subject: string, length: number): void {
    const { stage } = this;
    if (!this.#history.exposes(subject)) return;
    if (!stage.source.carries(subject)) {
      this.#history.missed(subject);
      for (const witness of this.#witnesses) witness.missed(subject, this.#connected);
      return;
    }
    const payload = "x".repeat(length);
    const sequence = this.#history.came(subject, payload);
    for (const witness of this.#witnesses) witness.expect(sequence, subject);
    this.#largest = Math.max(this.#largest, length + 200);
    stage.publish(payload, subject);
    const { maxTotalQueueBytes = Number.POSITIVE_INFINITY } = this.#options;
    if (stage.meter.queuedBytes > maxTotalQueueBytes) {
      throw new Error(`${stage.meter.queuedBytes} bytes are queued`);
    }
  }

  #come({ dialect, asking, lingers }: Extract<Step, { does: "come" }>): void {
    const request = dialect === "v1" ? undefined : this.#wish("", asking);
    const hidden = request && this.stage.broadcaster.hiddenOf(request.subjects);
    if (hidden !== undefined) return;
    const actor: Actor = this.stage.joinWith(request, DIALECTS[dialect], lingers);
    const witness = new Witness(actor, DIALECTS[dialect], this.#history);
    actor.socket.onTerminate = () => actor.client.closed(1006);
    this.#witnesses.push(witness);
    if (request !== undefined && dialect === "sse") witness.asked.set("", request);
    if (request !== undefined && dialect === "plain" && !actor.client.isOver) {
      witness.beginUntold(request);
    }
  }

  #subscribe(witness: Witness, id: string, asking: Asking): void {
    if (witness.actor.client.dialect !== V1 || witness.actor.socket.peerCloses) return;
    const wish = this.#wish(id, asking);
    if (witness.asked.has(id) || witness.held.has(id)) return;
    witness.asked.set(id, wish);
    const { subjects, policy, maxRate: max_rate, after } = wish;
    const from = after === undefined ? "new" : { after };
    witness.actor.says({ type: "subscribe", id, subjects, policy, max_rate, from });
  }

  #wish(id: string, { subjects, policy, maxRate, cursor }: Asking): Wish {
    const { cursors } = this.#history;
    const after =
      cursor === undefined
        ? undefined
        : cursor === 0 || cursors.length === 0
          ? "elsewhere:7"
          : cursors[cursors.length - 1 - ((cursor - 1) % cursors.length)];
    if (after !== undefined) this.#replayed = true;
    return { id, subjects: id === "" ? subjects : (subjects ?? [">"]), policy, maxRate, after };
  }

  readonly #covers = (pattern: string): boolean => this.stage.source.covers(pattern);

  /** Everybody reads, and time passes until nothing moves. */
  #settle(): void {
    for (const { actor } of this.#witnesses) {
      actor.socket.reads = true;
      actor.socket.buffered = 0;
    }
    this.stage.clock.advance(600);
    for (const witness of this.#witnesses) {
      witness.listen();
      witness.settle(this.#connected);
    }
    this.#expectTotals();
  }

  #look(): void {
    this.stage.expectBalance();
    for (const witness of this.#witnesses) {
      witness.listen();
      witness.assure(this.#covers);
      const { maxQueueBytes = Number.POSITIVE_INFINITY } = this.#options;
      if (this.#replayed) continue;
      const places = 1 + witness.paced;
      if (witness.actor.client.queuedBytes > places * Math.max(maxQueueBytes, this.#largest)) {
        throw new Error("a queue is over its bound");
      }
    }
    const active = this.#witnesses.filter(({ isOver }) => !isOver).length;
    if (this.stage.meter.clientsActive !== active) throw new Error(`${active} clients are active`);
  }

  /** The ledger agrees with what the model saw. */
  #expectTotals(): void {
    const { offered, sent } = this.stage.meter;
    const sum = (of: "entitled" | "delivered") =>
      this.#witnesses.reduce((total, witness) => total + witness[of], 0);
    const blind = this.#blind || this.#witnesses.some(({ unsure }) => unsure);
    if (!blind && offered !== sum("entitled"))
      throw new Error(`offered ${offered}, not ${sum("entitled")}`);
    if (sent !== sum("delivered")) throw new Error(`sent ${sent}, not ${sum("delivered")}`);
  }
}
