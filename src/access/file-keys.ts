import type { Log } from "../core/ports/log.ts";
import type { KeySource } from "./key-source.ts";
import { type VerificationKey, VerificationKeys } from "./verification-keys.ts";
import { type FileReader, WatchedFiles } from "./watched-files.ts";

/** The keys of an issuer, in a file. */
export class FileKeys implements KeySource {
  readonly #file: WatchedFiles<VerificationKeys>;

  private constructor(file: WatchedFiles<VerificationKeys>) {
    this.#file = file;
  }

  /** @throws FileFault if the file can't be read or used. */
  static async open(file: FileReader, algorithms: readonly string[], log: Log): Promise<FileKeys> {
    const parse = (text: string) => VerificationKeys.parse(text, algorithms);
    return new FileKeys(await WatchedFiles.openOne(file, parse, log));
  }

  async find(
    alg: string,
    kid: string | undefined,
  ): Promise<readonly VerificationKey[] | "unknown"> {
    const found = this.#file.value.find(alg, kid);
    return found.length > 0 ? found : "unknown";
  }

  accepts(id: string): boolean {
    return this.#file.value.ids.has(id);
  }

  start(changed: () => void): void {
    this.#file.start(changed);
  }

  stop(): void {
    this.#file.stop();
  }
}
