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
  /** What was read last, good or not. */
  #text: string;
  /** Why it could not be read the last time, if so. */
  #unreadable: string | undefined;
  #value: T;
  #isReading = false;
  #isStale = false;
  #isStopped = false;

  private constructor(
    file: FileReader,
    parse: (text: string) => T | Promise<T>,
    log: Log,
    { text, value }: { readonly text: string; readonly value: T },
  ) {
    this.#file = file;
    this.#parse = parse;
    this.#log = log;
    this.#text = text;
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
    let text: string;
    try {
      text = await file.read();
    } catch (error) {
      throw new FileFault(`can't be read: ${reasonOf(error)}`);
    }
    const value = await parse(withoutMark(text));
    return new WatchedFile(file, parse, log, { text, value });
  }

  get value(): T {
    return this.#value;
  }

  /** May be called twice. */
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
      await this.#load();
    }
    this.#isReading = false;
  }

  async #load(): Promise<void> {
    const { name: file } = this.#file;
    try {
      const text = await this.#read();
      if (text === undefined || text === this.#text) return;
      this.#text = text;
      this.#value = await this.#parse(withoutMark(text));
      this.#log.info("Read {file} again", { event: "file_reloaded", file });
    } catch (error) {
      this.#failed(reasonOf(error));
    }
  }

  /** Reads the file; `undefined` if it can't be read. */
  async #read(): Promise<string | undefined> {
    try {
      const text = await this.#file.read();
      this.#unreadable = undefined;
      return text;
    } catch (error) {
      const reason = reasonOf(error);
      if (this.#unreadable !== reason) this.#failed(`can't be read: ${reason}`);
      this.#unreadable = reason;
      return undefined;
    }
  }

  #failed(reason: string): void {
    const properties = { event: "file_reload_failed", file: this.#file.name, reason };
    this.#log.error(
      "Cannot use the new contents of {file}, so the old ones count: the file {reason}",
      properties,
    );
  }
}

/** Some editors begin a file with a byte order mark. */
function withoutMark(text: string): string {
  return text.replace(/^\uFEFF/, "");
}
