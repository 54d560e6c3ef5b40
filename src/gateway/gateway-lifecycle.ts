import type { ConfigChange } from "../config/changes.ts";
import type { Config } from "../config/config.ts";
import type { Meter } from "../core/metering/meter.ts";
import type { Cancel, Clock } from "../core/ports/clock.ts";
import { type ErrorCode, reasonOf, SpillwayError } from "../core/ports/errors.ts";
import type { Log } from "../core/ports/log.ts";
import { withDeadline } from "../core/timing/deadline.ts";
import type { ReloadAnswer } from "../http/reload.ts";
import type { DataFlow, Health, Metadata } from "../http/status.ts";
import { type ReloadFigures, type ReloadResult, zeroReloads } from "../metrics/families.ts";
import { FlowMeter } from "./flow-meter.ts";
import { expectRuntime } from "./process-facts.ts";
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
   * Is not ready from now on, and continues for `drain_delay`. Then takes no more clients, and closes them evenly over
   * `drain_window`. Clients that lag are left.
   *
   * @param signal ends it early.
   */
  drain(signal: AbortSignal): Promise<void>;
  /**
   * Like {@linkcode drain}, but takes no new connections from now on instead of waiting for `drain_delay`: other processes listen at
   * the same ports.
   */
  leave(signal: AbortSignal): Promise<void>;
  /**
   * Takes no more clients, drains the source, closes every client with 1001 and frees the port. Ends within the
   * time, and leaves no timer, socket or handle. May be called twice.
   */
  stop(timeoutMs: number): Promise<void>;
  /**
   * Replaces the configuration, all of it or nothing, whether it runs or not.
   *
   * @returns the keys that have other values than before.
   * @throws SpillwayError `"CONFIG_INVALID"` or `"RESTART_NEEDED"` (invalid); then nothing has changed.
   */
  reload(config: Config): Promise<readonly ConfigChange[]>;
}

/** The lifecycle, as its engine uses it: shows its state, and takes requests for a drain. */
export interface EngineReport {
  meta(): Metadata;
  health(): Health;
  dataFlow(): DataFlow;
  /** An operator asks for a drain. */
  requestDrain(): void;
  /**
   * An operator asks for a reload.
   *
   * @returns the result; `undefined` if the configuration isn't read from anywhere.
   */
  requestReload(): Promise<ReloadAnswer | undefined>;
  /** The figures of the reloads. */
  reloads(): ReloadFigures;
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
   * @param report see {@linkcode EngineReport}.
   */
  readonly makeEngine: (report: EngineReport) => Promise<E>;
  readonly clock: Clock;
  readonly log: Log;
  readonly version: string;
}

/** A gateway that is started, stopped and started again, and says how it is. */
export class GatewayLifecycle<E extends Engine = Engine> {
  readonly log: Log;
  #config: Config;
  readonly #parts: GatewayLifecycleParts<E>;
  readonly #clock: Clock;
  readonly #flow: FlowMeter;
  readonly #lifecycle = new StartStopQueue();
  #engine: E | undefined;
  /** Its address and the time of its start; `undefined` while it doesn't run. */
  #running: (Address & { readonly sinceMs: number }) | undefined;
  #forgetSignal: Cancel = () => {};
  /** The drain that is under way, and what ends it early. */
  #draining: Promise<void> | undefined;
  #endDrain = new AbortController();
  /** Called when an operator asks for a drain. Default: {@linkcode drain}. */
  onDrainRequest: (() => void) | undefined;
  /** Reads the configuration again when an operator asks for it, and reloads it. */
  onReloadRequest: (() => Promise<ReloadAnswer>) | undefined;
  readonly #reloads: { readonly counts: Record<ReloadResult, number>; lastSuccessSeconds: number };
  /** The last reload that is under way; it never rejects. */
  #reloading: Promise<unknown> = Promise.resolve();
  /** Counts its own errors, beside those that the meter counts. */
  #errorCount = 0;
  /** Why the last start or stop failed. */
  #lastError: string | undefined;

  constructor(config: Config, parts: GatewayLifecycleParts<E>) {
    this.#config = config;
    this.#reloads = { counts: zeroReloads(), lastSuccessSeconds: parts.clock.wallMs() / 1000 };
    this.log = parts.log;
    this.#parts = parts;
    this.#clock = parts.clock;
    this.#flow = new FlowMeter(parts.clock);
  }

  /** The configuration that is in effect. */
  get config(): Config {
    return this.#config;
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
      expectRuntime();
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
    const reloading = this.#reloading;
    await this.#lifecycle.start(() => reloading.then(() => this.#open(signal)));
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
    const late = (): SpillwayError => {
      const message = `Cannot stop in ${allowedMs} milliseconds; the stop continues`;
      return this.#failed(new SpillwayError("STOP_TIMEOUT", message));
    };
    await withDeadline(this.#clock, allowedMs, () => stopped, late);
  }

  /**
   * Stops without a storm of clients that reconnect at once: is not ready from now on, and continues for `drain_delay`;
   * then closes clients evenly over `drain_window`, and stops as `stop` does. Shares a drain that is under way; `stop` ends
   * it early.
   *
   * @throws SpillwayError as `stop` does.
   */
  async drain(): Promise<void> {
    await this.#drainOnce((engine, signal) => engine.drain(signal));
  }

  /** Drains one of several processes that share ports: the others serve them, so no load balancer has to notice. See {@linkcode drain}. */
  async leave(): Promise<void> {
    await this.#drainOnce((engine, signal) => engine.leave(signal));
  }

  /** An operator asks for a drain. */
  requestDrain(): void {
    if (this.onDrainRequest !== undefined) this.onDrainRequest();
    else this.drain().catch((error) => this.#stopFailed("a request of an operator", error));
  }

  /**
   * Replaces the configuration, all of it or nothing: connections stay, and clients get the permissions that they have by now. Logs
   * each change, or why there is none. One reload comes after the other.
   *
   * @param load returns the configuration, checked.
   * @returns the keys that have other values than before.
   * @throws SpillwayError `"CONFIG_INVALID"` (invalid) if something is wrong, `"RESTART_NEEDED"` (invalid) if a key can't
   * change while the gateway runs; any error of `load`.
   */
  async reload(load: () => Config | Promise<Config>): Promise<readonly ConfigChange[]> {
    // A start that is under way has read a part of the configuration. Each waits only for what was asked for before.
    const settled = Promise.all([this.#reloading, this.#lifecycle.settled()]);
    const reloaded = settled.then(() => this.#reload(load));
    this.#reloading = reloaded.catch(() => {});
    return await reloaded;
  }

  /** As `reload`, but never rejects: says why nothing has changed. */
  async tryReload(load: () => Config | Promise<Config>): Promise<ReloadAnswer> {
    try {
      return { changes: await this.reload(load) };
    } catch (error) {
      return { fault: faultOf(error), reason: reasonOf(error) };
    }
  }

  /** See {@linkcode EngineReport}. */
  async requestReload(): Promise<ReloadAnswer | undefined> {
    return await this.onReloadRequest?.();
  }

  reloads(): ReloadFigures {
    return this.#reloads;
  }

  async #reload(load: () => Config | Promise<Config>): Promise<readonly ConfigChange[]> {
    const { log } = this;
    try {
      const config = await load();
      const engine = await this.prepare();
      const changes = await engine.reload(config);
      this.#config = config;
      this.#reloads.counts[changes.length === 0 ? "unchanged" : "applied"]++;
      this.#reloads.lastSuccessSeconds = this.#clock.wallMs() / 1000;
      for (const { key, before = "not set", after = "not set" } of changes) {
        log.info("{key} was {before} and is {after}", {
          ...{ event: "config_changed", key, before, after },
        });
      }
      log.info("Reloaded the configuration. Changed keys: {changes}", {
        ...{ event: "config_reloaded", changes: changes.length },
      });
      return changes;
    } catch (error) {
      this.#reloads.counts[faultOf(error)]++;
      log.error("The configuration stays as it was: {reason}", {
        ...{ event: "config_reload_failed", reason: onOneLine(reasonOf(error)) },
      });
      throw error;
    }
  }

  async #drainOnce(depart: (engine: E, signal: AbortSignal) => Promise<void>): Promise<void> {
    this.#draining ??= this.#drain(depart).finally(() => {
      this.#draining = undefined;
    });
    await this.#draining;
  }

  async #drain(depart: (engine: E, signal: AbortSignal) => Promise<void>): Promise<void> {
    this.#endDrain = new AbortController();
    const engine = this.#engine;
    if (this.#running !== undefined && engine !== undefined) {
      await depart(engine, this.#endDrain.signal);
    }
    await this.stop();
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
    this.#endDrain.abort();
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
      this.stop().catch((error) => this.#stopFailed("an abort signal", error));
    };
    signal.addEventListener("abort", stop, { once: true });
    this.#forgetSignal = () => signal.removeEventListener("abort", stop);
    // The signal may have been aborted during the start.
    if (signal.aborted) stop();
  }

  #stopFailed(cause: string, error: unknown): void {
    this.log.error("The stop after {cause} failed: {reason}", {
      event: "stop_failed",
      cause,
      reason: reasonOf(error),
    });
  }

  #failed(error: SpillwayError): SpillwayError {
    this.#errorCount++;
    this.#lastError = error.message;
    return error;
  }
}

/** Returns the kind of an error that ended a reload. */
function faultOf(error: unknown): "invalid" | "restart_needed" {
  const needsRestart = error instanceof SpillwayError && error.code === "RESTART_NEEDED";
  return needsRestart ? "restart_needed" : "invalid";
}

/** Returns a message that may have a line for each problem. */
function onOneLine(message: string): string {
  return message.replace(/:\n- /, ": ").replaceAll(/\n(?:- )?/g, "; ");
}

/** Returns an error of ours as it is, and any other as the cause of one. */
function ours(cause: unknown, code: ErrorCode, action: string): SpillwayError {
  if (cause instanceof SpillwayError) return cause;
  return new SpillwayError(code, `${action}: ${reasonOf(cause)}`, { cause });
}
