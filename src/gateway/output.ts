import { libraryLog } from "../log/logtape.ts";
import type { MetricsRegistry } from "../metrics/prometheus.ts";
import { systemClock } from "../runtime/clock.ts";
import type { NatsConnection } from "../source/connect.ts";
import { createOutputWith } from "../streamkit/factory.ts";
import { createEngine } from "./engine.ts";
import { VERSION } from "./version.ts";

/** StreamKit's component, with its own listener, in each way that it can be made. */
export const { assembleOutput, createOutput, newOutputFromConfig, register } = createOutputWith<
  NatsConnection,
  MetricsRegistry
>({
  makeEngine: (config, deps, component) => createEngine(config, deps, component, "listens"),
  clock: systemClock,
  version: VERSION,
  defaultLog: libraryLog,
});
