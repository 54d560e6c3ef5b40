/** What is asked of a contender. */
export type Scenario = Flow | Crowd | Replay | Start;

/** Messages flow to clients for a while. */
export interface Flow {
  readonly kind: "flow";
  readonly name: string;
  readonly clients: number;
  readonly payloadBytes: number;
  /** Messages per second; `undefined`: saturated, as many as the slowest client takes. */
  readonly rate?: number;
  /** So many of the clients stop to read when the first message has come. Default: none. */
  readonly stalled?: number;
  /** Messages go to so many subjects in turn, and each client wants one of them. Default: all the same. */
  readonly subjects?: number;
  /** Whether clients want theirs by a pattern instead of exactly. */
  readonly wildcard?: boolean;
  /** Whether Spillway's clients speak `spillway.v1.json`, whose frames hold whole flushes. */
  readonly v1?: boolean;
  /** Whether clients offer permessage-deflate. */
  readonly deflate?: boolean;
  /** How clients acknowledge what they get; see `Endpoint.acks`. */
  readonly acks?: "each" | "last";
  /** Of Spillway, beside what it needs. */
  readonly settings?: Readonly<Record<string, unknown>>;
  /** How long is measured, where it is not as long as in the others. */
  readonly measureMs?: number;
}

/** Very many clients connect and are idle. */
export interface Crowd {
  readonly kind: "crowd";
  readonly name: string;
  readonly clients: number;
  /** So many of them connect at a time. */
  readonly atOnce: number;
  /** So many messages are then sent to all, one after another. */
  readonly messages: number;
}

/** Clients come back all at once to what a stream has kept. */
export interface Replay {
  readonly kind: "replay";
  readonly name: string;
  readonly clients: number;
  /** So many the stream has. */
  readonly messages: number;
  readonly payloadBytes: number;
  /** Only that dialect of Spillway's is told when all is there. */
  readonly v1: true;
  readonly settings: Readonly<Record<string, unknown>>;
}

/** A process is started and left alone. */
export interface Start {
  readonly kind: "start";
  readonly name: string;
}

export interface Timing {
  readonly warmUpMs: number;
  readonly measureMs: number;
}

/** What a scenario loads its contender with, by its numbers. */
export function flow(
  clients: number,
  payloadBytes: number,
  rate: number | undefined,
  rest: Partial<Flow> = {},
): Flow {
  const load = rate === undefined ? "saturated" : `${rate.toLocaleString("en")} messages/s`;
  const name = `${clients.toLocaleString("en")} clients, ${sizeOf(payloadBytes)}, ${load}`;
  return {
    kind: "flow",
    name,
    clients,
    payloadBytes,
    ...(rate !== undefined && { rate }),
    ...rest,
  };
}

function sizeOf(bytes: number): string {
  return bytes % 1024 === 0 ? `${bytes / 1024} KiB` : `${bytes} B`;
}
