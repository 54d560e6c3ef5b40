import type { Environment } from "../config/environment.ts";
import { type LoadedConfig, loadConfig } from "../config/load.ts";
import { configError, type Problem } from "../config/problem.ts";
import type { Setting } from "../config/settings.ts";
import type { Log } from "../core/ports/log.ts";
import type { GatewayEngine } from "../gateway/engine.ts";
import { createMountedGateway } from "../gateway/gateway.ts";
import type { GatewayLifecycle } from "../gateway/gateway-lifecycle.ts";
import { ensureLog } from "../log/logtape.ts";
import type { CreateRuntime } from "../runtime/runtime.ts";

/** A host that calls `fetch`, and has no command line: `deno serve`, a Durable Object. */
export interface EdgeHost {
  /** Its name in sentences: `"Cloudflare Workers"`. */
  readonly name: string;
  readonly env: Environment;
  readonly createRuntime: CreateRuntime;
  /** The keys that have no effect there, each with the reason, which completes `"…" has no effect, as`. */
  readonly unused: KeyReasons;
  /** The keys that can't be set there, each with the reason, which completes `must not be set …, where`. */
  readonly unsupported: KeyReasons;
  /** Returns further problems of a configuration. */
  checks?(config: EdgeGateway["config"]): readonly Problem[];
  /** Reads a file that the configuration names, or throws. */
  readTextFile(path: string): string;
  /** Writes a line of the log. */
  write(line: string): void;
}

export type KeyReasons = Readonly<Partial<Record<Setting["key"], string>>>;

/** A gateway that its host has configured by variables. */
export interface EdgeGateway {
  readonly config: LoadedConfig["config"];
  readonly log: Log;
  readonly gateway: GatewayLifecycle<GatewayEngine>;
  readonly engine: GatewayEngine;
}

/**
 * Reads the configuration from the environment, and makes a gateway whose app the host serves. Opens nothing.
 *
 * @throws SpillwayError `"CONFIG_INVALID"` (invalid): everything that is wrong, a line each.
 */
export async function openGateway(host: EdgeHost): Promise<EdgeGateway> {
  const { config, settings, notices } = await loadConfig({
    argv: [],
    env: host.env,
    readTextFile: async (path) => host.readTextFile(path),
  });
  const problems = [...unsupportedSettings(settings, host), ...(host.checks?.(config) ?? [])];
  if (problems.length > 0) throw configError(problems);
  const log = await ensureLog({
    level: config.logLevel,
    format: config.logFormat === "pretty" ? "pretty" : "json",
    hasColors: false,
    write: (text) => host.write(text.replace(/\n$/, "")),
  });
  for (const notice of [...notices, ...unusedSettings(settings, host)])
    log.warn("{notice}", { event: "configuration_notice", notice });
  const gateway = createMountedGateway(config, {
    runtime: host.createRuntime,
    readTextFile: (path) => host.readTextFile(path),
  });
  return { config, log, gateway, engine: await gateway.prepare() };
}

function unsupportedSettings(settings: readonly Setting[], host: EdgeHost): Problem[] {
  return given(settings, host.unsupported).map(({ key, value, from, reason }) => ({
    ...{ key, from },
    text: `"${key}" is ${value} but must not be set on ${host.name}, where ${reason}`,
  }));
}

function unusedSettings(settings: readonly Setting[], { name, unused }: EdgeHost): string[] {
  return given(settings, unused).map(
    ({ key, reason }) => `"${key}" has no effect on ${name}, as ${reason}`,
  );
}

/** Returns the settings that somebody has given, of those for which there is a reason. */
function given(
  settings: readonly Setting[],
  reasons: KeyReasons,
): (Setting & { readonly reason: string })[] {
  return settings.flatMap((setting) => {
    const reason = reasons[setting.key];
    return reason === undefined || setting.source === "default" ? [] : [{ ...setting, reason }];
  });
}
