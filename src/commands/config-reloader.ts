import process from "node:process";
import type { Config } from "../config/config.ts";
import type { ConfigFile, LoadedConfig } from "../config/load.ts";
import type { GatewayLifecycle } from "../gateway/gateway-lifecycle.ts";
import type { ReloadAnswer } from "../http/reload.ts";
import type { Host } from "./command.ts";

/** The time between two reads of a watched file. A change counts when it was read twice, so that half a file doesn't. */
const WATCH_INTERVAL_MS = 1000;

/** Reads the configuration of a process, and reads it again. */
export interface ConfigReading {
  /** The configuration at the start. */
  readonly loaded: LoadedConfig;
  /**
   * Reads the configuration again, and checks it whole.
   *
   * @param file is taken in place of what its path names now.
   */
  load(file?: ConfigFile): Promise<LoadedConfig>;
  readTextFile: Host["readTextFile"];
  setLogLevel(level: Config["logLevel"]): void;
}

/** A reload that was tried. */
export interface Reloaded {
  readonly answer: ReloadAnswer;
  /** The new configuration; `undefined`: that before stays. */
  readonly loaded?: LoadedConfig | undefined;
}

/**
 * Reloads the configuration of the gateway of this process. Never rejects.
 *
 * @param file is taken in place of what its path names now.
 */
export async function reloadGateway(
  gateway: Pick<GatewayLifecycle, "tryReload">,
  { load, setLogLevel }: ConfigReading,
  file?: ConfigFile,
): Promise<Reloaded> {
  const read: { last?: LoadedConfig } = {};
  const answer = await gateway.tryReload(async () => {
    read.last = await load(file);
    return read.last.config;
  });
  if ("fault" in answer || read.last === undefined) return { answer };
  setLogLevel(read.last.config.logLevel);
  return { answer, loaded: read.last };
}

/** Reloads the configuration of the command's gateway: on request, and when its file changes, if that is configured. */
export class ConfigReloader {
  readonly #reading: Pick<ConfigReading, "loaded" | "readTextFile">;
  readonly #carryOut: () => Promise<Reloaded>;
  #watch: FileWatch | undefined;

  /** @param carryOut reads the configuration again, and reloads it. It never rejects, and the log has the reason of a failure. */
  constructor(
    reading: Pick<ConfigReading, "loaded" | "readTextFile">,
    carryOut: () => Promise<Reloaded>,
  ) {
    this.#reading = reading;
    this.#carryOut = carryOut;
  }

  /** Reloads on SIGHUP. */
  listen(): void {
    // A terminal sends SIGHUP when its window is closed: a gateway without a file ends then, as other programs do.
    const isOfTerminal = this.#reading.loaded.file === undefined && process.stdin.isTTY === true;
    if (!isOfTerminal) process.on("SIGHUP", () => void this.reload());
  }

  /** Begins to watch the file, if the configuration says so. */
  start(): void {
    this.#follow(this.#reading.loaded);
  }

  stop(): void {
    this.#watch?.stop();
    this.#watch = undefined;
  }

  /** Reads the configuration again, and reloads it. Never rejects. */
  async reload(): Promise<ReloadAnswer> {
    const { answer, loaded } = await this.#carryOut();
    if (loaded !== undefined) this.#follow(loaded);
    return answer;
  }

  #follow({ config, file }: LoadedConfig): void {
    this.stop();
    if (!config.watchConfig || file === undefined) return;
    this.#watch = new FileWatch(file, this.#reading.readTextFile, () => void this.reload());
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
