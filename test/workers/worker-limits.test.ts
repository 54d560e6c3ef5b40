import { expect, test } from "bun:test";
import { parseConfig } from "../../src/config/parse.ts";
import { workerConfig } from "../../src/workers/worker-limits.ts";

test("Totals are shared out among workers, rounded up; all else is the same in each", () => {
  const config = parseConfig({
    ...{ workers: 3, max_clients: 10, max_handshakes_per_second: 100, max_sessions: 9 },
    ...{ max_session_bytes: 300, max_total_queue_bytes: 3001, max_upstream_patterns: 30 },
    ...{ max_total_pattern_bytes: 90, max_lingering: 3, max_lingering_bytes: 31 },
    ...{ max_clients_per_address: 5, ring_messages: 99 },
  });
  expect(workerConfig(config, 3)).toEqual({
    ...config,
    ...{ workers: 1, maxClients: 4, maxHandshakesPerSecond: 34, maxSessions: 3 },
    ...{ maxSessionBytes: 100, maxTotalQueueBytes: 1001, maxUpstreamPatterns: 10 },
    ...{ maxTotalPatternBytes: 30, maxLingering: 1, maxLingeringBytes: 11 },
  });
});

test("Without max_total_queue_bytes, workers share the quarter of the memory that one process has", () => {
  const config = parseConfig({});
  const [whole, half] = [1, 2].map((count) => workerConfig(config, count).maxTotalQueueBytes);
  expect(half).toBe(Math.ceil(whole! / 2));
  expect(workerConfig(config, 2).maxHandshakesPerSecond).toBeUndefined();
});
