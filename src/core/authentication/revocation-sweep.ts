import type { Grant } from "../access/grant.ts";
import { type Connection, END_STEPS } from "../sessions/connection.ts";
import { SteppedJob, type TurnShare } from "../timing/turn-share.ts";
import { WorkQueue } from "../timing/work-queue.ts";

interface RevocationSweepParts {
  readonly turnShare: TurnShare;
  /** Whether the token of a grant is revoked. */
  isRevoked(grant: Grant): boolean;
  /** The connections whose clients are served. */
  readonly connections: ReadonlySet<Connection>;
  readonly sessions: {
    /** Ends the sessions without a connection whose token is revoked; yields the steps that it takes to find them. */
    endRevoked(): Generator<number, void, void>;
  };
}

/** Finds the connections and sessions whose token is revoked, and ends them, in shares of this turn and the next ones. */
export class RevocationSweep {
  readonly #parts: RevocationSweepParts;
  readonly #found: WorkQueue<Connection>;
  #isRunning = false;
  /** Whether it must begin again: tokens were revoked in the meantime. */
  #mustRun = false;

  constructor(parts: RevocationSweepParts) {
    this.#parts = parts;
    this.#found = new WorkQueue(parts.turnShare, (connection) => this.#end(connection));
  }

  /** Tokens were revoked. */
  run(): void {
    this.#mustRun = true;
    if (this.#isRunning) return;
    this.#isRunning = true;
    this.#parts.turnShare.run(this, new SteppedJob(this.#sweep()));
  }

  stop(): void {
    this.#isRunning = false;
    this.#found.clear();
  }

  *#sweep(): Generator<number, void, void> {
    const { connections, sessions, isRevoked } = this.#parts;
    try {
      while (this.#mustRun) {
        this.#mustRun = false;
        for (const connection of connections) {
          if (isRevoked(connection.grant)) this.#found.add(connection);
          yield 1;
        }
        yield* sessions.endRevoked();
      }
    } finally {
      this.#isRunning = false;
    }
  }

  #end(connection: Connection): number {
    // The client may have sent a new token in the meantime.
    if (!this.#parts.isRevoked(connection.grant)) return 1;
    connection.end("revoked");
    return END_STEPS;
  }
}
