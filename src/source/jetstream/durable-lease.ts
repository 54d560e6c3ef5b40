import type { DurableQuery } from "../../core/ports/source.ts";
import type { Msg } from "../connect.ts";
import type { Requests } from "../requests.ts";

/** So long whoever has it may take to give it back; longer, and it is as if there were nobody. */
const TIMEOUT_MS = 1_000;
const decoder = new TextDecoder();

/** The right to use a durable, on one connection. */
export interface HeldLease {
  end(): void;
}

/**
 * Who uses a durable, among all the gateways at one NATS: the client that asked for it last. They agree on
 * a subject of their own, `_SPILLWAY.durable.<stream>.<name>`, which nobody's wildcard carries:
 *
 * - `take <id>`: whoever has it ends its use, and then answers.
 * - `ask <id>`: whoever has it answers. One that was cut off from NATS must not take it from its successor.
 * - `has <id>`: of two that took it in the same moment the one with the greater id keeps it.
 */
export class DurableLease {
  readonly #subject: string;
  readonly #id = crypto.randomUUID();
  readonly #taken: () => void;
  #had = false;

  /** @param taken called when somebody else has it from now on. */
  constructor({ stream, name }: DurableQuery, taken: () => void) {
    this.#subject = `_SPILLWAY.durable.${stream}.${name}`;
    this.#taken = taken;
  }

  /** Takes it, or goes on with it on another connection. @returns `undefined` when somebody else has it. */
  async begin(requests: Requests): Promise<HeldLease | undefined> {
    const verb = this.#had ? "ask" : "take";
    const isUsed = await requests.ask(this.#subject, `${verb} ${this.#id}`, TIMEOUT_MS).then(
      () => true,
      () => false,
    );
    if (this.#had && isUsed) {
      this.#taken();
      return undefined;
    }
    this.#had = true;
    const subscription = requests.listen(
      this.#subject,
      (msg) => this.#hear(requests, msg),
      // It works without, but for two clients that use the same name at the same time.
      (error) => requests.faults.fault(error),
    );
    requests.connection.publish(this.#subject, `has ${this.#id}`);
    return { end: () => subscription.unsubscribe() };
  }

  #hear({ connection }: Requests, { data, reply }: Msg): void {
    const [verb, id = ""] = decoder.decode(data).split(" ");
    if (id === this.#id) return;
    if (verb === "take" || (verb === "has" && id > this.#id)) this.#taken();
    if (reply) connection.publish(reply);
  }
}
