import type { Config } from "../config/config.ts";
import { componentSchema } from "../config/describe.ts";
import { parseConfig } from "../config/parse.ts";
import { streamInputs } from "../config/stream-inputs.ts";
import type { Cancel, Clock } from "../core/ports/clock.ts";
import { reasonOf, SpillwayError } from "../core/ports/errors.ts";
import type { Log } from "../core/ports/log.ts";
import { within } from "../gateway/deadline.ts";
import { FlowMeter } from "../gateway/flow-meter.ts";
import { Lifecycle } from "../gateway/lifecycle.ts";
import type {
  ConfigSchema,
  Discoverable,
  FlowMetrics,
  HealthStatus,
  LifecycleComponent,
  Metadata,
  NetworkPortConfig,
  Port,
  SubjectPortConfig,
} from "./contract.ts";
import type { Engine } from "./engine.ts";
import { failure, refusal } from "./errors.ts";
import { fileShape } from "./file-shape.ts";
import { endpointPort, subjectPorts } from "./ports.ts";

/** What StreamKit calls this kind of component. */
export const DESCRIPTION = "WebSocket server output";

/** As `stop_timeout`: a timer can't be set to much more. */
const MAX_STOP_MS = 86_400_000;
/** To close what is open takes so long, even when nobody is to be waited for. */
const MIN_STOP_MS = 100;

/** What an {@linkcode Output} stands on. */
export interface OutputParts {
  /** Called at the first start, and again only when it failed. The component is what `/healthz` shows. */
  readonly makeEngine: (component: Discoverable) => Promise<Engine>;
  readonly clock: Clock;
  readonly log: Log;
  readonly version: string;
}

/** StreamKit's WebSocket output: an engine with the component contract around it. */
export class Output implements LifecycleComponent {
  readonly #config: Config;
  readonly #parts: OutputParts;
  readonly #clock: Clock;
  readonly #flow: FlowMeter;
  readonly #lifecycle = new Lifecycle();
  #engine: Engine | undefined;
  /** Where it listens and since when; `undefined` when it does not. */
  #running: { readonly host: string; readonly port: number; readonly sinceMs: number } | undefined;
  #forgetSignal: Cancel = () => {};
  /** Errors of its own, beside those that the engine counts. */
  #errorCount = 0;
  /** What kept it from starting or stopping the last time. */
  #lastError: string | undefined;

  /** @param config as `parseConfig` gives it; `initialize` checks one that was made by hand. */
  constructor(config: Config, parts: OutputParts) {
    this.#config = config;
    this.#parts = parts;
    this.#clock = parts.clock;
    this.#flow = new FlowMeter(parts.clock);
  }

  /**
   * Checks the configuration, and opens nothing.
   *
   * @throws SpillwayError `"CONFIG_INVALID"` (invalid).
   */
  initialize(): void {
    try {
      const { requiredSubjects: _, ...keys } = this.#config;
      parseConfig(fileShape(keys));
    } catch (cause) {
      throw failure("Output.initialize", "check configuration", cause, "CONFIG_INVALID");
    }
  }

  /**
   * Listens, then takes messages in; a NATS that cannot be reached yet is no error. Does nothing
   * when it runs, shares a start that is under way, and waits for a stop that is.
   *
   * @param signal stops the output with `stop_timeout` when it is aborted; heeded from the call
   * that starts it until the stop.
   * @throws SpillwayError `"LISTEN_FAILED"` (transient) when the port cannot be had,
   * `"CONFIG_INVALID"` (invalid) when a file that the configuration names cannot be read,
   * `"ABORTED"` (invalid) when the signal is aborted already, `"SETUP_FAILED"` or `"START_FAILED"`
   * (fatal) when the engine is broken.
   */
  async start(signal?: AbortSignal): Promise<void> {
    await this.#lifecycle.start(() => this.#open(signal));
  }

  /**
   * Takes no more clients, drains the source, closes every client with 1001 and frees the port.
   * Does nothing when it does not run, shares a stop that is under way, and waits for a start
   * that is.
   *
   * @param timeoutMs 0 to 24 hours; less than 100 is taken for 100, with no waiting for anybody.
   * @throws SpillwayError `"TIMEOUT_INVALID"` (invalid), or `"STOP_TIMEOUT"` (transient) when the
   * time is up: the stop goes on, and the next `stop` or `start` waits for it.
   */
  async stop(timeoutMs: number): Promise<void> {
    if (!(timeoutMs >= 0 && timeoutMs <= MAX_STOP_MS)) {
      const reason = `it is ${timeoutMs} but must be 0 to ${MAX_STOP_MS} milliseconds`;
      throw refusal("Output.stop", "check timeout", "TIMEOUT_INVALID", reason);
    }
    // The engine gets a little less, so that even a client that never answers is no error here.
    const untilMs = this.#clock.nowMs() + timeoutMs - Math.min(timeoutMs / 10, 250);
    const stopped = this.#lifecycle.stop(() => this.#close(untilMs));
    const allowedMs = Math.max(timeoutMs, MIN_STOP_MS);
    await within(this.#clock, allowedMs, stopped, () => {
      const message = `Output.stop: close failed: it was not done in ${allowedMs} milliseconds`;
      return this.#failed(new SpillwayError("STOP_TIMEOUT", message));
    });
  }

  meta(): Metadata {
    const { version } = this.#parts;
    return { name: this.#config.name, type: "output", description: DESCRIPTION, version };
  }

  inputPorts(): Port<SubjectPortConfig>[] {
    const { subjects, streams, requiredSubjects } = this.#config;
    return subjectPorts(subjects, streamInputs(streams), requiredSubjects);
  }

  /** The one address that clients connect to: the real one while it runs, else the configured one. */
  outputPorts(): Port<NetworkPortConfig>[] {
    const { host, port } = this.#running ?? this.#config;
    return [endpointPort(host, port, this.#config.path)];
  }

  configSchema(): ConfigSchema {
    return componentSchema();
  }

  /** Healthy means that clients can connect; a NATS that is away is told by readiness. */
  health(): HealthStatus {
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

  dataFlow(): FlowMetrics {
    return this.#flow.metrics();
  }

  async #open(signal: AbortSignal | undefined): Promise<void> {
    if (signal?.aborted) {
      throw refusal("Output.start", "check signal", "ABORTED", "it is aborted already");
    }
    const engine = await this.#made();
    try {
      this.#running = { ...(await engine.start()), sinceMs: this.#clock.nowMs() };
    } catch (cause) {
      throw this.#failed(await startFailure(engine, cause));
    }
    this.#lastError = undefined;
    this.#flow.start(engine.meter);
    if (signal !== undefined) this.#stopWith(signal);
  }

  async #made(): Promise<Engine> {
    try {
      this.#engine ??= await this.#parts.makeEngine(this);
      return this.#engine;
    } catch (cause) {
      throw this.#failed(failure("Output.start", "set up", cause, "SETUP_FAILED"));
    }
  }

  async #close(untilMs: number): Promise<void> {
    // A start that failed has left nothing open.
    if (this.#running === undefined) return;
    this.#running = undefined;
    this.#forgetSignal();
    this.#flow.stop();
    try {
      await this.#engine?.stop(Math.max(0, untilMs - this.#clock.nowMs()));
    } catch (cause) {
      throw this.#failed(failure("Output.stop", "close", cause, "STOP_FAILED"));
    }
  }

  #stopWith(signal: AbortSignal): void {
    const stop = (): void => {
      this.stop(this.#config.stopTimeoutMs).catch((error) => {
        this.#parts.log.error("Cannot stop when told to by a signal: {reason}", {
          event: "stop_failed",
          reason: reasonOf(error),
        });
      });
    };
    signal.addEventListener("abort", stop, { once: true });
    this.#forgetSignal = () => signal.removeEventListener("abort", stop);
    // It may have been aborted while the output was starting.
    if (signal.aborted) stop();
  }

  #failed(error: SpillwayError): SpillwayError {
    this.#errorCount++;
    this.#lastError = error.message;
    return error;
  }
}

async function startFailure(engine: Engine, cause: unknown): Promise<SpillwayError> {
  if (cause instanceof SpillwayError)
    return failure("Output.start", "listen", cause, "START_FAILED");
  // What broke half-way must not keep the port; what it says to that is of no use to anybody.
  await engine.stop(0).catch(() => {});
  return failure("Output.start", "run", cause, "START_FAILED");
}
