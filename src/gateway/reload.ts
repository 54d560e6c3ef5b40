import type { Access } from "../access/access.ts";
import type { Authenticator } from "../access/authenticator.ts";
import type { WatchedFiles } from "../access/watched-files.ts";
import { type ConfigChange, changesBetween } from "../config/changes.ts";
import type { Config } from "../config/config.ts";
import type { Key } from "../config/keys.ts";
import type { Broadcaster } from "../core/broadcaster.ts";
import type { Clients } from "../core/clients.ts";
import { SpillwayError } from "../core/ports/errors.ts";
import type { Selection } from "../core/subject/subject.ts";
import type { ServerTls } from "../runtime/runtime.ts";
import type { AdminListener } from "./admin-listener.ts";
import { accessOptions } from "./create-access.ts";
import type { LiveConfig } from "./live-config.ts";
import type { PolledFiles } from "./polled-files.ts";
import { longestLifeMs } from "./revocation-control.ts";

interface ReloadParts {
  readonly live: LiveConfig;
  readonly access: Access;
  readonly admin: AdminListener;
  readonly clients: Clients;
  /** The broadcasters of the accounts that are open. */
  readonly broadcasters: () => Iterable<Pick<Broadcaster, "exposureChanged">>;
  readonly files: PolledFiles;
  /** The time for which revocations are kept. */
  readonly revocationsLastMs: number;
  openAuthenticators(
    config: Config,
    before: { readonly config: Config; readonly authenticators: readonly Authenticator[] },
  ): Promise<readonly Authenticator[]>;
  /** Reads the files of TLS; `undefined` if there are none. */
  openTls(config: Config): Promise<WatchedFiles<ServerTls> | undefined>;
  /** Returns what clients may publish to that need no token. */
  publishSubjects(): Selection;
}

/** The parts of a reload that the engine itself carries out. */
export interface ReloadTarget {
  /** Whether it listens with TLS now. */
  readonly hasTls: boolean;
  /** Shows other certificates from now on. */
  setTls(tls: WatchedFiles<ServerTls>): void;
  /** `max_clients` may be another one. */
  limitsChanged(): void;
}

/** A change that a key allows, but not this value of it. */
interface Obstacle {
  readonly key: Key;
  readonly reason: string;
}

/** Replaces the configuration of a gateway, all of it or nothing. */
export class Reload {
  readonly #parts: ReloadParts;

  constructor(parts: ReloadParts) {
    this.#parts = parts;
  }

  /**
   * Prepares everything that may fail, and then changes all in one turn of the event loop. Clients get their new grants in that
   * turn and the next ones.
   *
   * @returns the keys that have other values than before.
   * @throws SpillwayError `"CONFIG_INVALID"` (invalid) if a file can't be used, `"RESTART_NEEDED"` (invalid) if a change
   * needs a restart. Nothing has changed then.
   */
  async run(config: Config, target: ReloadTarget): Promise<readonly ConfigChange[]> {
    const { live, access, admin, clients, files } = this.#parts;
    const before = live.whole;
    const changes = changesBetween(before, config);
    const fixed = changes.filter(({ reloads }) => !reloads);
    if (fixed.length > 0) throw restartNeeded(fixed, []);
    const { authenticators: former } = access;
    const authenticators = await this.#parts.openAuthenticators(config, {
      config: before,
      authenticators: former,
    });
    const obstacles = this.#obstacles(before, config, authenticators);
    if (obstacles.length > 0) throw restartNeeded([], obstacles);
    const changeAdmin = await admin.prepare(config);
    const isTlsChanged = changes.some(({ key }) => key.startsWith("tls_"));
    const tls = isTlsChanged && target.hasTls ? await this.#parts.openTls(config) : undefined;

    live.replace(config);
    access.replace(accessOptions(config, this.#parts.publishSubjects()), authenticators);
    changeAdmin();
    if (tls !== undefined) target.setTls(tls);
    target.limitsChanged();
    for (const broadcaster of this.#parts.broadcasters()) broadcaster.exposureChanged();
    clients.renewGrants();
    await files.readNow();
    return changes;
  }

  #obstacles(
    before: Config,
    after: Config,
    authenticators: readonly Authenticator[],
  ): readonly Obstacle[] {
    const obstacles: Obstacle[] = [];
    if ((before.tlsCertFile === undefined) !== (after.tlsCertFile === undefined)) {
      obstacles.push({ key: "tls_cert_file", reason: "turns TLS on or off" });
    }
    if (authenticators.length > 0 !== this.#parts.access.isRequired) {
      const keys = ["tokens_file", "passwords_file", "issuers", "anonymous"];
      const key = changesBetween(before, after).find((one) => keys.includes(one.key))?.key;
      obstacles.push({ key: key ?? "anonymous", reason: "decides whether clients need a token" });
    }
    if (longestLifeMs(after) > this.#parts.revocationsLastMs) {
      const keys = ["tokens_file", "issuers", "clock_tolerance"];
      const key = changesBetween(before, after).find((one) => keys.includes(one.key))?.key;
      obstacles.push({
        key: key ?? "issuers",
        reason: "lets tokens live longer than revocations are kept",
      });
    }
    return obstacles;
  }
}

function restartNeeded(
  changes: readonly ConfigChange[],
  obstacles: readonly Obstacle[],
): SpillwayError {
  const told = [
    ...changes.map(
      ({ key, before, after }) =>
        `"${key}" is ${before ?? "not set"} and would be ${after ?? "not set"}`,
    ),
    ...obstacles.map(({ key, reason }) => `the new "${key}" ${reason}`),
  ];
  const message = `Cannot reload the configuration without a restart, and nothing was changed: ${told.join("; ")}`;
  return new SpillwayError("RESTART_NEEDED", message);
}
