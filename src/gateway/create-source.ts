import type { Config } from "../config/config.ts";
import { streamInputs } from "../config/stream-inputs.ts";
import { SpillwayError } from "../core/ports/errors.ts";
import type { Log } from "../core/ports/log.ts";
import type { MessageSource, Publisher } from "../core/ports/source.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { NatsOptions } from "../source/connect-options.ts";
import { MemorySource } from "../source/memory.ts";
import { type GatewayReads, NatsSource } from "../source/nats.ts";
import { accountLog } from "./account-log.ts";
import type { GatewayDeps } from "./deps.ts";
import { accountTargets, type NatsTarget, readNatsOptions } from "./nats-options.ts";

/** Where the messages of a gateway come from. If it takes messages too, it can publish them. */
export type GatewaySource = MessageSource & Partial<Publisher>;

interface SourceParts {
  readonly deps: Pick<GatewayDeps, "source" | "natsConnection" | "readTextFile">;
  readonly log: Log;
  readonly runtime: Pick<Runtime, "dialWebSocket">;
  /** What a NATS source reads for the gateway itself. */
  readonly reads: GatewayReads;
}

/**
 * Chooses the source, and connects to nothing. In this order: the host's own source, the host's connection to NATS,
 * the servers of `nats_url`, messages from memory.
 *
 * @throws SpillwayError `"CONFIG_INVALID"` (invalid) if there are streams and no NATS, or if a file that the
 * configuration names can't be used.
 */
export async function createSource(
  config: Config,
  { deps, log, runtime, reads }: SourceParts,
): Promise<GatewaySource> {
  if (deps.source !== undefined) return deps.source;
  const streams = streamInputs(config.streams);
  const { natsConnection } = deps;
  if (natsConnection !== undefined) {
    const nats = { connection: natsConnection };
    return new NatsSource({ log, nats, streams, durables: config, reads });
  }
  if (config.natsUrls.length === 0) {
    // Streams may be those of accounts alone.
    if (streams.length === 0 || config.accounts.length > 0) return new MemorySource();
    const message = 'Cannot use "streams" without NATS: "nats_url" must say where it is';
    throw new SpillwayError("CONFIG_INVALID", message);
  }
  const options = await connectionOptions(config, runtime, deps);
  return new NatsSource({ log, nats: { options }, streams, durables: config, reads });
}

/**
 * Returns what makes the source of each account, by the account's name. Connects to nothing.
 *
 * @throws SpillwayError `"CONFIG_INVALID"` (invalid) if a file that the configuration names can't be used.
 */
export async function createAccountSources(
  config: Config,
  { deps, log, runtime }: Pick<SourceParts, "deps" | "log" | "runtime">,
): Promise<Map<string, () => GatewaySource>> {
  const streams = streamInputs(config.streams);
  const sources = [...accountTargets(config)].map(async ([name, target]) => {
    const options = await connectionOptions(target, runtime, deps);
    const parts = { log: accountLog(log, name), nats: { options }, streams, durables: config };
    const make = (): GatewaySource => new NatsSource(parts);
    // Finds out now whether it can be made.
    make();
    return [name, make] as const;
  });
  return new Map(await Promise.all(sources));
}

async function connectionOptions(
  target: NatsTarget,
  { dialWebSocket }: Pick<Runtime, "dialWebSocket">,
  deps: Pick<GatewayDeps, "readTextFile">,
): Promise<NatsOptions> {
  const { readFileSync } = await import("node:fs");
  const read = deps.readTextFile ?? ((path) => readFileSync(path, "utf8"));
  return await readNatsOptions(target, dialWebSocket, async (path) => read(path), read);
}

/** Returns whether the source takes messages. */
export function canPublish(source: GatewaySource): source is MessageSource & Publisher {
  return source.publish !== undefined;
}
