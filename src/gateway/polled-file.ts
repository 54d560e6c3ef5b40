import { readFile } from "node:fs/promises";
import type { FileReader } from "../access/watched-file.ts";
import type { Cancel, Clock } from "../core/ports/clock.ts";

/** How often a file is read. */
const INTERVAL_MS = 5000;

/**
 * A file that is read every five seconds. Notifications of the operating system would miss changes: of network file
 * systems, and of the links by which Kubernetes replaces the files of a secret.
 */
export class PolledFile implements FileReader {
  readonly name: string;
  readonly #clock: Clock;

  constructor(path: string, clock: Clock) {
    this.name = path;
    this.#clock = clock;
  }

  read(): Promise<string> {
    return readFile(this.name, "utf8");
  }

  watch(changed: () => void): () => void {
    let cancel: Cancel;
    const next = (): void => {
      cancel = this.#clock.after(INTERVAL_MS, () => {
        changed();
        next();
      });
    };
    next();
    return () => cancel();
  }
}
