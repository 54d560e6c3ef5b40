import { Counter, Gauge, type Registry } from "prom-client";
import { aggregatorOf } from "./worker-metrics.ts";

/** Figures of the process; `undefined` if the runtime can't know one, or may not. */
export interface ProcessFacts {
  cpuSeconds(): number | undefined;
  residentBytes(): number | undefined;
  heapBytes(): number | undefined;
  gcSeconds(): number | undefined;
  /** The start of the process, in seconds since 1970. */
  readonly startedSeconds: number | undefined;
  /** The number of open file descriptors, and the limit. */
  descriptors(): Promise<{ readonly open: number | undefined; readonly most: number | undefined }>;
}

interface ProcessFamily {
  readonly kind: "counter" | "gauge";
  readonly name: string;
  readonly help: string;
  readonly read: (facts: ProcessFacts) => Promise<number | undefined> | number | undefined;
}

/** The names are those of Prometheus' own clients. */
export const PROCESS_FAMILIES: readonly ProcessFamily[] = [
  {
    kind: "counter",
    name: "process_cpu_seconds_total",
    help: "CPU time of the process, user and system.",
    read: (facts) => facts.cpuSeconds(),
  },
  {
    kind: "gauge",
    name: "process_resident_memory_bytes",
    help: "Resident memory of the process.",
    read: (facts) => facts.residentBytes(),
  },
  {
    kind: "gauge",
    name: "process_heap_bytes",
    help: "JavaScript heap in use, without buffers.",
    read: (facts) => facts.heapBytes(),
  },
  {
    kind: "counter",
    name: "process_gc_seconds_total",
    help: "Time in which garbage collection stopped the event loop. Only on Node: Bun and Deno don't tell.",
    read: (facts) => facts.gcSeconds(),
  },
  {
    kind: "gauge",
    name: "process_start_time_seconds",
    help: "Start time of the process, in seconds since 1970.",
    read: (facts) => facts.startedSeconds,
  },
  {
    kind: "gauge",
    name: "process_open_fds",
    help: "Open file descriptors. On Linux; on Deno only with --allow-all.",
    read: async (facts) => (await facts.descriptors()).open,
  },
  {
    kind: "gauge",
    name: "process_max_fds",
    help: "Maximum number of open file descriptors. On Linux; on Deno only with --allow-all.",
    read: async (facts) => (await facts.descriptors()).most,
  },
];

/** Shows the process' figures on a registry. A figure that the runtime doesn't have gets no series. */
export function showProcess(registry: Registry, facts: ProcessFacts): void {
  for (const { kind, name, help, read } of PROCESS_FAMILIES) {
    const options = { name, help, registers: [registry], aggregator: aggregatorOf(name) };
    if (kind === "counter") {
      new Counter({
        ...options,
        async collect() {
          const figure = await read(facts);
          this.reset();
          if (figure === undefined) this.remove();
          else this.inc(figure);
        },
      });
    } else {
      new Gauge({
        ...options,
        async collect() {
          const figure = await read(facts);
          if (figure === undefined) this.remove();
          else this.set(figure);
        },
      });
    }
  }
}
