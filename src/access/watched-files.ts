import { reasonOf } from "../core/ports/errors.ts";
import type { Log } from "../core/ports/log.ts";

/** A file with keys, tokens or passwords. */
export interface FileReader {
  /** The file's name in messages: its path. */
  readonly name: string;
  /** @throws an error in words for people if it can't be read. */
  read(): Promise<string>;
  /**
   * Calls after each change; it may also call when nothing has changed.
   *
   * @returns a function that ends it.
   */
  watch(changed: () => Promise<void>): () => void;
}

/** A file that can't be used. The message completes the sentence "The file …", and quotes nothing of it. */
export class FileFault extends Error {
  override readonly name = "FileFault";
  /** The file's name; `undefined` while only its contents are known. */
  readonly file: string | undefined;

  constructor(message: string, file?: string) {
    super(message);
    this.file = file;
  }
}

/** The text of a file, or why it can't be read. */
export type FileText = string | FileFault;

/**
 * The contents of files, which are read again when one of them changes. If the new contents can't be used, the last good
 * ones count.
 */
export class WatchedFiles<T> {
  readonly #files: readonly FileReader[];
  readonly #parse: (texts: readonly FileText[]) => T | Promise<T>;
  readonly #log: Log;
  /** The texts that were read last, good or not. */
  #texts: readonly FileText[];
  #value: T;
  #unwatch: (() => void)[] = [];
  #isReading = false;
  #isStale = false;

  private constructor(
    files: readonly FileReader[],
    parse: (texts: readonly FileText[]) => T | Promise<T>,
    log: Log,
    { texts, value }: { readonly texts: readonly FileText[]; readonly value: T },
  ) {
    this.#files = files;
    this.#parse = parse;
    this.#log = log;
    this.#texts = texts;
    this.#value = value;
  }

  /**
   * Reads files.
   *
   * @param parse gets their texts in the same order, and throws if they can't be used.
   * @throws as `parse` does.
   */
  static async open<T>(
    files: readonly FileReader[],
    parse: (texts: readonly FileText[]) => T | Promise<T>,
    log: Log,
  ): Promise<WatchedFiles<T>> {
    const texts = await readTexts(files);
    return new WatchedFiles(files, parse, log, { texts, value: await parse(texts) });
  }

  /**
   * Reads one file.
   *
   * @param parse throws `FileFault` if the contents can't be used.
   * @throws FileFault if the file can't be read or used.
   */
  static async openOne<T>(
    file: FileReader,
    parse: (text: string) => T | Promise<T>,
    log: Log,
  ): Promise<WatchedFiles<T>> {
    const parseOne = async ([text = ""]: readonly FileText[]): Promise<T> => {
      if (text instanceof FileFault) throw text;
      try {
        return await parse(text);
      } catch (fault) {
        throw fault instanceof FileFault ? new FileFault(fault.message, file.name) : fault;
      }
    };
    return await WatchedFiles.open([file], parseOne, log);
  }

  get value(): T {
    return this.#value;
  }

  /**
   * Begins to watch the files. Does nothing while it does.
   *
   * @param changed gets each new value.
   */
  start(changed: (value: T) => void = () => {}): void {
    if (this.#isWatching) return;
    this.#unwatch = this.#files.map((file) => file.watch(() => this.#reload(changed)));
  }

  /** May be called twice. */
  stop(): void {
    for (const unwatch of this.#unwatch.splice(0)) unwatch();
  }

  get #isWatching(): boolean {
    return this.#unwatch.length > 0;
  }

  /** Reads one version after another: an older one never replaces a newer one. */
  async #reload(changed: (value: T) => void): Promise<void> {
    this.#isStale = true;
    if (this.#isReading) return;
    this.#isReading = true;
    try {
      while (this.#isStale && this.#isWatching) {
        this.#isStale = false;
        await this.#load(changed);
      }
    } finally {
      this.#isReading = false;
    }
  }

  async #load(changed: (value: T) => void): Promise<void> {
    const texts = await readTexts(this.#files);
    if (!this.#isWatching || areSame(texts, this.#texts)) return;
    const before = this.#texts;
    this.#texts = texts;
    const file = this.#files.map(({ name }) => name).join(", ");
    try {
      const value = await this.#parse(texts);
      if (!this.#isWatching) {
        // It is new to the next start, too.
        this.#texts = before;
        return;
      }
      const valueBefore = this.#value;
      this.#value = value;
      try {
        changed(value);
      } catch (error) {
        this.#value = valueBefore;
        throw error;
      }
      this.#log.info("Read {file} again", { event: "file_reloaded", file });
    } catch (error) {
      const reason = error instanceof FileFault ? `the file ${error.message}` : reasonOf(error);
      this.#log.error("Cannot use the new contents of {file}, so the old ones count: {reason}", {
        event: "file_reload_failed",
        file,
        reason,
      });
    }
  }
}

/** Reads files. Never rejects. */
export async function readTexts(
  files: readonly Pick<FileReader, "name" | "read">[],
): Promise<readonly FileText[]> {
  return await Promise.all(
    files.map(async (file) => {
      try {
        return withoutMark(await file.read());
      } catch (error) {
        return new FileFault(`can't be read: ${reasonOf(error)}`, file.name);
      }
    }),
  );
}

function areSame(texts: readonly FileText[], others: readonly FileText[]): boolean {
  return texts.every((text, index) => {
    const other = others[index];
    return text instanceof FileFault
      ? other instanceof FileFault && text.message === other.message
      : text === other;
  });
}

/** Some editors begin a file with a byte order mark. */
function withoutMark(text: string): string {
  return text.replace(/^\uFEFF/, "");
}
