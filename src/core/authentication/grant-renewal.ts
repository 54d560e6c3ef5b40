import type { Grant } from "../access/grant.ts";
import { type Connection, END_STEPS } from "../sessions/connection.ts";
import { regrantSteps, type Session } from "../sessions/session.ts";
import { SteppedJob, type TurnShare } from "../timing/turn-share.ts";

interface GrantRenewalParts {
  readonly turnShare: TurnShare;
  /** Returns the grant that a client has by now; `undefined`: none. */
  renewed(grant: Grant): Grant | undefined;
  /** The connections whose clients are served. */
  readonly connections: ReadonlySet<Connection>;
  readonly sessions: {
    /** Gives the sessions without a connection their present grants, or ends them; yields the steps that it takes. */
    renewDetached(): Generator<number, void, void>;
    /** The client of a connection and its session has another grant. */
    regrant(connection: Connection, session: Session, grant: Grant): void;
  };
  /** The token of a grant may end at another time than before. */
  regranted(connection: Connection): void;
}

/** Gives all clients the grants that they have by now, or ends their connections, in shares of this turn and the next ones. */
export class GrantRenewal {
  readonly #parts: GrantRenewalParts;
  #isRunning = false;
  /** Whether it must begin again: the grants have changed in the meantime. */
  #mustRun = false;

  constructor(parts: GrantRenewalParts) {
    this.#parts = parts;
  }

  /** The permissions of clients may have changed. */
  run(): void {
    this.#mustRun = true;
    if (this.#isRunning) return;
    this.#isRunning = true;
    this.#parts.turnShare.run(this, new SteppedJob(this.#renewAll()));
  }

  stop(): void {
    this.#isRunning = false;
  }

  *#renewAll(): Generator<number, void, void> {
    const { connections, sessions } = this.#parts;
    try {
      while (this.#mustRun) {
        this.#mustRun = false;
        for (const connection of connections) yield this.#renew(connection);
        yield* sessions.renewDetached();
      }
    } finally {
      this.#isRunning = false;
    }
  }

  #renew(connection: Connection): number {
    const { renewed, sessions, regranted } = this.#parts;
    const grant = renewed(connection.grant);
    if (grant === connection.grant) return 1;
    if (grant === undefined) {
      connection.end("revoked");
      return END_STEPS;
    }
    const { session } = connection;
    const steps = regrantSteps(grant, session);
    connection.grant = grant;
    if (session !== undefined) sessions.regrant(connection, session, grant);
    if (!connection.isOver) regranted(connection);
    return steps;
  }
}
