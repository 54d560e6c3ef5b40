import type { Config } from "../config/config.ts";
import { componentSchema } from "../config/describe.ts";
import { parseJson } from "../config/json-text.ts";
import { keyTable } from "../config/key-table.ts";
import { parseComponentConfig } from "../config/parse.ts";
import { configError } from "../config/problem.ts";
import type { GatewayDeps } from "../gateway/deps.ts";
import { DESCRIPTION, type GatewayLifecycle } from "../gateway/gateway-lifecycle.ts";
import { VERSION } from "../gateway/version.ts";
import { type ConstructorConfig, configOf, type OutputDeps } from "./constructor-config.ts";
import { Output } from "./output.ts";
import type { Registry } from "./registry.ts";

/** The name of this component in StreamKit's flow files. */
export const FACTORY_NAME = "websocket";

/** Returns the defaults as a file has them: `createOutput` takes them, whole or changed. */
export function defaultConfig(): Record<string, unknown> {
  const set = keyTable().filter((entry) => entry.default !== undefined);
  return Object.fromEntries(set.map((entry) => [entry.key, structuredClone(entry.default)]));
}

/** The ways to make an output. None of them opens anything. */
export interface OutputFactory {
  /**
   * Creates an output from a configuration in the shape of a file, or from its JSON text. `undefined` and the empty
   * text stand for the defaults.
   *
   * @param instanceName becomes `name`, unless the configuration has one.
   * @throws SpillwayError `"CONFIG_INVALID"` (invalid).
   */
  createOutput(rawConfig: unknown, deps?: OutputDeps, instanceName?: string): Output;
  /**
   * Creates an output from a configuration in code.
   *
   * @throws SpillwayError `"CONFIG_INVALID"` (invalid).
   */
  newOutputFromConfig(config: ConstructorConfig): Output;
  /**
   * Registers the factory as `websocket`.
   *
   * @throws SpillwayError `"FACTORY_EXISTS"` (invalid) the second time.
   */
  register<Deps extends OutputDeps>(registry: Registry<Deps>): void;
}

/** Returns the ways to make an output around a gateway that `makeGateway` makes. */
export function outputFactory(
  makeGateway: (config: Config, deps: GatewayDeps) => GatewayLifecycle,
): OutputFactory {
  const create = (config: Config, { logger, ...deps }: OutputDeps = {}): Output => {
    const gateway = makeGateway(config, { ...deps, log: logger });
    // A component without NATS is probably a mistake.
    if (
      deps.natsConnection === undefined &&
      config.natsUrls.length + config.accounts.length === 0
    ) {
      gateway.log.warn(
        "{name} has no NATS: its messages ({subjects}) come from an in-memory source; give it a natsConnection or nats_url",
        { event: "embedded", name: config.name, subjects: config.subjects.join(", ") },
      );
    }
    return new Output(gateway);
  };

  const createOutput: OutputFactory["createOutput"] = (rawConfig, deps, instanceName) =>
    create(parseComponentConfig(withName(parsed(rawConfig), instanceName)), deps);

  return {
    createOutput,
    newOutputFromConfig: (config) => {
      const { natsConnection, metricsRegistry, logger } = config;
      return create(configOf(config), { natsConnection, metricsRegistry, logger });
    },
    register: (registry) =>
      registry.registerFactory(FACTORY_NAME, {
        type: "output",
        protocol: "websocket",
        domain: "network",
        description: DESCRIPTION,
        version: VERSION,
        schema: componentSchema(),
        factory: createOutput,
      }),
  };
}

/** Parses a JSON text. As in Go, an empty text is an empty configuration. */
function parsed(rawConfig: unknown): unknown {
  if (rawConfig === undefined || rawConfig === "") return {};
  if (typeof rawConfig !== "string") return rawConfig;
  const json = parseJson(rawConfig);
  if ("fault" in json) throw configError([{ text: json.fault }]);
  return json.value;
}

/** Adds the name to an object. The schema refuses anything else. */
function withName(rawConfig: unknown, instanceName: string | undefined): unknown {
  if (instanceName === undefined || rawConfig === null) return rawConfig;
  if (typeof rawConfig !== "object" || Array.isArray(rawConfig)) return rawConfig;
  return { name: instanceName, ...rawConfig };
}
