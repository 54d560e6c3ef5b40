/** Where clients of the load connect, and what is spoken there. */
export interface Endpoint {
  readonly port: number;
  readonly path: string;
  /**
   * - `"envelope"`: one text frame is one message: Spillway's plain dialect, the controls, and the
   *   C reference.
   * - `"v1"`: `spillway.v1.json`, a frame of which may hold several messages.
   * - `"nats"`: nats-server's own WebSocket listener.
   * - `"socket.io"`: Engine.IO 4 with Socket.IO 5 on it, over WebSocket alone.
   */
  readonly dialect: "envelope" | "v1" | "nats" | "socket.io";
  /** What all clients want, or what their subjects begin with. */
  readonly subject: string;
  /** So many subjects there are, of which each client wants one. Default: the one above. */
  readonly subjects?: number;
  /** Whether clients want theirs by a pattern. */
  readonly wildcard?: boolean;
  /** Whether clients offer permessage-deflate. */
  readonly deflate?: boolean;
  /**
   * How clients of Spillway acknowledge what they get: each message, or with each read all up to the
   * last. Default: not at all.
   */
  readonly acks?: "each" | "last";
  /** Whether clients begin with all that {@linkcode KEPT_STREAM} has. */
  readonly goesBack?: boolean;
}

/** The stream that clients come back to, and its one subject. */
export const KEPT_STREAM = "KEPT";
export const KEPT_SUBJECT = "bench.kept";

/** The subject of a number, always as long as the others. */
export function subjectOf(subject: string, number: number): string {
  return `${subject}.${String(number).padStart(SUBJECT_DIGITS, "0")}.x`;
}

export const SUBJECT_DIGITS = 5;

/** What a client subscribes to. */
export function wantedBy(endpoint: Endpoint, client: number): string {
  const { subject, subjects, wildcard } = endpoint;
  if (subjects === undefined) return subject;
  const own = subjectOf(subject, client % subjects);
  return wildcard ? own.replace(/x$/, "*") : own;
}
