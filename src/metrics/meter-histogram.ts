import { Gauge, type Registry } from "prom-client";
import type { Distribution } from "../core/metering/distribution.ts";
import type { Metered } from "./families.ts";

interface Options {
  readonly name: string;
  readonly help: string;
  readonly registers: Registry[];
}

/**
 * A histogram whose values the core has already sorted into buckets. It extends prom-client's basic metric, because
 * prom-client's histogram only takes values that it sorts itself.
 */
export class MeterHistogram extends Gauge<"component" | "le"> {
  readonly #options: Options;
  readonly #components: Iterable<Metered>;
  readonly #read: (metered: Metered) => Distribution;

  constructor(
    options: Options,
    components: Iterable<Metered>,
    read: (metered: Metered) => Distribution,
  ) {
    super({ ...options, labelNames: ["component"] });
    this.#options = options;
    this.#components = components;
    this.#read = read;
  }

  override async get(): ReturnType<Gauge<"component" | "le">["get"]> {
    const { name, help } = this.#options;
    const values = [...this.#components].flatMap((one) => series(name, one.name, this.#read(one)));
    return { name, help, type: "histogram" as never, values, aggregator: "sum", collect: () => {} };
  }
}

/** Returns a distribution in Prometheus' form: each bucket counts all values up to its bound. */
function series(name: string, component: string, { bounds, counts, sum }: Distribution) {
  let total = 0;
  const buckets = counts.map((count, index) => {
    total += count;
    const le = bounds[index] ?? "+Inf";
    return { metricName: `${name}_bucket`, labels: { component, le }, value: total };
  });
  return [
    ...buckets,
    { metricName: `${name}_sum`, labels: { component }, value: sum },
    { metricName: `${name}_count`, labels: { component }, value: total },
  ];
}
