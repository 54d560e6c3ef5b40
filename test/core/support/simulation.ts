import { PLAIN, SSE, V1 } from "../../../src/core/wire/dialect.ts";
import type { Policy } from "../../../src/protocol/fields.ts";
import { DeliveryModel } from "./delivery-model.ts";
import { Harness, type HarnessOptions, type TestClient } from "./harness.ts";
import { HistoryModel, type ModelRequest } from "./history-model.ts";

export const SUBJECTS = ["a", "b", "c.x", "c.y"];
const DIALECTS = { plain: PLAIN, v1: V1, sse: SSE };

/** A request of a client. Its cursor is an index into the cursors that clients were told. */
interface Asking {
  readonly subjects: readonly string[] | undefined;
  readonly policy: Policy | undefined;
  readonly maxRate: number | undefined;
  readonly cursor: number | undefined;
}

/** One step of a simulation. A client is named by a number, modulo the number of clients. */
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

/** Runs steps against a broadcaster with its clients and its source, and checks each against the model. */
export class Simulation {
  readonly harness: Harness;
  readonly #options: Partial<HarnessOptions>;
  readonly #history: HistoryModel;
  readonly #models: DeliveryModel[] = [];
  #connected = true;
  #largest = 0;
  #replayed = false;
  /** Whether the model cannot know all messages that are due. */
  #blind = false;

  constructor(options: Partial<HarnessOptions>) {
    this.#options = options;
    this.harness = new Harness(options);
    this.#history = new HistoryModel(options.subjects ?? [">"], {
      ringMessages: options.ringMessages ?? 0,
      ringBytes: options.ringBytes ?? 0,
    });
  }

  do(step: Step): void {
    this.#act(step);
    this.#look();
  }

  /** The gateway drains: all clients are disconnected, and nothing is left. */
  async end(): Promise<void> {
    this.do({ does: "settle" });
    const drain = this.harness.clients.drain(1000).then(() => true);
    this.harness.clock.advance(2000);
    const drained = await Promise.race([drain, new Promise((resolve) => setImmediate(resolve))]);
    for (const model of this.#models) model.listen();
    const { meter, clock } = this.harness;
    this.#expectTotals();
    const { clientsActive, clientsLagging } = meter;
    const { queued, queuedBytes } = meter.ledger;
    const left = { queued, queuedBytes, clientsActive, clientsLagging, timers: clock.timers };
    if (drained !== true || Object.values(left).some((value) => value !== 0)) {
      throw new Error(`drained: ${drained}, left: ${JSON.stringify(left)}`);
    }
  }

  #act(step: Step): void {
    const { harness } = this;
    switch (step.does) {
      case "publish":
        for (let n = 0; n < step.times; n++) this.#publish(step.subject, step.length);
        break;
      case "pass":
        harness.clock.advance(step.ms);
        break;
      case "come":
        this.#come(step);
        break;
      case "cut":
        this.#connected = false;
        for (const model of this.#models) model.cutOff();
        harness.disconnect();
        break;
      case "refuse": {
        const patterns = [...harness.source.patterns];
        const pattern = patterns[step.pattern % patterns.length];
        if (this.#connected && pattern !== undefined) harness.source.refuse(pattern);
        for (const model of this.#models) model.unassure(this.#covers);
        break;
      }
      case "reconnect":
        this.#connected = true;
        harness.connect();
        break;
      case "hesitate":
        harness.source.confirms = false;
        break;
      case "confirm":
        harness.source.confirms = true;
        if (this.#connected) harness.source.confirmAll();
        break;
      case "settle":
        this.#settle();
        break;
      default:
        this.#actAs(this.#models[step.client % this.#models.length], step);
    }
  }

  #actAs(model: DeliveryModel | undefined, step: Extract<Step, { client: number }>): void {
    if (model === undefined) return;
    const { socket, connection, send } = model.peer;
    switch (step.does) {
      case "stop reading":
        socket.reads = false;
        break;
      case "read":
        socket.buffered = Math.floor(socket.buffered * (1 - step.share));
        socket.reads = socket.buffered === 0;
        break;
      case "ping":
        send({ type: "ping" });
        break;
      case "begin to close":
        socket.peerCloses = true;
        // The answer to a subscribe from now on does not reach the client.
        this.#blind ||= model.asked.size > 0;
        break;
      case "go":
        connection.closed(step.code);
        break;
      case "subscribe":
        this.#subscribe(model, step.id, step.asking);
        break;
      case "unsubscribe":
        if (connection.dialect !== V1) break;
        send({ type: "unsubscribe", sub: step.id });
        model.unsubscribe(step.id);
    }
  }

  #publish(subject: string, length: number): void {
    const { harness } = this;
    if (!this.#history.exposes(subject)) return;
    if (!harness.source.carries(subject)) {
      this.#history.missed(subject);
      for (const model of this.#models) model.missed(subject, this.#connected);
      return;
    }
    const payload = "x".repeat(length);
    const sequence = this.#history.came(subject, payload);
    for (const model of this.#models) model.expect(sequence, subject);
    this.#largest = Math.max(this.#largest, length + 200);
    harness.publish(payload, subject);
    const { maxTotalQueueBytes = Number.POSITIVE_INFINITY } = this.#options;
    if (harness.meter.ledger.queuedBytes > maxTotalQueueBytes) {
      throw new Error(`${harness.meter.ledger.queuedBytes} bytes are queued`);
    }
  }

  #come({ dialect, asking, lingers }: Extract<Step, { does: "come" }>): void {
    const request = dialect === "v1" ? undefined : this.#wish("", asking);
    if (request !== undefined && this.harness.grant.refusalOf(request) !== undefined) return;
    const peer: TestClient = this.harness.joinWith(request, DIALECTS[dialect], lingers);
    const model = new DeliveryModel(peer, DIALECTS[dialect], this.#history);
    peer.socket.onTerminate = () => peer.connection.closed(1006);
    this.#models.push(model);
    if (request !== undefined && dialect === "sse") model.asked.set("", request);
    if (request !== undefined && dialect === "plain" && !peer.connection.isOver) {
      model.beginUntold(request);
    }
  }

  #subscribe(model: DeliveryModel, id: string, asking: Asking): void {
    if (model.peer.connection.dialect !== V1 || model.peer.socket.peerCloses) return;
    const wish = this.#wish(id, asking);
    if (model.asked.has(id) || model.held.has(id)) return;
    model.asked.set(id, wish);
    const { subjects, policy, maxRate: max_rate, after } = wish;
    const from = after === undefined ? "new" : { after };
    model.peer.send({ type: "subscribe", id, subjects, policy, max_rate, from });
  }

  #wish(id: string, { subjects, policy, maxRate, cursor }: Asking): ModelRequest {
    const { cursors } = this.#history;
    const after =
      cursor === undefined
        ? undefined
        : cursor === 0 || cursors.length === 0
          ? "elsewhere:7"
          : cursors[cursors.length - 1 - ((cursor - 1) % cursors.length)];
    if (after !== undefined) this.#replayed = true;
    return { id, subjects: subjects ?? (id === "" ? "everything" : [">"]), policy, maxRate, after };
  }

  readonly #covers = (pattern: string): boolean => this.harness.source.covers(pattern);

  /**
   * Whether all messages of a pattern will arrive: by a pattern that somebody wants. One that nobody wants any more may go
   * before a client's own pattern is confirmed, which then begins a moment later.
   */
  readonly #staysCovered = (pattern: string): boolean => {
    const wanted = new Set(
      this.#models
        .filter(({ isOver }) => !isOver)
        .flatMap(({ held }) => [...held.values()].flatMap((one) => this.#history.exposedOf(one))),
    );
    return this.harness.source.covers(pattern, (confirmed) => wanted.has(confirmed));
  };

  /** All clients read, and time passes until nothing moves. */
  #settle(): void {
    for (const { peer } of this.#models) {
      peer.socket.reads = true;
      peer.socket.buffered = 0;
    }
    this.harness.clock.advance(1600);
    for (const model of this.#models) {
      model.listen();
      model.settle(this.#connected);
    }
    this.#expectTotals();
  }

  #look(): void {
    this.harness.expectBalance();
    for (const model of this.#models) {
      model.listen();
      model.assure(this.#staysCovered);
      const { maxQueueBytes = Number.POSITIVE_INFINITY } = this.#options;
      if (this.#replayed) continue;
      const places = 1 + model.paced;
      if (
        (model.peer.connection.session?.queuedBytes ?? 0) >
        places * Math.max(maxQueueBytes, this.#largest)
      ) {
        throw new Error("a queue is over its bound");
      }
    }
    const active = this.#models.filter(({ isOver }) => !isOver).length;
    if (this.harness.meter.clientsActive !== active)
      throw new Error(`${active} clients are active`);
  }

  /** The ledger agrees with what the model saw. */
  #expectTotals(): void {
    const { offered, sent } = this.harness.meter.ledger;
    const sum = (of: "entitled" | "delivered") =>
      this.#models.reduce((total, model) => total + model[of], 0);
    const blind = this.#blind || this.#models.some(({ unsure }) => unsure);
    if (!blind && offered !== sum("entitled"))
      throw new Error(`offered ${offered}, not ${sum("entitled")}`);
    if (sent !== sum("delivered")) throw new Error(`sent ${sent}, not ${sum("delivered")}`);
  }
}
