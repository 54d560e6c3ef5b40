/** Where clients of the load connect, and what they speak and subscribe to. */
export interface Endpoint {
  readonly port: number;
  readonly path: string;
  /**
   * - `"envelope"`: one text frame is one message: Spillway's plain dialect, the controls, and C.
   * - `"v1"`: `spillway.v1.json`, a frame of which may hold several messages.
   * - `"nats"`: nats-server's own WebSocket listener.
   * - `"socket.io"`: Engine.IO 4 with Socket.IO 5 on it, over WebSocket alone.
   */
  readonly dialect: "envelope" | "v1" | "nats" | "socket.io";
  /** The subject of all clients, or the prefix of their subjects. */
  readonly subject: string;
  /** The number of subjects, of which each client wants one. Default: only the one above. */
  readonly subjects?: number;
  /** Whether clients subscribe with a pattern. */
  readonly wildcard?: boolean;
  /** Whether clients offer permessage-deflate. */
  readonly deflate?: boolean;
  /**
   * How clients of Spillway acknowledge: each message, or with each read all up to the last one. Default:
   * not at all.
   */
  readonly acks?: "each" | "last";
  /** The stream that clients begin with, all messages of it. */
  readonly replays?: string;
}

export const SUBJECT = "bench.load";

/** Returns one of the streams that clients replay, and its one subject. */
export function keptStream(number: number): { readonly stream: string; readonly subject: string } {
  return { stream: `KEPT${number}`, subject: `bench.kept.${number}` };
}

export const SUBJECT_DIGITS = 5;

/** Returns the subject with this number; all of them are equally long. */
export function subjectOf(subject: string, number: number): string {
  return `${subject}.${String(number).padStart(SUBJECT_DIGITS, "0")}.x`;
}

/** Returns what a client subscribes to. */
export function wantedBy({ subject, subjects, wildcard }: Endpoint, client: number): string {
  if (subjects === undefined) return subject;
  const own = subjectOf(subject, client % subjects);
  return wildcard ? own.replace(/x$/, "*") : own;
}
