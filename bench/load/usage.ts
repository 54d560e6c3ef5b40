import { cpuSeconds, rssBytes } from "../machine.ts";

/** The processes under load: the gateway, and NATS if it is another one. */
export type Pids = { readonly gateway: number; readonly nats?: number };

/** CPU time and memory of the gateway in a span of time, and the CPU time of everything else together. */
export interface Usage {
  readonly seconds: number;
  readonly cpuSeconds: { readonly gateway?: number; readonly load?: number };
  /** The gateway's memory at the end. */
  readonly gatewayRssBytes: number | undefined;
}

/** Begins a span of time; the returned function ends it. */
export function beginUsage({ gateway, nats }: Pids): () => Usage {
  const take = () => {
    const { user, system } = process.cpuUsage();
    const load = (user + system) / 1e6 + ((nats && cpuSeconds(nats)) ?? 0);
    return { ms: performance.now(), gateway: cpuSeconds(gateway), load };
  };
  const before = take();
  return () => {
    const after = take();
    return {
      seconds: (after.ms - before.ms) / 1000,
      cpuSeconds: {
        ...(after.gateway !== undefined && { gateway: after.gateway - before.gateway! }),
        load: after.load - before.load,
      },
      gatewayRssBytes: rssBytes(gateway),
    };
  };
}
