import type { Config } from "../config/config.ts";
import type { Meter } from "../core/metering/meter.ts";
import type { Cancel, Clock } from "../core/ports/clock.ts";
import { type ErrorCode, reasonOf, SpillwayError } from "../core/ports/errors.ts";
import type { Log } from "../core/ports/log.ts";
import type { DataFlow, Health, Metadata, StatusReport } from "../http/status.ts";
import { within } from "./deadline.ts";
import { FlowMeter } from "./flow-meter.ts";
import { StartStopQueue } from "./start-stop-queue.ts";

/** The longest timeout of a stop, the same as of `stop_timeout`. */
const MAX_STOP_MS = 86_400_000;
/** Minimum time for closing sockets, even with a timeout of zero. */
const MIN_STOP_MS = 100;

/** StreamKit's description of this kind of component. */
export const DESCRIPTION = "WebSocket server output";

/** The parts of a gateway, put together: it opens and closes them. */
export interface Engine {
  /** Counts across stops and starts. */
  readonly meter: Meter;
  /**
   * Listens, then starts the source. A source that can't be reached yet is no error.
   *
   * @returns the address for clients.
   * @throws SpillwayError `"LISTEN_FAILED"` (transient); then nothing is left open.
   */
  start(): Promise<Address>;
  /**
   * Takes no more clients, drains the source, closes every client with 1001 and frees the port. Ends within the
   * time, and leaves no timer, socket or handle. May be called twice.
   */
  stop(timeoutMs: number): Promise<void>;
}

/** Where a gateway listens. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

export interface GatewayLifecycleParts<E extends Engine> {
  /**
   * Puts the engine together. Called at the first start or `prepare`, and again only if it failed.
   *
   * @param report what `/healthz` shows.
   */
  readonly makeEngine: (report: Pick<StatusReport, "meta" | "health" | "dataFlow">) => Promise<E>;
  readonly clock: Clock;
  readonly log: Log;
  readonly version: string;
}

/** A gateway that is started, stopped and started again, and says how it is. */
export class GatewayLifecycle<E extends Engine = Engine> {
  readonly config: Config;
  readonly log: Log;
  readonly #parts: GatewayLifecycleParts<E>;
  readonly #clock: Clock;
  readonly #flow: FlowMeter;
  readonly #lifecycle = new StartStopQueue();
  #engine: E | undefined;
  /** Its address and the time of its start; `undefined` while it doesn't run. */
  #running: (Address & { readonly sinceMs: number }) | undefined;
  #forgetSignal: Cancel = () => {};
  /** Counts its own errors, beside those that the meter counts. */
  #errorCount = 0;
  /** Why the last start or stop failed. */
  #lastError: string | undefined;

  constructor(config: Config, parts: GatewayLifecycleParts<E>) {
    this.config = config;
    this.log = parts.log;
    this.#parts = parts;
    this.#clock = parts.clock;
    this.#flow = new FlowMeter(parts.clock);
  }

  /** The address for clients while it runs. */
  get address(): Address | undefined {
    return this.#running;
  }

  /**
   * Puts the engine together and opens nothing.
   *
   * @throws SpillwayError `"CONFIG_INVALID"` (invalid) if a file that the configuration names can't be used,
   * `"SETUP_FAILED"` (fatal) for any other reason.
   */
  async prepare(): Promise<E> {
    try {
      this.#engine ??= await this.#parts.makeEngine(this);
      return this.#engine;
    } catch (cause) {
      throw this.#failed(ours(cause, "SETUP_FAILED", "Cannot set up"));
    }
  }

  /**
   * Takes clients and messages. Does nothing while it runs, shares a start that is under way, and waits for a stop
   * that is.
   *
   * @param signal stops the gateway with `stop_timeout` when it is aborted. Only the call that starts it uses its signal.
   * @throws SpillwayError `"LISTEN_FAILED"` (transient) if it can't listen, `"ABORTED"` (invalid) if the signal is
   * aborted already, `"START_FAILED"` (fatal) for any other reason, and as `prepare` does.
   */
  async start(signal?: AbortSignal): Promise<void> {
    await this.#lifecycle.start(() => this.#open(signal));
  }

  /**
   * Takes no more clients, drains the source, closes every client with 1001 and frees the port. Does nothing while it
   * doesn't run, shares a stop that is under way, and waits for a start that is.
   *
   * @param timeoutMs 0 to 24 hours, by default `stop_timeout`. With 0, it waits for nobody, and takes up to 100 ms.
   * @throws SpillwayError `"TIMEOUT_INVALID"` (invalid), or `"STOP_TIMEOUT"` (transient) when the time is up: the stop
   * continues, and the next `stop` or `start` waits for it.
   */
  async stop(timeoutMs: number = this.config.stopTimeoutMs): Promise<void> {
    if (!(timeoutMs >= 0 && timeoutMs <= MAX_STOP_MS)) {
      const rule = `it is ${timeoutMs} but must be 0 to ${MAX_STOP_MS} milliseconds`;
      throw new SpillwayError("TIMEOUT_INVALID", `Cannot stop with this timeout: ${rule}`);
    }
    // The engine gets a little less, so that a client that never answers is no error.
    const untilMs = this.#clock.nowMs() + timeoutMs - Math.min(timeoutMs / 10, 250);
    const stopped = this.#lifecycle.stop(() => this.#close(untilMs));
    const allowedMs = Math.max(timeoutMs, MIN_STOP_MS);
    await within(this.#clock, allowedMs, stopped, () => {
      const message = `Cannot stop in ${allowedMs} milliseconds; the stop continues`;
      return this.#failed(new SpillwayError("STOP_TIMEOUT", message));
    });
  }

  meta(): Metadata {
    const { version } = this.#parts;
    return { name: this.config.name, type: "output", description: DESCRIPTION, version };
  }

  /** Healthy means that clients can connect. Readiness says whether NATS is away. */
  health(): Health {
    const meter = this.#engine?.meter;
    const lastError = this.#lastError ?? meter?.lastError;
    const upMs = this.#running === undefined ? 0 : this.#clock.nowMs() - this.#running.sinceMs;
    return {
      healthy: this.#running !== undefined,
      last_check: new Date(this.#clock.wallMs()).toISOString(),
      error_count: this.#errorCount + (meter?.errorsTotal ?? 0),
      ...(lastError !== undefined && { last_error: lastError }),
      uptime: Math.round(upMs * 1e6),
    };
  }

  dataFlow(): DataFlow {
    return this.#flow.metrics();
  }

  async #open(signal: AbortSignal | undefined): Promise<void> {
    if (signal?.aborted) {
      throw new SpillwayError("ABORTED", "Cannot start as the signal is aborted already");
    }
    const engine = await this.prepare();
    try {
      this.#running = { ...(await engine.start()), sinceMs: this.#clock.nowMs() };
    } catch (cause) {
      // After an unknown error, the engine may still have the port. An error of this stop would hide the first one.
      if (!(cause instanceof SpillwayError)) await engine.stop(0).catch(() => {});
      throw this.#failed(ours(cause, "START_FAILED", "Cannot start"));
    }
    this.#lastError = undefined;
    this.#flow.start(engine.meter);
    if (signal !== undefined) this.#stopWith(signal);
  }

  async #close(untilMs: number): Promise<void> {
    // A start that failed left nothing open.
    if (this.#running === undefined) return;
    this.#running = undefined;
    this.#forgetSignal();
    this.#flow.stop();
    try {
      await this.#engine?.stop(Math.max(0, untilMs - this.#clock.nowMs()));
    } catch (cause) {
      throw this.#failed(ours(cause, "STOP_FAILED", "Cannot stop"));
    }
  }

  #stopWith(signal: AbortSignal): void {
    const stop = (): void => {
      this.stop().catch((error) => {
        this.log.error("The stop after an abort signal failed: {reason}", {
          event: "stop_failed",
          reason: reasonOf(error),
        });
      });
    };
    signal.addEventListener("abort", stop, { once: true });
    this.#forgetSignal = () => signal.removeEventListener("abort", stop);
    // The signal may have been aborted during the start.
    if (signal.aborted) stop();
  }

  #failed(error: SpillwayError): SpillwayError {
    this.#errorCount++;
    this.#lastError = error.message;
    return error;
  }
}

/** Returns an error of ours as it is, and any other as the cause of one. */
function ours(cause: unknown, code: ErrorCode, action: string): SpillwayError {
  if (cause instanceof SpillwayError) return cause;
  return new SpillwayError(code, `${action}: ${reasonOf(cause)}`, { cause });
}
