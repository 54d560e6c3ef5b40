import type { Clock } from "../core/ports/clock.ts";
import type { Log } from "../core/ports/log.ts";
import { expectNoOthers, readTime } from "./credential-file.ts";
import { type TokenFields, TokenTable } from "./token-table.ts";
import { FileFault, type FileReader, WatchedFiles } from "./watched-files.ts";

/** What operators may do: a viewer reads, an operator also acts. */
export const ROLES = ["viewer", "operator"] as const;

/** Somebody who runs the gateway. */
export interface Operator {
  /** The name, for the audit log. */
  readonly sub: string;
  readonly role: (typeof ROLES)[number];
}

interface OperatorEntry extends Operator {
  /** In Unix milliseconds; `undefined`: never. */
  readonly expiresAtMs: number | undefined;
}

/** The longest name of an operator, in characters. */
const MAX_NAME = 256;

/**
 * Knows operators by tokens whose SHA-256 hashes are in a file: a JSON list of objects with
 *
 * - `sha256`: the hash, in hexadecimal.
 * - `sub`: the operator's name.
 * - `role`: `"viewer"` or `"operator"`.
 * - `expires`: a time as in RFC 3339. Default: never.
 */
export class OperatorTokens {
  readonly #file: WatchedFiles<TokenTable<OperatorEntry>>;
  readonly #clock: Pick<Clock, "wallMs">;

  private constructor(file: WatchedFiles<TokenTable<OperatorEntry>>, clock: Pick<Clock, "wallMs">) {
    this.#file = file;
    this.#clock = clock;
  }

  /** @throws FileFault if the file can't be read or used. */
  static async open(parts: {
    readonly file: FileReader;
    readonly clock: Pick<Clock, "wallMs">;
    readonly log: Log;
  }): Promise<OperatorTokens> {
    const file = await WatchedFiles.openOne(parts.file, readOperatorTokens, parts.log);
    return new OperatorTokens(file, parts.clock);
  }

  /** Returns whose token it is; `undefined` if it isn't in the file or has expired. */
  async find(token: string): Promise<Operator | undefined> {
    const entry = await this.#file.value.find(token);
    if (entry === undefined) return undefined;
    const { sub, role, expiresAtMs = Number.POSITIVE_INFINITY } = entry;
    return expiresAtMs <= this.#clock.wallMs() ? undefined : { sub, role };
  }

  /** Begins to read the file again when it changes. */
  start(): void {
    this.#file.start();
  }

  /** May be called twice. */
  stop(): void {
    this.#file.stop();
  }
}

/** @throws FileFault */
export function readOperatorTokens(text: string): TokenTable<OperatorEntry> {
  return TokenTable.read(text, readOperator);
}

function readOperator(fields: TokenFields, _hash: string, at: string): OperatorEntry {
  const { sub, role, expires, ...others } = fields;
  expectNoOthers(others, at);
  if (typeof sub !== "string" || sub === "" || sub.length > MAX_NAME) {
    throw new FileFault(`has ${at}.sub, which must be a text of 1 to ${MAX_NAME} characters`);
  }
  const known = ROLES.find((one) => one === role);
  if (known === undefined) {
    throw new FileFault(`has ${at}.role, which must be "viewer" or "operator"`);
  }
  return { sub, role: known, expiresAtMs: readTime(expires, `${at}.expires`) };
}
