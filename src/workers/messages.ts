import type { RevocationEntry } from "../access/revocation-entry.ts";
import type { ConfigFile } from "../config/load.ts";
import type { MetricsSnapshot } from "../metrics/worker-metrics.ts";

/** The longest time that a worker which was told to end waits until another one listens in its place. */
export const MOST_LEAVING_MS = 30_000;

/** The first message to a worker. */
export interface Assignment {
  /** From 1 on. A worker that replaces another one has its number. */
  readonly number: number;
  readonly count: number;
  /** The port for clients, and that for operators, if an earlier worker has chosen it; see `port: 0`. */
  readonly port?: number;
  readonly adminPort?: number;
  /** Whether it replaces a worker that has ended. */
  readonly isReplacement: boolean;
}

/** Names a question to workers. The answer to `"flush"` says that all earlier news were taken. */
export type Question = "readiness" | "status" | "metrics" | "revocations" | "flush";

/** A message from one worker to all others. Numbers, texts and lists only, as it is sent as JSON. */
export type News =
  | {
      readonly kind: "posted";
      readonly subject: string;
      /** In base64. */
      readonly data: string;
      readonly headers?: readonly (readonly [name: string, values: readonly string[]])[];
    }
  | { readonly kind: "revoked"; readonly entries: readonly RevocationEntry[] }
  /** The worker stood still, and was not sent what was posted since. */
  | { readonly kind: "missed" };

/** A message from a worker to its supervisor. */
export type WorkerMessage =
  /** Asks at its start for the file of the configuration that is in effect. */
  | { readonly type: "file" }
  /** It takes news and questions from now on. */
  | { readonly type: "hearing" }
  | { readonly type: "listening"; readonly port: number; readonly adminPort?: number }
  /** Asks about all workers. @property own its own answer, for which it isn't asked then. */
  | {
      readonly type: "ask";
      readonly id: number;
      readonly question: Question;
      readonly own?: unknown;
    }
  /** Answers what it was asked itself. */
  | { readonly type: "answer"; readonly id: number; readonly answer?: unknown }
  | { readonly type: "news"; readonly news: News }
  /** Its last metrics: it has stopped. It ends when they are confirmed by an empty answer. */
  | { readonly type: "stopped"; readonly id: number; readonly metrics: MetricsSnapshot }
  /** It was told to end, and not by its supervisor: it serves until it is told to `leave`. */
  | { readonly type: "leaving" }
  /** An operator asks for a drain of all. */
  | { readonly type: "drain" }
  /** An operator asks for a reload of all. The answer says how it ended. */
  | { readonly type: "reload"; readonly id: number };

/** A message from the supervisor to a worker. */
export type SupervisorMessage =
  | { readonly type: "ask"; readonly id: number; readonly question: Question }
  /** Answers about all workers. */
  | { readonly type: "answer"; readonly id: number; readonly answer?: unknown }
  | { readonly type: "news"; readonly news: News }
  | { readonly type: "file"; readonly file?: ConfigFile | undefined }
  /** The worker answers how its reload has ended. @property file the file of the configuration; without it, the worker reads it itself. */
  | { readonly type: "reload"; readonly id: number; readonly file?: ConfigFile | undefined }
  /** Another worker listens in its place: it drains. */
  | { readonly type: "leave" }
  | { readonly type: "drain" }
  | { readonly type: "stop" };
