import { SpillwayError } from "../core/errors.ts";
import type { Log } from "../core/log.ts";
import type { MessageSource, SourceListener, SourceStatus } from "../core/source.ts";
import { connectNats, type NatsConnection, type NatsOptions } from "./connect.ts";
import { NatsLife } from "./life.ts";
import { readServers } from "./servers.ts";
import { checkSubjects } from "./subjects.ts";

/** What a {@linkcode NatsSource} is made of. */
export interface NatsSourceOptions {
  /** What is subscribed to, wildcards allowed; at least one. Overlapping ones deliver once. */
  readonly subjects: readonly string[];
  readonly log: Log;
  /** A connection of its own, made at `start`, or one that stays its owner's and is never closed. */
  readonly nats: { readonly options: NatsOptions } | { readonly connection: NatsConnection };
}

/** Core NATS: at most once, as long as we are connected, and no history. */
export class NatsSource implements MessageSource {
  readonly name = "NATS";
  readonly #options: NatsSourceOptions;
  #life: NatsLife | undefined;

  /** @throws SpillwayError `SUBJECT_INVALID`, `SUBJECT_MISSING` or `NATS_OPTIONS`. */
  constructor(options: NatsSourceOptions) {
    checkSubjects(options.subjects);
    if ("options" in options.nats) readServers(options.nats.options);
    this.#options = options;
  }

  get status(): SourceStatus {
    return this.#life?.status ?? { state: "idle" };
  }

  /** May be called again once `stop` was called, even before that has ended. */
  start(listener: SourceListener): void {
    const before = this.#life;
    if (before !== undefined && !before.ending) {
      throw new SpillwayError("invalid", "SOURCE_STARTED", "Cannot start a source that is started");
    }
    const { subjects, log, nats } = this.#options;
    this.#life = new NatsLife({
      subjects,
      log,
      listener,
      after: before?.done,
      connection:
        "connection" in nats
          ? { owned: false, open: async () => nats.connection }
          : { owned: true, open: () => connectNats(nats.options) },
    });
  }

  async stop(timeoutMs: number): Promise<void> {
    const life = this.#life;
    await life?.end(timeoutMs);
    if (this.#life === life) this.#life = undefined;
  }
}
