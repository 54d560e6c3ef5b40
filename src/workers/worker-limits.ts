import type { Config } from "../config/config.ts";
import { memoryLimitBytes } from "../gateway/memory-limit.ts";

/**
 * Returns the configuration of one of several workers. Totals are shared out, rounded up; the limits of one client, address or user
 * are the same in each worker, and so is what each must keep for any client (`ring_messages`).
 */
export function workerConfig(config: Config, count: number): Config {
  const part = (total: number): number => Math.ceil(total / count);
  const { maxHandshakesPerSecond } = config;
  return {
    ...config,
    workers: 1,
    maxClients: part(config.maxClients),
    maxHandshakesPerSecond: maxHandshakesPerSecond && part(maxHandshakesPerSecond),
    maxTotalQueueBytes: part(config.maxTotalQueueBytes ?? memoryLimitBytes() / 4),
    maxSessions: part(config.maxSessions),
    maxSessionBytes: part(config.maxSessionBytes),
    maxUpstreamPatterns: part(config.maxUpstreamPatterns),
    maxTotalPatternBytes: part(config.maxTotalPatternBytes),
    maxLingering: part(config.maxLingering),
    maxLingeringBytes: part(config.maxLingeringBytes),
  };
}
