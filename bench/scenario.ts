/** The load that a contender is measured under. */
export type Scenario = Flow | Crowd | Replay | Start;

/** Messages flow to clients for a while. */
export interface Flow {
  readonly kind: "flow";
  readonly name: string;
  readonly clients: number;
  readonly payloadBytes: number;
  /** Messages per second. `undefined`: saturated, as many as the slowest client takes. */
  readonly rate?: number;
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
  /** Settings of Spillway for this scenario. */
  readonly settings?: Readonly<Record<string, unknown>>;
  /** How long to measure, if it is not the plan's default. */
  readonly measureMs?: number;
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
}

/** Clients reconnect all at once and replay a stream. */
export interface Replay {
  readonly kind: "replay";
  readonly name: string;
  readonly clients: number;
  /** Messages in the stream. */
  readonly messages: number;
  readonly payloadBytes: number;
  /** Only this dialect tells a client that it has caught up. */
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
