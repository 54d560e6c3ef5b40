import { Gauge } from "prom-client";

/** Quantiles that the core has computed: prom-client's summary only takes single values. */
export class MeterSummary extends Gauge {
  override async get(): ReturnType<Gauge["get"]> {
    return { ...(await super.get()), type: "summary" as never };
  }
}
