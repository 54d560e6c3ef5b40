import { componentSchema } from "../config/describe.ts";
import { parseConfig } from "../config/parse.ts";
import { streamInputs } from "../config/stream-inputs.ts";
import type { ErrorCode, SpillwayError } from "../core/ports/errors.ts";
import type { GatewayLifecycle } from "../gateway/gateway-lifecycle.ts";
import type {
  ConfigSchema,
  FlowMetrics,
  HealthStatus,
  LifecycleComponent,
  Metadata,
  NetworkPortConfig,
  Port,
  SubjectPortConfig,
} from "./contract.ts";
import { failure } from "./errors.ts";
import { fileShape } from "./file-shape.ts";
import { endpointPort, subjectPorts } from "./ports.ts";

/** StreamKit's WebSocket output: the component contract around a gateway that listens. */
export class Output implements LifecycleComponent {
  readonly #gateway: GatewayLifecycle;

  constructor(gateway: GatewayLifecycle) {
    this.#gateway = gateway;
  }

  /**
   * Checks the configuration, and opens nothing.
   *
   * @throws SpillwayError `"CONFIG_INVALID"` (invalid).
   */
  initialize(): void {
    try {
      const { requiredSubjects: _, ...keys } = this.#gateway.config;
      parseConfig(fileShape(keys));
    } catch (cause) {
      throw failure("Output.initialize", "check configuration", cause, "CONFIG_INVALID");
    }
  }

  /**
   * Listens, then takes messages. A NATS that can't be reached yet is no error. Does nothing while it runs, shares a
   * start that is under way, and waits for a stop that is.
   *
   * @param signal stops the output with `stop_timeout` when it is aborted. Only the call that starts it uses its signal.
   * @throws SpillwayError `"LISTEN_FAILED"` (transient) if the output can't listen,
   * `"CONFIG_INVALID"` (invalid) if a file that the configuration names can't be read,
   * `"ABORTED"` (invalid) if the signal is aborted already, `"SETUP_FAILED"` or `"START_FAILED"` (fatal) for any
   * other reason.
   */
  async start(signal?: AbortSignal): Promise<void> {
    await this.#gateway.start(signal).catch((error) => {
      throw inStreamKitsWords("Output.start", error);
    });
  }

  /**
   * Takes no more clients, drains the source, closes every client with 1001 and frees the port. Does nothing while it
   * doesn't run, shares a stop that is under way, and waits for a start that is.
   *
   * @param timeoutMs 0 to 24 hours. With 0, it waits for nobody, and takes up to 100 ms.
   * @throws SpillwayError `"TIMEOUT_INVALID"` (invalid), or `"STOP_TIMEOUT"` (transient) when the time is up: the stop
   * continues, and the next `stop` or `start` waits for it.
   */
  async stop(timeoutMs: number): Promise<void> {
    await this.#gateway.stop(timeoutMs).catch((error) => {
      throw inStreamKitsWords("Output.stop", error);
    });
  }

  meta(): Metadata {
    return this.#gateway.meta();
  }

  inputPorts(): Port<SubjectPortConfig>[] {
    const { subjects, streams, requiredSubjects } = this.#gateway.config;
    return subjectPorts(subjects, streamInputs(streams), requiredSubjects);
  }

  /** Returns the one address for clients: the real one while the output runs, else the configured one. */
  outputPorts(): Port<NetworkPortConfig>[] {
    const { config, address = config } = this.#gateway;
    return [endpointPort(address.host, address.port, config.path)];
  }

  configSchema(): ConfigSchema {
    return componentSchema();
  }

  /** Healthy means that clients can connect. Readiness (`/readyz`) says whether NATS is away. */
  health(): HealthStatus {
    return this.#gateway.health();
  }

  dataFlow(): FlowMetrics {
    return this.#gateway.dataFlow();
  }
}

/** The action that failed, by the code of the gateway's error. */
const ACTIONS: Readonly<Partial<Record<ErrorCode, string>>> = {
  ABORTED: "check signal",
  LISTEN_FAILED: "listen",
  START_FAILED: "run",
  STOP_FAILED: "close",
  STOP_TIMEOUT: "close",
  TIMEOUT_INVALID: "check timeout",
};

/** Returns a gateway's error as StreamKit words it. A fatal one only wraps its cause, as these words do too. */
function inStreamKitsWords(where: string, error: SpillwayError): SpillwayError {
  const cause = error.class === "fatal" ? error.cause : error;
  return failure(where, ACTIONS[error.code] ?? "set up", cause, error.code);
}
