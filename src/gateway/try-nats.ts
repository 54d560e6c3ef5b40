import { readFile } from "node:fs/promises";
import type { Config } from "../config/config.ts";
import { KV_PREFIX, streamInputs } from "../config/stream-inputs.ts";
import { ERRORS, reasonOf, SpillwayError } from "../core/ports/errors.ts";
import { createRuntime } from "../runtime/detect.ts";
import { connectNats } from "../source/connect.ts";
import { lookUpStreams } from "../source/jetstream/look-up-streams.ts";
import { probeServers } from "../source/server-probe.ts";
import { readServers } from "../source/servers.ts";
import { accountTargets, type NatsTarget, readNatsOptions } from "./nats-options.ts";

/** An attempt to log in to NATS. */
export interface NatsAttempt {
  /** `"NATS"`, or `"account <name>"`. */
  readonly name: string;
  /** The server that took the login. */
  readonly reached?: string;
  /** The reason for which no server did, for people. */
  readonly fault?: string;
  /** The streams and buckets that can't be read, each with the reason, for people. */
  readonly missing?: readonly string[];
}

/** A stream that the configuration names, by its name at NATS, with the words for it. */
type NamedStreams = ReadonlyMap<string, string>;

/**
 * Logs in to the NATS of a configuration, and of each of its accounts, looks for the streams and buckets that the configuration
 * names, and disconnects.
 */
export async function tryNats(config: Config): Promise<NatsAttempt[]> {
  const targets: [string, NatsTarget][] = [...accountTargets(config)].map(([name, target]) => [
    `account ${name}`,
    target,
  ]);
  if (config.natsUrls.length > 0) targets.unshift(["NATS", config]);
  const attempts: NatsAttempt[] = [];
  for (const [name, target] of targets) {
    const streams = streamsOf(config, target === config);
    attempts.push({ name, ...(await tryTarget(target, config, streams)) });
  }
  return attempts;
}

/** Every account has the streams; the buckets are in the gateway's own. */
function streamsOf(config: Config, isOwn: boolean): NamedStreams {
  const streams = new Map(
    streamInputs(config.streams).map(({ name }) => [name, `the stream ${name} of streams`]),
  );
  const { presenceBucket, revocationBucket } = config;
  const buckets = { presence_bucket: presenceBucket, revocation_bucket: revocationBucket };
  for (const [key, bucket] of isOwn ? Object.entries(buckets) : []) {
    if (bucket !== undefined) streams.set(KV_PREFIX + bucket, `the bucket ${bucket} of ${key}`);
  }
  return streams;
}

async function tryTarget(
  target: NatsTarget,
  config: Config,
  streams: NamedStreams,
): Promise<Omit<NatsAttempt, "name">> {
  const runtime = await createRuntime(
    { ...config, maxBodyBytes: 0, maxConnections: 0 },
    "native",
    "listens",
  );
  const options = await readNatsOptions(target, runtime.dialWebSocket, (path) =>
    readFile(path, "utf8"),
  );
  try {
    const connection = await connectNats(options);
    const reached = connection.getServer();
    const problems = await lookUpStreams(connection, [...streams.keys()]);
    await connection.close();
    const missing = [...problems].map(([name, why]) => `${streams.get(name)}: ${why}`);
    return { reached, ...(missing.length > 0 && { missing }) };
  } catch (error) {
    const found = await probeServers(readServers(options), AbortSignal.timeout(PROBE_MS)).catch(
      () => undefined,
    );
    const faults = [reasonOf(error), found].filter((text) => text !== undefined).join("; ");
    return { fault: [faults, remedyOf(error)].filter((text) => text !== undefined).join(". ") };
  }
}

/** Returns what to do, for people. */
function remedyOf(error: unknown): string | undefined {
  if (!(error instanceof SpillwayError)) return undefined;
  return ERRORS[error.code].remedy.replaceAll("`", "").replace(/\.$/, "");
}

/** The longest time to find out what listens at the addresses. */
const PROBE_MS = 5000;
