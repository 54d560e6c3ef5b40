import type { Broadcaster } from "../core/broadcaster.ts";
import type { Clock } from "../core/ports/clock.ts";
import type { MessageSource, SourceStatus } from "../core/ports/source.ts";
import type { Readiness as ReadinessReport } from "../http/status.ts";

/** A source that was connected may be away so long before traffic is sent elsewhere: it mostly comes back. */
const GRACE_MS = 2000;

const REFUSALS = {
  closed: "no clients are taken in",
  full: "as many clients as max_clients are connected",
  overloaded: "more than max_total_queue_bytes waits for slow clients",
};

/** Whether traffic should be sent here: fast to say no, and with reasons. */
export class Readiness {
  readonly #clock: Clock;
  readonly #source: MessageSource;
  readonly #broadcaster: Broadcaster;
  readonly #problem: () => string | undefined;
  #wasConnected = false;
  #lostMs: number | undefined;
  #stopped = true;

  /** @param problem what else keeps clients from connecting, if anything does. */
  constructor(
    clock: Clock,
    source: MessageSource,
    broadcaster: Broadcaster,
    problem: () => string | undefined = () => undefined,
  ) {
    this.#problem = problem;
    this.#clock = clock;
    this.#source = source;
    this.#broadcaster = broadcaster;
  }

  started(): void {
    this.#stopped = false;
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
    this.#wasConnected = false;
    this.#lostMs = undefined;
  }

  report(): ReadinessReport {
    const reasons: string[] = [];
    const { name, status } = this.#source;
    if (this.#stopped) {
      reasons.push("the gateway is not running");
    } else {
      if (status.state === "connecting" && !this.#inGrace()) {
        reasons.push(`${name} is not connected: ${status.reason}`);
      }
      reasons.push(...(this.#source.problems ?? []));
      const { refusal, upstream } = this.#broadcaster;
      if (upstream.refusal !== undefined) reasons.push(upstream.refusal);
      const problem = this.#problem();
      if (problem !== undefined) reasons.push(problem);
      else if (refusal !== undefined) reasons.push(REFUSALS[refusal]);
    }
    return { ready: reasons.length === 0, reasons };
  }

  #inGrace(): boolean {
    const lostMs = this.#lostMs ?? this.#clock.nowMs();
    return this.#wasConnected && this.#clock.nowMs() - lostMs < GRACE_MS;
  }
}
