import type { Log } from "../core/ports/log.ts";
import type { KeySource } from "./key-source.ts";
import { type VerificationKey, VerificationKeys } from "./verification-keys.ts";
import { type FileReader, WatchedFile } from "./watched-file.ts";

/** The keys of an issuer, in a file. */
export class FileKeys implements KeySource {
  readonly #file: WatchedFile<VerificationKeys>;

  private constructor(file: WatchedFile<VerificationKeys>) {
    this.#file = file;
  }

  /** @throws FileFault if the file can't be read or used. */
  static async open(file: FileReader, algorithms: readonly string[], log: Log): Promise<FileKeys> {
    const parse = (text: string) => VerificationKeys.parse(text, algorithms);
    return new FileKeys(await WatchedFile.open(file, parse, log));
  }

  async find(
    alg: string,
    kid: string | undefined,
  ): Promise<readonly VerificationKey[] | "unknown"> {
    const found = this.#file.value.find(alg, kid);
    return found.length > 0 ? found : "unknown";
  }

  stop(): void {
    this.#file.stop();
  }
}
