import { cpuSeconds, machineTime, rssBytes } from "../machine.ts";

/** What processes and the machine used from one moment to another. */
export interface Usage {
  readonly seconds: number;
  /** CPU seconds by process, this one as `load`; without those that could not be had. */
  readonly cpuSeconds: Readonly<Record<string, number>>;
  /** CPU seconds of all processes of the machine, and what was stolen and all of it. */
  readonly machine: { busy: number; stolen: number; total: number } | undefined;
  /** What the gateway had in memory at the end. */
  readonly gatewayRssBytes: number | undefined;
}

/**
 * Begins to look at processes.
 *
 * @param pids by what they are; the measured one is `gateway`.
 * @returns what tells what was used since.
 */
export function beginUsage(pids: Readonly<Record<string, number>>): () => Usage {
  const take = () => ({
    ms: performance.now(),
    cpu: Object.entries(pids).map(([name, pid]) => [name, cpuSeconds(pid)] as const),
    machine: machineTime(),
  });
  const load = process.cpuUsage();
  const before = take();
  return () => {
    const after = take();
    const { user, system } = process.cpuUsage(load);
    const used = after.cpu.flatMap(([name, seconds], index) => {
      const from = before.cpu[index]![1];
      return seconds === undefined || from === undefined ? [] : [[name, seconds - from] as const];
    });
    const machine =
      after.machine === undefined || before.machine === undefined
        ? undefined
        : {
            busy: after.machine.busy - before.machine.busy,
            stolen: after.machine.stolen - before.machine.stolen,
            total: after.machine.total - before.machine.total,
          };
    return {
      seconds: (after.ms - before.ms) / 1000,
      cpuSeconds: { ...Object.fromEntries(used), load: (user + system) / 1e6 },
      machine,
      gatewayRssBytes: pids.gateway === undefined ? undefined : rssBytes(pids.gateway),
    };
  };
}
