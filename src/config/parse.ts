import { LOWEST_COMPONENT_PORT, portLimits } from "./address.ts";
import { type Config, toConfig } from "./config.ts";
import { fileLayer } from "./flow-file.ts";
import { type Resolved, resolve } from "./layer.ts";
import { configError, type Problem } from "./problem.ts";

/**
 * Checks a configuration in the shape of a file: our keys, StreamKit's `ports`, or a whole flow.
 *
 * @throws {SpillwayError} `CONFIG_INVALID` (invalid): everything that is wrong, a line each.
 */
export function parseConfig(raw: unknown): Config {
  return configOf(resolve([fileLayer(raw)]));
}

/**
 * {@linkcode parseConfig} for StreamKit's component, which promises to refuse the ports below 1024.
 *
 * @throws {SpillwayError} `CONFIG_INVALID` (invalid): everything that is wrong, a line each.
 */
export function parseComponentConfig(raw: unknown): Config {
  const resolved = resolve([fileLayer(raw)]);
  const { port } = resolved.checked;
  if (port <= 0 || port >= LOWEST_COMPONENT_PORT || !resolved.isKnown("port")) {
    return configOf(resolved);
  }
  const text = `"port" is ${port} but must be ${portLimits(LOWEST_COMPONENT_PORT)}`;
  return configOf(resolved, [{ text, from: resolved.origins.get("port") }]);
}

function configOf(resolved: Resolved, further: readonly Problem[] = []): Config {
  const problems = [...resolved.problems, ...further];
  if (problems.length > 0) throw configError(problems);
  return toConfig(resolved.checked, resolved.requiredSubjects);
}

/** The configuration with all defaults. */
export function defaultConfig(): Config {
  return parseConfig({});
}
