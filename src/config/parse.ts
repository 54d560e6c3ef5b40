import type { Config } from "./config.ts";
import { fileLayer } from "./flow.ts";
import { settle } from "./layer.ts";

/**
 * Checks a configuration in the shape of a file: our keys, StreamKit's `ports`, or a whole flow.
 *
 * @throws {SpillwayError} `CONFIG_INVALID` (invalid): the first problem, and how many there are.
 */
export function parseConfig(raw: unknown): Config {
  return settle([fileLayer(raw)]);
}

/** The configuration of somebody who configured nothing. */
export function defaultConfig(): Config {
  return parseConfig({});
}
