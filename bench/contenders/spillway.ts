import { startGateway } from "../../test/support/gateway-process.ts";
import { TARGETS, type Target } from "../../test/support/runtimes.ts";
import { onCore } from "../machine.ts";
import { behindNats, STOP_MS } from "./behind-nats.ts";
import { type Contender, lastOf, type RuntimeName, settingsOf, speaksV1 } from "./contender.ts";

/** The default of `max_clients` is as many as the largest crowd. */
const MAX_CLIENTS = 20_000;

/**
 * The command itself, as users start it.
 *
 * @param target how it is started; by default as the tests of that runtime do.
 */
export function spillway(
  runtime: RuntimeName,
  sockets: "node" | "native",
  target: Target = TARGETS[targetName(runtime, sockets)],
): Contender {
  return {
    name: `spillway on ${runtime}${sockets === "native" ? ", native" : ""}`,
    role: "spillway",
    runtime,
    sockets,
    start: (cores, scenario) =>
      behindNats(scenario, async (nats) => {
        const needed = { nats_url: nats.url, subjects: ["bench.>"], max_clients: MAX_CLIENTS };
        const config = { ...needed, log_level: "info", ...settingsOf(scenario) };
        const { gateway, readyMs } = await onCore(cores, "gateway", async () => {
          const beganMs = performance.now();
          const gateway = await startGateway(target, { config });
          await gateway.waitForLog(
            ({ properties }) => properties.event === "source_connected",
            "log line that says that NATS is connected",
          );
          return { gateway, readyMs: performance.now() - beganMs };
        });
        const { port, path, pid } = gateway;
        return {
          endpoint: { port, path, dialect: speaksV1(scenario) ? "v1" : "envelope" },
          pid,
          readyMs,
          lastWords: () => lastOf(gateway.logs.map(({ message }) => message)),
          stop: async () => void (await gateway.stop(STOP_MS)),
        };
      }),
  };
}

function targetName(runtime: RuntimeName, sockets: "node" | "native"): Target["name"] {
  return sockets === "native" && runtime !== "node" ? `${runtime}-native` : runtime;
}
