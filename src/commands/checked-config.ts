import type { Flag } from "../config/flags.ts";
import { type LoadedConfig, loadConfig } from "../config/load.ts";
import { adminProblems } from "../gateway/admin-listener.ts";
import { accessProblems } from "../gateway/create-access.ts";
import { natsFileProblems } from "../gateway/nats-options.ts";
import { runtimeVersion } from "../gateway/process-facts.ts";
import { tlsProblems } from "../gateway/server-tls.ts";
import { systemClock } from "../runtime/clock.ts";
import { workerHost } from "../workers/spawn-worker.ts";
import { workerProblems } from "../workers/worker-count.ts";
import type { Invocation } from "./command.ts";
import { GENERAL_FLAGS } from "./read-flags.ts";

/** Reads the configuration as `readConfig` does, and checks the files that it names. */
export async function readCheckedConfig(
  { argv, env, readTextFile }: Invocation,
  flags: readonly Flag[],
): Promise<LoadedConfig> {
  return await loadConfig({
    ...{ argv, env, readTextFile, flags: [...flags, ...GENERAL_FLAGS] },
    checkFiles: async (config) => [
      ...(await natsFileProblems(config, readTextFile)),
      ...(await accessProblems(config, systemClock, readTextFile)),
      ...(await adminProblems(config, readTextFile)),
      ...(await tlsProblems(config, runtimeVersion().runtime, systemClock, readTextFile)),
      ...workerProblems(config, workerHost(runtimeVersion())),
    ],
  });
}
