/**
 * `bun run bench/workers.ts --runtime node`: the deliveries of two workers ÷ those of one, if each worker has a part of a
 * core for itself. So the load client and NATS find room on a machine with two cores, and what limits are the workers. Needs
 * Linux with cgroups of version 1, and root.
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
/** With a sixth of a core, code takes long until it is compiled. */
const TIMING = { isQuick: false, warmUpMs: 15_000, measureMs: 5000 };

const { values } = parseArgs({
  options: {
    runtime: { type: "string", default: "node" },
    rounds: { type: "string", default: "3" },
    clients: { type: "string", default: "1000" },
    percent: { type: "string", default: "15" },
  },
});
await ensureNatsServer();
allowManyFiles();
const cores = findCores();
const contender = limited(spillway(values.runtime as RuntimeName, "node"), Number(values.percent));
const ratios: number[] = [];
for (let round = 1; round <= Number(values.rounds); round++) {
  const [one, two] = [await deliveries(1), await deliveries(2)];
  ratios.push(two / one);
  process.stdout.write(`${Math.round(one)} and ${Math.round(two)} deliveries/s\n`);
}
process.stdout.write(`${values.runtime}: two workers ÷ one: ${JSON.stringify(spread(ratios))}\n`);

async function deliveries(count: number): Promise<number> {
  const scenario = { ...workers(count, Number(values.clients), true), ...TIMING };
  const { figures, failure } = await measure(contender, scenario, TIMING, cores);
  if (figures.deliveriesPerSecond === undefined) throw new Error(failure ?? "no figures");
  return figures.deliveriesPerSecond;
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
