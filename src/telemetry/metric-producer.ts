import type { HrTime } from "@opentelemetry/api";
import type {
  AggregationTemporality,
  DataPoint,
  DataPointType,
  Histogram,
  MetricData,
  MetricProducer,
  ResourceMetrics,
} from "@opentelemetry/sdk-metrics";
import type { MetricsRegistry } from "../metrics/prometheus.ts";

/** The constants of the package, which is loaded only if metrics are sent. */
interface Constants {
  readonly AggregationTemporality: typeof AggregationTemporality;
  readonly DataPointType: typeof DataPointType;
}

type RegistryMetric = Awaited<ReturnType<MetricsRegistry["getMetricsAsJSON"]>>[number];
/** A value of a registry; those of a histogram have names of their own. */
type RegistryValue = RegistryMetric["values"][number] & { readonly metricName?: string };

/**
 * Hands the metrics of a registry of Prometheus to OpenTelemetry, under their names: there is one definition of each. A
 * summary becomes a gauge, as OTLP wants no new ones; its quantile is an attribute.
 *
 * @param startMs when the counters began, in Unix milliseconds.
 */
export function metricProducer(
  registry: Pick<MetricsRegistry, "getMetricsAsJSON">,
  scope: { readonly name: string; readonly version: string },
  startMs: number,
  { constants, resource }: { constants: Constants; resource: ResourceMetrics["resource"] },
): MetricProducer {
  const { AggregationTemporality, DataPointType } = constants;
  const read = (metric: RegistryMetric, endMs: number): MetricData => {
    const times = { startTime: hrTime(startMs), endTime: hrTime(endMs) };
    const common = {
      descriptor: {
        ...{ name: metric.name, description: metric.help, unit: unitOf(metric.name) },
        valueType: 1,
      },
      aggregationTemporality: AggregationTemporality.CUMULATIVE,
    };
    const type = `${metric.type}`;
    if (type === "histogram") {
      const dataPoints = histogramPoints(metric.values, times);
      return { ...common, dataPointType: DataPointType.HISTOGRAM, dataPoints };
    }
    const dataPoints = metric.values.map(({ labels, value }) => ({
      ...times,
      attributes: attributesOf(labels),
      value,
    }));
    return type === "counter"
      ? { ...common, dataPointType: DataPointType.SUM, isMonotonic: true, dataPoints }
      : { ...common, dataPointType: DataPointType.GAUGE, dataPoints };
  };
  return {
    async collect() {
      const endMs = Date.now();
      const metrics = (await registry.getMetricsAsJSON())
        .filter(({ values }) => values.length > 0)
        .map((metric) => read(metric, endMs));
      return { resourceMetrics: { resource, scopeMetrics: [{ scope, metrics }] }, errors: [] };
    },
  };
}

function hrTime(ms: number): HrTime {
  const seconds = Math.floor(ms / 1000);
  return [seconds, Math.round((ms - seconds * 1000) * 1e6)];
}

function attributesOf(labels: RegistryValue["labels"]): Record<string, string> {
  return Object.fromEntries(Object.entries(labels).map(([name, value]) => [name, `${value}`]));
}

/** Returns the unit of a metric (UCUM), which the end of its name says. */
function unitOf(name: string): string {
  if (/_seconds(_total)?$/.test(name)) return "s";
  return /_bytes(_total)?$/.test(name) ? "By" : "";
}

/** Puts the series of a histogram together again. OTLP counts the values of each bucket alone. */
function histogramPoints(
  values: readonly RegistryValue[],
  times: Pick<DataPoint<Histogram>, "startTime" | "endTime">,
): DataPoint<Histogram>[] {
  const byLabels = new Map<
    string,
    { attributes: Record<string, string>; bounds: number[]; totals: number[]; sum: number }
  >();
  for (const { labels, value, metricName = "" } of values) {
    const { le, ...attributes } = attributesOf(labels);
    const key = JSON.stringify(attributes);
    const point = byLabels.get(key) ?? { attributes, bounds: [], totals: [], sum: 0 };
    byLabels.set(key, point);
    if (metricName.endsWith("_sum")) point.sum = value;
    if (le === undefined) continue;
    if (le !== "+Inf") point.bounds.push(Number(le));
    point.totals.push(value);
  }
  return [...byLabels.values()].map(({ attributes, bounds, totals, sum }) => {
    const counts = totals.map((total, index) => total - (totals[index - 1] ?? 0));
    const value = { buckets: { boundaries: bounds, counts }, sum, count: totals.at(-1) ?? 0 };
    return { ...times, attributes, value };
  });
}
