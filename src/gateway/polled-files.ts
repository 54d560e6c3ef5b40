import { readFile } from "node:fs/promises";
import type { FileReader } from "../access/watched-file.ts";
import type { Cancel, Clock } from "../core/ports/clock.ts";

/** How often the files are read. */
const INTERVAL_MS = 5000;

/**
 * Files that are read every five seconds while the gateway runs. Notifications of the operating system would miss
 * changes: of network file systems, and of the links by which Kubernetes replaces the files of a secret.
 */
export class PolledFiles {
  readonly #clock: Pick<Clock, "after">;
  readonly #watchers = new Set<() => void>();
  #cancel: Cancel | undefined;

  constructor(clock: Pick<Clock, "after">) {
    this.#clock = clock;
  }

  /** A file by its path. It need not exist. */
  file(path: string): FileReader {
    return {
      name: path,
      read: () => readFile(path, "utf8"),
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

  #poll(): void {
    this.#cancel = this.#clock.after(INTERVAL_MS, () => this.#poll());
    for (const changed of this.#watchers) changed();
  }
}
