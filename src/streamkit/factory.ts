import type { Config } from "../config/config.ts";
import { componentSchema } from "../config/describe.ts";
import { parseJson } from "../config/json-text.ts";
import { keyTable } from "../config/key-table.ts";
import { parseComponentConfig } from "../config/parse.ts";
import { configError } from "../config/problem.ts";
import type { Clock } from "../core/ports/clock.ts";
import type { Log } from "../core/ports/log.ts";
import { type ConstructorConfig, configOf, type OutputDeps } from "./constructor-config.ts";
import type { Discoverable } from "./contract.ts";
import type { Engine } from "./engine.ts";
import { DESCRIPTION, Output } from "./output.ts";
import type { Registry } from "./registry.ts";

/** What StreamKit's flow files call this component. */
export const FACTORY_NAME = "websocket";

/** The defaults as a file would say them: `createOutput` takes it, whole or changed. */
export function defaultConfig(): Record<string, unknown> {
  const set = keyTable().filter((entry) => entry.default !== undefined);
  return Object.fromEntries(set.map((entry) => [entry.key, structuredClone(entry.default)]));
}

/** What an output needs and this folder may not know: how an engine is put together. */
export interface OutputMakerParts<Connection, MetricsRegistry> {
  /** Puts the engine together; nothing is opened yet. `component` is what `/healthz` shows. */
  readonly makeEngine: (
    config: Config,
    deps: OutputDeps<Connection, MetricsRegistry>,
    component: Discoverable,
  ) => Promise<Engine>;
  readonly clock: Clock;
  readonly version: string;
  /** Where is logged when the host gives no logger. */
  readonly defaultLog: () => Log;
}

/** The ways to make an output; none of them opens anything. */
export interface OutputMaker<Connection, MetricsRegistry> {
  /** From a configuration that was checked. */
  assembleOutput(config: Config, deps?: OutputDeps<Connection, MetricsRegistry>): Output;
  /**
   * From a configuration in the shape of a file, or its JSON text; the empty text and `undefined`
   * stand for the defaults.
   *
   * @param instanceName becomes `name`, unless the configuration has one.
   * @throws SpillwayError `"CONFIG_INVALID"` (invalid).
   */
  createOutput(
    rawConfig: unknown,
    deps?: OutputDeps<Connection, MetricsRegistry>,
    instanceName?: string,
  ): Output;
  /**
   * From a configuration in code.
   *
   * @throws SpillwayError `"CONFIG_INVALID"` (invalid).
   */
  newOutputFromConfig(config: ConstructorConfig<Connection, MetricsRegistry>): Output;
  /**
   * Makes the factory known as `websocket`.
   *
   * @throws SpillwayError `"FACTORY_EXISTS"` (invalid) the second time.
   */
  register<Deps extends OutputDeps<Connection, MetricsRegistry>>(registry: Registry<Deps>): void;
}

/** The ways to make an output, once it is known how an engine is made. */
export function createOutputWith<Connection, MetricsRegistry>(
  parts: OutputMakerParts<Connection, MetricsRegistry>,
): OutputMaker<Connection, MetricsRegistry> {
  const { makeEngine, clock, version, defaultLog } = parts;

  const assembleOutput: OutputMaker<Connection, MetricsRegistry>["assembleOutput"] = (
    config,
    deps = {},
  ) =>
    new Output(config, {
      makeEngine: (component) => makeEngine(config, deps, component),
      clock,
      log: deps.logger ?? defaultLog(),
      version,
    });

  /** A component is hardly meant to be without NATS, so one that is says so. */
  const createdOutput: typeof assembleOutput = (config, deps = {}) => {
    if (deps.natsConnection === undefined && config.natsUrls.length === 0) {
      const log = deps.logger ?? defaultLog();
      log.warn(
        "{name} has no NATS: what it carries ({subjects}) comes from an in-memory source; give it a natsConnection or nats_url",
        { event: "embedded", name: config.name, subjects: config.subjects.join(", ") },
      );
    }
    return assembleOutput(config, deps);
  };

  const createOutput: OutputMaker<Connection, MetricsRegistry>["createOutput"] = (
    rawConfig,
    deps,
    instanceName,
  ) => createdOutput(parseComponentConfig(named(parsed(rawConfig), instanceName)), deps);

  return {
    assembleOutput,
    createOutput,
    newOutputFromConfig: (config) => {
      const { natsConnection, metricsRegistry, logger } = config;
      return createdOutput(configOf(config), { natsConnection, metricsRegistry, logger });
    },
    register: (registry) =>
      registry.registerFactory(FACTORY_NAME, {
        type: "output",
        protocol: "websocket",
        domain: "network",
        description: DESCRIPTION,
        version,
        schema: componentSchema(),
        factory: createOutput,
      }),
  };
}

/** A JSON text as what it says; as in Go, no text is an empty configuration. */
function parsed(rawConfig: unknown): unknown {
  if (rawConfig === undefined || rawConfig === "") return {};
  if (typeof rawConfig !== "string") return rawConfig;
  const json = parseJson(rawConfig);
  if ("fault" in json) throw configError([{ text: json.fault }]);
  return json.value;
}

/** What is no object is left as it is, for the schema to refuse. */
function named(rawConfig: unknown, instanceName: string | undefined): unknown {
  if (instanceName === undefined || rawConfig === null) return rawConfig;
  if (typeof rawConfig !== "object" || Array.isArray(rawConfig)) return rawConfig;
  return { name: instanceName, ...rawConfig };
}
