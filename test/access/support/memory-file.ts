import type { FileReader } from "../../../src/access/watched-files.ts";

/** A file that a test writes. */
export class MemoryFile implements FileReader {
  readonly name = "secrets.json";
  #contents: string | Error;
  readonly #watchers = new Set<() => void>();
  /** Reads that a test lets go on. */
  #gate: Promise<void> = Promise.resolve();
  #open: () => void = () => {};

  constructor(contents: string) {
    this.#contents = contents;
  }

  get watchers(): number {
    return this.#watchers.size;
  }

  async read(): Promise<string> {
    const contents = this.#contents;
    await this.#gate;
    if (contents instanceof Error) throw contents;
    return contents;
  }

  watch(changed: () => void): () => void {
    this.#watchers.add(changed);
    return () => void this.#watchers.delete(changed);
  }

  /** Lets reads wait until `release` is called. */
  hold(): void {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#gate = promise;
    this.#open = resolve;
  }

  release(): void {
    this.#gate = Promise.resolve();
    this.#open();
  }

  /** Writes, and tells who watches. */
  write(contents: string | Error): void {
    this.#contents = contents;
    for (const changed of this.#watchers) changed();
  }
}
