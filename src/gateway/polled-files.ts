import { readFile } from "node:fs/promises";
import type { FileReader } from "../access/watched-files.ts";
import type { Cancel, Clock } from "../core/ports/clock.ts";

/** How often the files are read. */
const INTERVAL_MS = 5000;

/**
 * Files that are read every five seconds while the gateway runs. Notifications of the operating system would miss
 * changes: of network file systems, and of the links by which Kubernetes replaces the files of a secret.
 */
export class PolledFiles {
  readonly #clock: Pick<Clock, "after">;
  readonly #read: (path: string) => Promise<string>;
  readonly #watchers = new Set<() => Promise<void>>();
  #cancel: Cancel | undefined;

  /** @param readTextFile reads them. Default: from the file system. */
  constructor(clock: Pick<Clock, "after">, readTextFile?: (path: string) => string) {
    this.#clock = clock;
    this.#read =
      readTextFile === undefined
        ? (path) => readFile(path, "utf8")
        : async (path) => readTextFile(path);
  }

  /** A file by its path. It need not exist. */
  file(path: string): FileReader {
    return {
      name: path,
      read: () => this.#read(path),
      watch: (changed) => {
        this.#watchers.add(changed);
        return () => void this.#watchers.delete(changed);
      },
    };
  }

  /** Begins to read the files again and again, now for the first time. Does nothing while it runs. */
  start(): void {
    if (this.#cancel === undefined) this.#poll();
  }

  /** Reads the files no more. May be called twice. */
  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }

  /** Reads all files now, and takes the new contents of those that have changed. */
  async readNow(): Promise<void> {
    await Promise.all([...this.#watchers].map((changed) => changed()));
  }

  #poll(): void {
    this.#cancel = this.#clock.after(INTERVAL_MS, () => this.#poll());
    void this.readNow();
  }
}
