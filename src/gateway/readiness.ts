import type { Broadcaster } from "../core/broadcaster.ts";
import type { Clients } from "../core/clients.ts";
import type { Clock } from "../core/ports/clock.ts";
import type { MessageSource, SourceStatus } from "../core/ports/source.ts";
import type { Readiness as ReadinessReport } from "../http/status.ts";

/** How long a source that was connected may be away before the gateway is not ready: most reconnect sooner. */
const GRACE_MS = 2000;

const REFUSALS = {
  closed: "the gateway accepts no clients",
  full: "the maximum number of clients (max_clients) is connected",
  overloaded: "the queues of slow clients exceed max_total_queue_bytes",
};

/** Decides whether traffic should be sent to this gateway, and says why not. */
export class Readiness {
  readonly #clock: Clock;
  readonly #source: MessageSource;
  readonly #broadcaster: Pick<Broadcaster, "upstream">;
  readonly #clients: Pick<Clients, "refusal">;
  readonly #problem: () => string | undefined;
  #wasConnected = false;
  #lostMs: number | undefined;
  #stopped = true;
  #draining = false;

  /** @param problem returns another reason why no client can connect, or `undefined`. */
  constructor(
    clock: Clock,
    source: MessageSource,
    broadcaster: Pick<Broadcaster, "upstream">,
    clients: Pick<Clients, "refusal">,
    problem: () => string | undefined = () => undefined,
  ) {
    this.#problem = problem;
    this.#clock = clock;
    this.#source = source;
    this.#broadcaster = broadcaster;
    this.#clients = clients;
  }

  started(): void {
    this.#stopped = false;
  }

  /** The gateway is about to stop. */
  draining(): void {
    this.#draining = true;
  }

  sourceChanged(status: SourceStatus): void {
    if (status.state === "connected") {
      this.#wasConnected = true;
      this.#lostMs = undefined;
    } else {
      this.#lostMs ??= this.#clock.nowMs();
    }
  }

  stopped(): void {
    this.#stopped = true;
    this.#draining = false;
    this.#wasConnected = false;
    this.#lostMs = undefined;
  }

  report(): ReadinessReport {
    const reasons: string[] = [];
    const { name, status } = this.#source;
    if (this.#stopped) {
      reasons.push("the gateway is not running");
    } else {
      if (this.#draining) reasons.push("the gateway is draining: it stops soon");
      if (status.state === "connecting" && !this.#inGrace()) {
        reasons.push(`${name} is not connected: ${status.reason}`);
      }
      reasons.push(...(this.#source.problems ?? []));
      const { upstream } = this.#broadcaster;
      const { refusal } = this.#clients;
      if (upstream.refusal !== undefined) reasons.push(upstream.refusal);
      const problem = this.#problem();
      if (problem !== undefined) reasons.push(problem);
      else if (refusal !== undefined && !this.#draining) reasons.push(REFUSALS[refusal]);
    }
    return { ready: reasons.length === 0, reasons };
  }

  #inGrace(): boolean {
    const lostMs = this.#lostMs ?? this.#clock.nowMs();
    return this.#wasConnected && this.#clock.nowMs() - lostMs < GRACE_MS;
  }
}
