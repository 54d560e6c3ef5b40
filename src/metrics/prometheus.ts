import { Counter, Gauge, Registry } from "prom-client";
import { FAMILIES, type Family, type Metered } from "./families.ts";
import { MeterHistogram } from "./meter-histogram.ts";
import { MeterSummary } from "./meter-summary.ts";
import { aggregatorOf } from "./worker-metrics.ts";

export type { Registry as MetricsRegistry } from "prom-client";

/** Creates an empty registry. */
export function createRegistry(): Registry {
  return new Registry();
}

/** The components of each registry: several may share one. */
const shown = new WeakMap<Registry, Set<Metered>>();

/**
 * Shows a component's figures on a registry, under the names of StreamKit's documentation and code. The figures are
 * read on request, so that counting is only an addition.
 *
 * @returns a function that removes the component from the registry.
 */
export function showMetrics(registry: Registry, metered: Metered): () => void {
  let components = shown.get(registry);
  if (components === undefined) {
    components = new Set();
    shown.set(registry, components);
    for (const family of FAMILIES) registerFamily(registry, family, components);
  }
  const all = components;
  all.add(metered);
  return () => void all.delete(metered);
}

function registerFamily(
  registry: Registry,
  family: Family,
  components: ReadonlySet<Metered>,
): void {
  const { name, help } = family;
  const options = { name, help, registers: [registry], aggregator: aggregatorOf(name) };
  if (family.kind === "histogram") {
    new MeterHistogram(options, components, family.read);
    return;
  }
  const { labels, read } = family;
  /** Calls the function with the present value of each series. */
  const each = (show: (labels: Record<string, string>, value: number) => void): void => {
    for (const one of components) {
      for (const [values, figure] of read(one)) {
        const named = labels.map((label, index) => [label, values[index] ?? ""]);
        show({ component: one.name, ...Object.fromEntries(named) }, figure);
      }
    }
  };
  const labelNames = ["component", ...labels];
  if (family.kind === "counter") {
    new Counter({
      ...options,
      labelNames,
      collect() {
        this.reset();
        each((labels, figure) => this.inc(labels, figure));
      },
    });
  } else {
    const Kind = family.kind === "summary" ? MeterSummary : Gauge;
    new Kind({
      ...options,
      labelNames,
      collect() {
        this.reset();
        each((labels, figure) => this.set(labels, figure));
      },
    });
  }
}
