/**
 * StreamKit's component contract (its Go package `component`). The names of fields are its JSON
 * names: what these types describe is shown as JSON to tools that know StreamKit.
 */
import type { ConfigSchema } from "../config/describe.ts";

export type { ConfigSchema } from "../config/describe.ts";

export type ComponentType = "input" | "processor" | "output" | "storage";

/** What a component is. */
export interface Metadata {
  readonly name: string;
  readonly type: ComponentType;
  readonly description: string;
  readonly version: string;
}

/** A place where a component takes data in, or gives it out. */
export interface Port<Config extends PortConfig = PortConfig> {
  readonly name: string;
  readonly direction: "input" | "output";
  readonly required: boolean;
  readonly description: string;
  readonly config: Config;
}

export type PortConfig = SubjectPortConfig | NetworkPortConfig;

/** Any number of components may share a subject. */
export interface SubjectPortConfig {
  readonly type: "nats" | "jetstream";
  readonly data: { readonly subject: string };
}

/** An address belongs to one component. */
export interface NetworkPortConfig {
  readonly type: "network";
  readonly data: { readonly protocol: string; readonly host: string; readonly port: number };
}

export interface HealthStatus {
  readonly healthy: boolean;
  /** When this was found out: now (RFC 3339). */
  readonly last_check: string;
  readonly error_count: number;
  readonly last_error?: string;
  /** Since the start, as Go writes a `time.Duration`: a whole number of nanoseconds; 0 when stopped. */
  readonly uptime: number;
}

export interface FlowMetrics {
  readonly messages_per_second: number;
  readonly bytes_per_second: number;
  /** In percent: 0 to 100. */
  readonly error_rate: number;
  /** RFC 3339; `0001-01-01T00:00:00Z`, Go's zero time, when there was none yet. */
  readonly last_activity: string;
}

/** What can be asked of every component, at any time. */
export interface Discoverable {
  meta(): Metadata;
  inputPorts(): readonly Port[];
  outputPorts(): readonly Port[];
  configSchema(): ConfigSchema;
  health(): HealthStatus;
  dataFlow(): FlowMetrics;
}

/** A component that runs. */
export interface LifecycleComponent extends Discoverable {
  /** Checks what can be checked, and opens nothing. */
  initialize(): void;
  /** Does nothing when it runs. When the signal is aborted, the component stops. */
  start(signal?: AbortSignal): Promise<void>;
  /** Ends within `timeoutMs`; does nothing when it does not run. It may be started again. */
  stop(timeoutMs: number): Promise<void>;
}

/**
 * Makes a component, and opens nothing.
 *
 * @param rawConfig the flow file's `config`, not checked yet.
 * @param instanceName what the flow file calls the instance.
 * @throws SpillwayError (invalid) when the configuration is wrong.
 */
export type Factory<Deps> = (
  rawConfig: unknown,
  deps: Deps,
  instanceName?: string,
) => LifecycleComponent;

/** A factory, and what it makes. `factory` is left out of its JSON. */
export interface Registration<Deps = unknown> {
  readonly type: ComponentType;
  /** How it talks: `"websocket"`, `"udp"`. */
  readonly protocol: string;
  /** What it is about: `"network"`, `"storage"`. */
  readonly domain: string;
  readonly description: string;
  readonly version: string;
  readonly schema: ConfigSchema;
  readonly factory: Factory<Deps>;
}

/** One entry of a flow file's `components`. */
export interface ComponentConfig {
  readonly type: string;
  /** Of the factory; the instance's own name is the entry's key. */
  readonly name: string;
  /** As in Go, an entry without it is not enabled. */
  readonly enabled?: boolean;
  readonly config?: unknown;
}
