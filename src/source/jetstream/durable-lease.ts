import type { Msg } from "../connect.ts";
import { PermissionError, type Requests } from "../requests.ts";

/** How long the current owner may take to release the durable before it counts as free. */
const TIMEOUT_MS = 1_000;
const decoder = new TextDecoder();

/** The right to use a durable on one connection. */
export interface HeldLease {
  release(): void;
}

/**
 * Decides which client uses a durable, among all gateways at one NATS: the client that asked last. Gateways talk
 * on the subject `_SPILLWAY.durable.<stream>.<key>`, which no wildcard carries (see `durableKey`):
 *
 * - `take <id>`: the owner ends its use and then answers.
 * - `ask <id>`: the owner answers. An owner that lost its connection asks, so as not to take the durable from
 *   its successor.
 * - `has <id>`: if two owners took it in the same moment, the one with the greater id keeps it.
 */
export class DurableLease {
  readonly #id = crypto.randomUUID();
  readonly #taken: () => void;
  #had = false;

  /** @param taken called when another client owns the durable. */
  constructor(taken: () => void) {
    this.#taken = taken;
  }

  /** Takes the durable, or keeps it on the next connection. @returns `undefined` if another client owns it. */
  async acquire(requests: Requests, stream: string, key: string): Promise<HeldLease | undefined> {
    const subject = `_SPILLWAY.durable.${stream}.${key}`;
    const verb = this.#had ? "ask" : "take";
    const unguarded = ({ message }: Error): void =>
      requests.faults.refused(`two clients may use one durable of ${stream}: ${message}`);
    const isUsed = await requests.ask(subject, `${verb} ${this.#id}`, TIMEOUT_MS).then(
      () => true,
      (error) => {
        if (error instanceof PermissionError) unguarded(error);
        return false;
      },
    );
    if (this.#had && isUsed) {
      this.#taken();
      return undefined;
    }
    this.#had = true;
    const subscription = requests.listen(subject, (msg) => this.#hear(requests, msg), unguarded);
    requests.connection.publish(subject, `has ${this.#id}`);
    return { release: () => subscription.unsubscribe() };
  }

  #hear({ connection }: Requests, { data, reply }: Msg): void {
    const [verb, id = ""] = decoder.decode(data).split(" ");
    if (id === this.#id) return;
    if (verb === "take" || (verb === "has" && id > this.#id)) this.#taken();
    if (reply) connection.publish(reply);
  }
}
