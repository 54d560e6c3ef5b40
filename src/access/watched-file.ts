import { reasonOf } from "../core/ports/errors.ts";
import type { Log } from "../core/ports/log.ts";

/** A file with keys, tokens or passwords. */
export interface FileReader {
  /** What messages call it: its path. */
  readonly name: string;
  /** @throws an error in words for people if it can't be read. */
  read(): Promise<string>;
  /**
   * Calls after each change; it may also call when nothing has changed.
   *
   * @returns a function that ends it.
   */
  watch(changed: () => void): () => void;
}

/** A file that can't be used. The message completes the sentence "The file …", and quotes nothing of it. */
export class FileFault extends Error {
  override readonly name = "FileFault";
}

/** The contents of a file, read again when it changes. If the new contents can't be used, the last good ones count. */
export class WatchedFile<T> {
  readonly #file: FileReader;
  readonly #parse: (text: string) => T | Promise<T>;
  readonly #log: Log;
  readonly #unwatch: () => void;
  #value: T;
  #isReading = false;
  #isStale = false;
  #isStopped = false;

  private constructor(
    file: FileReader,
    parse: (text: string) => T | Promise<T>,
    log: Log,
    value: T,
  ) {
    this.#file = file;
    this.#parse = parse;
    this.#log = log;
    this.#value = value;
    this.#unwatch = file.watch(() => void this.#reload());
  }

  /**
   * Reads a file.
   *
   * @param parse throws `FileFault` if the contents can't be used.
   * @throws FileFault if the file can't be read or used.
   */
  static async open<T>(
    file: FileReader,
    parse: (text: string) => T | Promise<T>,
    log: Log,
  ): Promise<WatchedFile<T>> {
    return new WatchedFile(file, parse, log, await load(file, parse));
  }

  get value(): T {
    return this.#value;
  }

  stop(): void {
    this.#isStopped = true;
    this.#unwatch();
  }

  /** Reads one version after another: an older one never replaces a newer one. */
  async #reload(): Promise<void> {
    this.#isStale = true;
    if (this.#isReading) return;
    this.#isReading = true;
    while (this.#isStale && !this.#isStopped) {
      this.#isStale = false;
      await this.#loadOnce();
    }
    this.#isReading = false;
  }

  async #loadOnce(): Promise<void> {
    const { name: file } = this.#file;
    try {
      const value = await load(this.#file, this.#parse);
      if (this.#isStopped) return;
      this.#value = value;
      this.#log.info("Read {file} again", { event: "file_reloaded", file });
    } catch (error) {
      if (this.#isStopped) return;
      const properties = { event: "file_reload_failed", file, reason: reasonOf(error) };
      this.#log.error(
        "Cannot use the new contents of {file}, so the old ones count: the file {reason}",
        properties,
      );
    }
  }
}

async function load<T>(file: FileReader, parse: (text: string) => T | Promise<T>): Promise<T> {
  let text: string;
  try {
    text = await file.read();
  } catch (error) {
    throw new FileFault(`can't be read: ${reasonOf(error)}`);
  }
  // Some editors begin a file with a byte order mark.
  return await parse(text.replace(/^\uFEFF/, ""));
}
