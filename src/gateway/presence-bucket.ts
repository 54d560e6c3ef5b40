import type { Config } from "../config/config.ts";
import type { Presence } from "../core/presence/presence.ts";
import { ENTRY_LIVES } from "../core/presence/presence-table.ts";
import type { PresenceStatus } from "../http/status.ts";
import { type GatewayReads, NatsSource } from "../source/nats.ts";
import type { GatewaySource } from "./create-source.ts";

/** Returns what the source reads for presence; `undefined` if presence is off. */
export function presenceReads(
  { presenceBucket: name, presenceTtlMs }: Config,
  presence: () => Presence | undefined,
): GatewayReads["presence"] {
  if (name === undefined) return undefined;
  const listener = {
    changed: (key: string, data: Uint8Array | undefined, madeMs: number) =>
      presence()?.changed(key, data, madeMs),
    lifeChecked: (isLongEnough: boolean) => presence()?.lifeChecked(isLongEnough),
  };
  const needs = {
    key: "presence_bucket",
    lifeMs: ENTRY_LIVES * presenceTtlMs,
    otherwise: "people who are there may not count",
    storage: "memory",
  } as const;
  return { name, needs, listener };
}

/** Returns what `/healthz` shows of presence; `undefined` if it is off. */
export function presenceStatus(
  presence: Presence | undefined,
  source: GatewaySource,
): PresenceStatus | undefined {
  if (presence === undefined) return undefined;
  const { connections, watches, isStale } = presence.figures;
  const problem = source instanceof NatsSource ? source.presenceProblem : undefined;
  return { connections, watches, stale: isStale, ...(problem !== undefined && { problem }) };
}
