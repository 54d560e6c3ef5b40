import { until } from "../../test/support/event-log.ts";
import { type Gateway, startGateway } from "../../test/support/gateway-process.ts";
import { allowing, TARGETS } from "../../test/support/runtimes.ts";
import { onGatewayCore } from "../machine.ts";
import type { Flow } from "../scenario.ts";
import { behindNats, type Contender, type RuntimeName, STOP_MS } from "./contender.ts";

/** Twice the largest crowd, which is as large as the default of `max_clients`. */
const MAX_CLIENTS = 20_000;

/** The command itself, as users start it. */
export function spillway(runtime: RuntimeName, sockets: "node" | "native"): Contender {
  const isNative = sockets === "native";
  const native = runtime === "node" ? runtime : (`${runtime}-native` as const);
  const target = TARGETS[isNative ? native : runtime];
  const withWorkers = runtime === "deno" ? allowing(target, "--allow-run") : target;
  return {
    name: `spillway on ${runtime}${isNative ? ", native" : ""}`,
    role: "spillway",
    runtime,
    sockets,
    start: (cores, scenario) =>
      behindNats(scenario, async (nats) => {
        const { settings, v1, hasBothCores } = scenario as Partial<Flow>;
        const config = {
          nats_url: nats.url,
          subjects: ["bench.>"],
          max_clients: MAX_CLIENTS,
          log_level: "info",
          ...settings,
        };
        let beganMs = 0;
        const own = settings?.workers === undefined ? target : withWorkers;
        const both = cores && { ...cores, gateway: `${cores.gateway},${cores.others}` };
        const gateway = await onGatewayCore(hasBothCores ? both : cores, () => {
          beganMs = performance.now();
          return startGateway(own, { config });
        });
        await gateway.waitForLog(
          ({ properties }) => properties.event === "source_connected",
          "log line that says that NATS is connected",
        );
        const readyMs = performance.now() - beganMs;
        if (settings?.workers !== undefined) await untilReady(gateway);
        const { port, path, pid } = gateway;
        return {
          endpoint: { port, path, dialect: v1 ? "v1" : "envelope" },
          pids: { gateway: pid },
          readyMs,
          stop: async () => void (await gateway.stop(STOP_MS)),
        };
      }),
  };
}

/** Waits until each worker is connected to NATS. */
async function untilReady(gateway: Gateway): Promise<void> {
  const ask = async () => (await gateway.get("/readyz")).ok;
  await until("gateway whose workers are all ready", ask, (isReady) => isReady);
}
