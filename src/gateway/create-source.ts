import type { Config } from "../config/config.ts";
import { streamInputs } from "../config/stream-inputs.ts";
import { SpillwayError } from "../core/ports/errors.ts";
import type { Log } from "../core/ports/log.ts";
import type {
  ClientPublisher,
  MessageSource,
  Publisher,
  PublishFailure,
} from "../core/ports/source.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { MemorySource } from "../source/memory.ts";
import { type GatewayReads, NatsSource } from "../source/nats.ts";
import type { GatewayDeps } from "./deps.ts";
import { readNatsOptions } from "./nats-options.ts";

/** Where the messages of a gateway come from. If it takes messages too, it can publish them. */
export type GatewaySource = MessageSource & Partial<Publisher>;

interface SourceParts {
  readonly deps: Pick<GatewayDeps, "source" | "natsConnection">;
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
    if (streams.length === 0) return new MemorySource();
    const message = 'Cannot use "streams" without NATS: "nats_url" must say where it is';
    throw new SpillwayError("CONFIG_INVALID", message);
  }
  const { readFile } = await import("node:fs/promises");
  const { readFileSync } = await import("node:fs");
  const options = await readNatsOptions(
    config,
    runtime.dialWebSocket,
    (path) => readFile(path, "utf8"),
    (path) => readFileSync(path, "utf8"),
  );
  return new NatsSource({ log, nats: { options }, streams, durables: config, reads });
}

/** Returns whether the source takes messages. */
export function canPublish(source: GatewaySource): source is MessageSource & Publisher {
  return source.publish !== undefined;
}

/** Returns what publishes the messages of clients; `undefined` if the source takes none. */
export function clientPublisherOf(source: GatewaySource): ClientPublisher | undefined {
  if (source.clientPublisher !== undefined) return source.clientPublisher;
  if (!canPublish(source)) return undefined;
  return {
    publish: async ({ subject, data, headers }) => {
      if (source.status.state !== "connected") return failure("unavailable", "not connected", true);
      source.publish({ subject, data, headers });
      return { kind: "published" };
    },
    request: async () => failure("no_responders", "not asked for answers", false),
  };

  function failure(code: PublishFailure["code"], what: string, retryable: boolean): PublishFailure {
    return { kind: "failed", code, message: `${source.name} is ${what}`, retryable };
  }
}
