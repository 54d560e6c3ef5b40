import type { RevocationEntry } from "../access/revocation-entry.ts";
import type { SourceMessage } from "../core/ports/source.ts";
import type { MetricsPage, Readiness, Status } from "../http/status.ts";
import type { MetricsSnapshot } from "../metrics/worker-metrics.ts";

/** A message from one process of a gateway to the others. */
export interface WorkerReport {
  readiness(): Readiness;
  status(): Status;
  metrics(): Promise<MetricsSnapshot>;
  /** The tokens that are revoked, if no process hears of them from NATS. */
  revocations(): readonly RevocationEntry[];
  /** Takes a message that was posted to the in-memory source of another process. */
  posted(message: SourceMessage): void;
  /** This process stood still for too long, and was not told what was posted to the in-memory sources of others. */
  missed(): void;
  /** Takes revocations of another process. */
  revoked(entries: readonly RevocationEntry[]): void;
}

/** The other processes of a gateway that runs in several. */
export interface Siblings {
  /** Whether this process logs what is the same in all of them. */
  readonly announces: boolean;
  /** Answers the questions of others by this report from now on. */
  join(report: WorkerReport): void;
  /** Asks all processes, this one too. Returns this one's own answer if there is none in time. */
  readiness(): Promise<Readiness>;
  /** See {@linkcode readiness}. */
  status(): Promise<Status>;
  /**
   * Asks all processes, this one too.
   *
   * @throws Error if there is no answer in time: the figures of this process alone would be taken for those of all.
   */
  metrics(): Promise<MetricsPage>;
  /** This process is about to take clients: it hears of posts and revocations from now on. */
  opens(): void;
  /**
   * This process has stopped: what it has counted is told, and it answers no more.
   *
   * @param timeoutMs how long it waits for a confirmation.
   */
  stopped(timeoutMs: number): Promise<void>;
  /** Tells the others of a message that was posted to the in-memory source of this process. */
  posted(message: SourceMessage): void;
  /**
   * Calls when the others can take another message, as they may be behind.
   *
   * @param signal if it is aborted before, nothing is called.
   */
  whenRoom(post: () => void, signal: AbortSignal): void;
  /** Tells the others that tokens were revoked. */
  revoked(entries: readonly RevocationEntry[]): void;
}
