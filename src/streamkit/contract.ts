/**
 * StreamKit's component contract (its Go package `component`). The fields have StreamKit's JSON names, because tools
 * for StreamKit read these objects as JSON.
 */
import type { ConfigSchema } from "../config/describe.ts";

export type { ConfigSchema } from "../config/describe.ts";

export type ComponentType = "input" | "processor" | "output" | "storage";

/** The name and kind of a component. */
export interface Metadata {
  readonly name: string;
  readonly type: ComponentType;
  readonly description: string;
  readonly version: string;
}

/** An input or output of a component. */
export interface Port<Config extends PortConfig = PortConfig> {
  readonly name: string;
  readonly direction: "input" | "output";
  readonly required: boolean;
  readonly description: string;
  readonly config: Config;
}

export type PortConfig = SubjectPortConfig | NetworkPortConfig;

/** A NATS subject. Any number of components may share it. */
export interface SubjectPortConfig {
  readonly type: "nats" | "jetstream";
  readonly data: { readonly subject: string };
}

/** An address that a component listens on. No other component may have it. */
export interface NetworkPortConfig {
  readonly type: "network";
  readonly data: { readonly protocol: string; readonly host: string; readonly port: number };
}

export interface HealthStatus {
  readonly healthy: boolean;
  /** The time of this check: now (RFC 3339). */
  readonly last_check: string;
  readonly error_count: number;
  readonly last_error?: string;
  /** Nanoseconds since the start, as a Go `time.Duration`: a whole number. 0 when stopped. */
  readonly uptime: number;
}

export interface FlowMetrics {
  readonly messages_per_second: number;
  readonly bytes_per_second: number;
  /** In percent, 0 to 100. */
  readonly error_rate: number;
  /** RFC 3339. Before the first message it is Go's zero time, `0001-01-01T00:00:00Z`. */
  readonly last_activity: string;
}

/** Describes a component. All methods work at any time. */
export interface Discoverable {
  meta(): Metadata;
  inputPorts(): readonly Port[];
  outputPorts(): readonly Port[];
  configSchema(): ConfigSchema;
  health(): HealthStatus;
  dataFlow(): FlowMetrics;
}

/** A component that can be started and stopped. */
export interface LifecycleComponent extends Discoverable {
  /** Checks the configuration, and opens nothing. */
  initialize(): void;
  /** Starts the component; does nothing while it runs. When the signal is aborted, the component stops. */
  start(signal?: AbortSignal): Promise<void>;
  /** Stops the component within `timeoutMs`; does nothing while it doesn't run. It can be started again. */
  stop(timeoutMs: number): Promise<void>;
}

/**
 * Creates a component, and opens nothing.
 *
 * @param rawConfig the unchecked `config` of the flow file.
 * @param instanceName the instance's name in the flow file.
 * @throws SpillwayError (invalid) if the configuration is wrong.
 */
export type Factory<Deps> = (
  rawConfig: unknown,
  deps: Deps,
  instanceName?: string,
) => LifecycleComponent;

/** A factory, and a description of its components. Its JSON leaves out `factory`. */
export interface Registration<Deps = unknown> {
  readonly type: ComponentType;
  /** The protocol: `"websocket"`, `"udp"`. */
  readonly protocol: string;
  /** The field: `"network"`, `"storage"`. */
  readonly domain: string;
  readonly description: string;
  readonly version: string;
  readonly schema: ConfigSchema;
  readonly factory: Factory<Deps>;
}

/** One entry of a flow file's `components`. */
export interface ComponentConfig {
  readonly type: string;
  /** The factory's name. The instance's name is the entry's key. */
  readonly name: string;
  /** As in Go, an entry without it is not enabled. */
  readonly enabled?: boolean;
  readonly config?: unknown;
}
