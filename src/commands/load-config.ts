import type { Flag } from "../config/flags.ts";
import { type LoadedConfig, loadConfig } from "../config/load.ts";
import type { Invocation } from "./command.ts";
import { GENERAL_FLAGS } from "./read-flags.ts";

/**
 * Reads the configuration of a command.
 *
 * @throws SpillwayError `"CONFIG_INVALID"` (invalid)
 */
export async function readConfig(
  { argv, env, readTextFile }: Invocation,
  flags: readonly Flag[],
): Promise<LoadedConfig> {
  return await loadConfig({ argv, env, readTextFile, flags: [...flags, ...GENERAL_FLAGS] });
}
