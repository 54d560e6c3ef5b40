import { cross, perContender } from "./block-kinds.ts";
import type { Contender } from "./contenders/contender.ts";
import type { Block } from "./plan.ts";
import { flow } from "./scenario.ts";

const MEASURED = { measureMs: 1500 };
/** Longer, as the kernel takes some megabytes for each reader that has stalled. */
const STALLED_MS = 6000;
const MANY_STALLED = 200;
export const GOVERNED_BYTES = 64 * 1024 * 1024;

/** The names of blocks in which targets are looked for. */
export const V1 = "Several messages in a frame";
export const COMPRESSION = "Compression";
export const AT_LEAST_ONCE = "At least once";
export const GOVERNOR = "Two hundred stalled readers";

/** Clients that each want something else. */
export function subjects(contenders: readonly Contender[]): Block {
  const rate = 100_000;
  const each = (count: number, wildcard: boolean) =>
    flow(count, 128, rate, {
      name: `${count.toLocaleString("en")} clients, ${wildcard ? "a pattern" : "an exact subject"} each`,
      subjects: count,
      wildcard,
      ...MEASURED,
    });
  const scenarios = [each(100, false), each(1_000, true), each(10_000, false)];
  return {
    name: "A subject for each client",
    about:
      "100,000 messages/s of 128 B come in, each for one client. Ratios are against 100 clients: what a message costs grows with the clients that want it, not with those that there are.",
    cells: perContender(scenarios, contenders),
    baseline: scenarios[0]!,
  };
}

/** The dialect whose frames hold whole flushes, beside the plain one. */
export function batches(contenders: readonly Contender[]): Block {
  const scenarios = [10_000, undefined].map((rate) => {
    const { name } = flow(100, 128, rate);
    return flow(100, 128, rate, { name: `v1: ${name}`, v1: true });
  });
  return {
    name: V1,
    about:
      "Clients of spillway.v1.json: a flush is one frame, also on sockets that can't join frames.",
    cells: cross(scenarios, contenders),
  };
}

/** What compression costs, for few and for many clients. */
export function compression(contenders: readonly Contender[]): Block {
  const of = (clients: number, deflate: boolean) =>
    flow(clients, 1024, 100_000 / clients, {
      name: `${clients.toLocaleString("en")} clients, ${deflate ? "compressed" : "as it is"}`,
      deflate,
      settings: { compression: deflate, compression_threshold_bytes: 0 },
      ...MEASURED,
    });
  const scenarios = [of(100, true), of(1_000, true), of(1_000, false)];
  return {
    name: COMPRESSION,
    about:
      "100,000 deliveries/s of 1 KiB. Ratios are against 100 compressed clients. What is compressed is not looked into, so it has no latency.",
    cells: perContender(scenarios, contenders),
    baseline: scenarios[0]!,
  };
}

/** Room for what is under way when it is saturated, and for what a loaded machine makes late. */
const ACKED = {
  delivery_mode: "at-least-once",
  ack_timeout: "30s",
  max_inflight_messages: 100_000,
  max_inflight_bytes: 64 * 1024 * 1024,
};

/** Acknowledged delivery beside that which is not. */
export function atLeastOnce(contenders: readonly Contender[]): Block {
  const load = [100, 128, undefined] as const;
  const scenarios = [
    flow(...load, { name: "at-most-once", v1: true }),
    flow(...load, {
      name: "at-least-once, all up to one",
      v1: true,
      acks: "last",
      settings: ACKED,
    }),
    flow(...load, { name: "at-least-once, each for itself", acks: "each", settings: ACKED }),
  ];
  return {
    name: AT_LEAST_ONCE,
    about:
      "100 clients, 128 B, saturated. Clients of spillway.v1.json acknowledge with each read all that came; plain ones each message for itself, as StreamKit's do. Ratios are against at-most-once.",
    cells: perContender(scenarios, contenders),
    baseline: scenarios[0]!,
  };
}

/** Very many clients that each acknowledge. */
export function acknowledging(contenders: readonly Contender[]): Block {
  const each = { acks: "each", settings: ACKED, ...MEASURED } as const;
  const scenarios = [
    flow(1_000, 128, 100, { name: "1,000 clients, at-most-once", ...MEASURED }),
    flow(1_000, 128, 1_000, { name: "1,000 clients, 1,000 acks/s", subjects: 1_000, ...each }),
    flow(1_000, 128, 100, { name: "1,000 clients, 100,000 acks/s", ...each }),
  ];
  return {
    name: "A thousand clients that acknowledge",
    about:
      "128 B to 1,000 clients, who acknowledge each message for itself: 1,000 messages/s, each for one of them, and 100 for all. Ratios are against 100,000 deliveries/s in at-most-once.",
    cells: perContender(scenarios, contenders),
    baseline: scenarios[0]!,
  };
}

/** Many clients that read nothing, and a bound on what waits for all of them together. */
export function governor(contenders: readonly Contender[]): Block {
  const settings = {
    policy: "drop-oldest",
    max_total_queue_bytes: GOVERNED_BYTES,
    write_timeout: "1h",
  };
  const load = { settings, measureMs: STALLED_MS };
  const without = flow(100, 1024, 1_500, { name: "100 read", ...load });
  const stalled = flow(100 + MANY_STALLED, 1024, 1_500, {
    name: `100 read, ${MANY_STALLED} stall`,
    stalled: MANY_STALLED,
    ...load,
  });
  return {
    name: GOVERNOR,
    about:
      "1,500 messages/s of 1 KiB; max_total_queue_bytes is 64 MiB. The figures are those of the 100 that read, ratios against the same without the others.",
    cells: perContender([without, stalled], contenders),
    baseline: without,
  };
}
