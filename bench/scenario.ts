import type { Policy } from "../src/protocol/fields.ts";
import type { LinkShape } from "../test/support/shaped-link.ts";

/** The load that a contender is measured under. */
export type Scenario = Flow | Crowd | Replay | Slow | Start;

/** Messages flow to clients for a while. */
export interface Flow {
  readonly kind: "flow";
  readonly name: string;
  readonly clients: number;
  readonly payloadBytes: number;
  /** Messages per second. `undefined`: saturated, as many as the slowest client takes. */
  readonly rate?: number;
  /** Saturated: the number of messages in flight. Default: as many as arrive in 50 ms. */
  readonly inFlight?: number;
  /** This many clients stop reading after the first message. Default: none. */
  readonly stalled?: number;
  /** Messages go to this many subjects in turn; each client wants one of them. Default: one subject for all. */
  readonly subjects?: number;
  /** Whether clients subscribe with a pattern instead of the exact subject. */
  readonly wildcard?: boolean;
  /** Whether Spillway's clients speak `spillway.v1.json`, whose frames hold whole flushes. */
  readonly v1?: boolean;
  /** Whether clients offer permessage-deflate. */
  readonly deflate?: boolean;
  /** How clients acknowledge messages; see `Endpoint.acks`. */
  readonly acks?: "each" | "last";
  /** Whether the gateway may use the load client's core too. Default: no. */
  readonly hasBothCores?: boolean;
  /** Settings of Spillway for this scenario. */
  readonly settings?: Readonly<Record<string, unknown>>;
  /** The times to measure, and to wait before, if they are not the plan's defaults. */
  readonly measureMs?: number;
  readonly warmUpMs?: number;
}

/** Thousands of clients connect and stay idle. */
export interface Crowd {
  readonly kind: "crowd";
  readonly name: string;
  readonly clients: number;
  /** This many of them connect at a time. */
  readonly atOnce: number;
  /** After that, this many messages are sent to all, one after another. */
  readonly messages: number;
  /** The number of subjects, of which each client wants one. Default: one subject for all. */
  readonly subjects?: number;
}

/** Clients reconnect all at once and replay a stream, which has one subject. */
export interface Replay {
  readonly kind: "replay";
  readonly name: string;
  readonly clients: number;
  /** Messages in each stream. */
  readonly messages: number;
  readonly payloadBytes: number;
  /** Whether the streams can be read without a consumer. */
  readonly direct: boolean;
  /** The number of clients that come back before, each to a stream of its own. */
  readonly earlier: number;
  /** Only this dialect tells a client that it has caught up. */
  readonly v1: true;
  readonly settings: Readonly<Record<string, unknown>>;
}

/** The values of some subjects change, and one client, which speaks `spillway.v1.json`, takes them too slowly. */
export interface Slow {
  readonly kind: "slow";
  readonly name: string;
  readonly policy: Policy;
  /** The number of subjects, and how often each of them changes in a second. */
  readonly subjects: number;
  readonly changes: number;
  readonly payloadBytes: number;
  /** The speed at which the client reads; 0: it stops reading after a second. Default: as fast as it can. */
  readonly readBytesPerSecond?: number;
  /** The link between the client and the gateway. Default: none. */
  readonly link?: LinkShape;
  /** Messages flow for this long, and in a quick run for this long. */
  readonly lastsMs: number;
  readonly quickMs: number;
  readonly v1: true;
  readonly settings: Readonly<Record<string, unknown>>;
}

/** A process starts and stays idle. */
export interface Start {
  readonly kind: "start";
  readonly name: string;
}

/** How long each flow is measured. */
export interface Timing {
  readonly isQuick: boolean;
  readonly warmUpMs: number;
  readonly measureMs: number;
}

/** Returns a flow that is named after its numbers. */
export function flow(
  clients: number,
  payloadBytes: number,
  rate?: number,
  rest: Partial<Flow> = {},
): Flow {
  const size = payloadBytes % 1024 === 0 ? `${payloadBytes / 1024} KiB` : `${payloadBytes} B`;
  const load = rate === undefined ? "saturated" : `${rate.toLocaleString("en")} messages/s`;
  const name = `${clients.toLocaleString("en")} clients, ${size}, ${load}`;
  return { kind: "flow", name, clients, payloadBytes, ...(rate && { rate }), ...rest };
}
