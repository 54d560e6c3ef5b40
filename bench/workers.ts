/**
 * `bun run bench/workers.ts --runtime node`: the deliveries of two workers ÷ those of one, if each worker has a part of a
 * core for itself. So the load client and NATS find room on a machine with two cores, and what limits are the workers. The
 * same number of messages is in flight for both, because a delivery gets cheaper with the number of messages in a write.
 * Needs Linux with cgroups of version 1, and root.
 */
import { mkdirSync, rmdirSync, writeFileSync } from "node:fs";
import process from "node:process";
import { parseArgs } from "node:util";
import { ensureNatsServer } from "../scripts/install-nats-server.ts";
import type { Contender, RuntimeName } from "./contenders/contender.ts";
import { spillway } from "./contenders/spillway.ts";
import { allowManyFiles, childrenOf, findCores } from "./machine.ts";
import { measure } from "./measure/measure.ts";
import { workers } from "./plan.ts";
import { spread } from "./summary.ts";

const CPU_GROUPS = "/sys/fs/cgroup/cpu";
const PERIOD_US = 10_000;
/** Linux gives out no less than 1 ms of a period. */
const LEAST_PERCENT = 10;
/** With a part of a core, code takes long until it is compiled. */
const TIMING = { isQuick: false, warmUpMs: 15_000, measureMs: 5000 };
/** Workers that use less of their parts than this are limited by something else. */
const LEAST_USED = 0.9;

interface Result {
  readonly deliveriesPerSecond: number;
  /** Whether each client got each message, and the workers used their parts. */
  readonly isValid: boolean;
}

const { values } = parseArgs({
  options: {
    runtime: { type: "string", default: "node" },
    rounds: { type: "string", default: "3" },
    clients: { type: "string", default: "1000" },
    percent: { type: "string", default: "30" },
    "in-flight": { type: "string", default: "256" },
  },
});
const percent = Number(values.percent);
if (!(percent >= LEAST_PERCENT)) throw new Error(`--percent must be ${LEAST_PERCENT} or more`);
await ensureNatsServer();
allowManyFiles();
const cores = findCores();
const contender = limited(spillway(values.runtime as RuntimeName, "node"), percent);
const ratios: number[] = [];
for (let round = 1; round <= Number(values.rounds); round++) {
  // In turn, so that a machine that gets busier or less busy favours none.
  const order = round % 2 === 1 ? [1, 2] : [2, 1];
  const results = new Map<number, Result>();
  for (const count of order) results.set(count, await measureWorkers(count));
  const [one, two] = [results.get(1)!, results.get(2)!];
  if (one.isValid && two.isValid) ratios.push(two.deliveriesPerSecond / one.deliveriesPerSecond);
}
process.stdout.write(
  `${values.runtime}: two workers ÷ one, ${ratios.length} of ${values.rounds} rounds count: ${JSON.stringify(spread(ratios))}\n`,
);

async function measureWorkers(count: number): Promise<Result> {
  const inFlight = Number(values["in-flight"]);
  const scenario = { ...workers(count, Number(values.clients), true), ...TIMING, inFlight };
  const measurement = await measure(contender, scenario, TIMING, cores);
  const { figures, cpuShares, failure, complete = false } = measurement;
  const { deliveriesPerSecond, cpuUsPerDelivery } = figures;
  if (deliveriesPerSecond === undefined) throw new Error(failure ?? "no figures");
  const used = (cpuShares?.gateway ?? 0) / ((count * percent) / 100);
  const isValid = complete && used >= LEAST_USED;
  const figure = (value = 0, digits = 0) =>
    value.toLocaleString("en", { maximumFractionDigits: digits });
  process.stdout.write(
    `workers: ${count}; ${figure(deliveriesPerSecond)} deliveries/s of ${figure(cpuUsPerDelivery, 3)} µs each; ` +
      `${figure(100 * used)} % of their parts used; ${isValid ? "counts" : "doesn't count"}\n`,
  );
  return { deliveriesPerSecond, isValid };
}

/** Returns a contender each of whose workers gets so much of a core. */
function limited(of: Contender, percent: number): Contender {
  return {
    ...of,
    async start(...args) {
      const carrier = await of.start(...args);
      const { gateway } = carrier.pids;
      const children = childrenOf(gateway);
      const groups = (children.length === 0 ? [gateway] : children).map((pid) => {
        const group = `${CPU_GROUPS}/spillway-bench-${pid}`;
        mkdirSync(group);
        writeFileSync(`${group}/cpu.cfs_period_us`, String(PERIOD_US));
        writeFileSync(`${group}/cpu.cfs_quota_us`, String((PERIOD_US * percent) / 100));
        writeFileSync(`${group}/cgroup.procs`, String(pid));
        return group;
      });
      return {
        ...carrier,
        async stop() {
          await carrier.stop();
          for (const group of groups) rmdirSync(group);
        },
      };
    },
  };
}
