import process from "node:process";
import type { ConfigChange } from "../config/changes.ts";
import type { Config } from "../config/config.ts";
import type { ConfigFile, LoadedConfig } from "../config/load.ts";
import type { GatewayLifecycle } from "../gateway/gateway-lifecycle.ts";
import type { Host } from "./command.ts";

/** The time between two reads of a watched file. A change counts when it was read twice, so that half a file doesn't. */
const WATCH_INTERVAL_MS = 1000;

/** Reads the configuration of a process, and reads it again. */
export interface ConfigReading {
  /** The configuration at the start. */
  readonly loaded: LoadedConfig;
  /** Reads the configuration again, and checks it whole. */
  load(): Promise<LoadedConfig>;
  readTextFile: Host["readTextFile"];
  setLogLevel(level: Config["logLevel"]): void;
}

interface ReloaderParts extends ConfigReading {
  readonly gateway: GatewayLifecycle;
  /** Returns the configuration of this process. */
  adapt(config: Config): Config;
}

/** Reloads the configuration of the command's gateway: on request, and when its file changes, if that is configured. */
export class ConfigReloader {
  readonly #parts: ReloaderParts;
  #watch: FileWatch | undefined;

  constructor(parts: ReloaderParts) {
    this.#parts = parts;
  }

  /** Reloads on SIGHUP, and when an operator asks for it. */
  listen(): void {
    // A terminal sends SIGHUP when its window is closed: a gateway without a file ends then, as other programs do.
    const isOfTerminal = this.#parts.loaded.file === undefined && process.stdin.isTTY === true;
    // The log has the reason of a failure.
    if (!isOfTerminal) process.on("SIGHUP", () => void this.reload().catch(() => {}));
    this.#parts.gateway.onReloadRequest = () => this.reload();
  }

  /** Begins to watch the file, if the configuration says so. */
  start(): void {
    this.#follow(this.#parts.loaded);
  }

  stop(): void {
    this.#watch?.stop();
    this.#watch = undefined;
  }

  /**
   * Reads the configuration again, and reloads it; see `GatewayLifecycle.reload`.
   *
   * @throws SpillwayError as that does.
   */
  async reload(): Promise<readonly ConfigChange[]> {
    const { gateway, load, adapt, setLogLevel } = this.#parts;
    let loaded: LoadedConfig | undefined;
    const changes = await gateway.reload(async () => {
      loaded = await load();
      return adapt(loaded.config);
    });
    setLogLevel(gateway.config.logLevel);
    if (loaded !== undefined) this.#follow(loaded);
    return changes;
  }

  #follow({ config, file }: LoadedConfig): void {
    this.stop();
    if (!config.watchConfig || file === undefined) return;
    this.#watch = new FileWatch(file, this.#parts.readTextFile, () => {
      // The log has the reason of a failure.
      this.reload().catch(() => {});
    });
  }
}

/** A file that is read again and again: by its path, so that renamed files and replaced links count. */
class FileWatch {
  readonly #path: string;
  readonly #read: Host["readTextFile"];
  readonly #changed: () => void;
  /** The contents that are known, and those that were read last. */
  #known: string;
  #last: string | undefined;
  #timer: ReturnType<typeof setTimeout>;
  #isStopped = false;

  constructor({ path, text }: ConfigFile, read: Host["readTextFile"], changed: () => void) {
    this.#path = path;
    this.#known = text;
    this.#read = read;
    this.#changed = changed;
    this.#timer = this.#lookLater();
  }

  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#timer);
  }

  #lookLater(): ReturnType<typeof setTimeout> {
    return setTimeout(() => void this.#look(), WATCH_INTERVAL_MS);
  }

  async #look(): Promise<void> {
    // A file that isn't there may only be about to be replaced: its absence counts like contents.
    const text = await this.#read(this.#path).catch(() => "");
    if (this.#isStopped) return;
    const isWhole = text === this.#last;
    this.#last = text;
    this.#timer = this.#lookLater();
    if (!isWhole || text === this.#known) return;
    this.#known = text;
    this.#changed();
  }
}
