import { reasonOf, SpillwayError } from "../core/ports/errors.ts";
import type { Invocation } from "./command.ts";
import { DEFAULT_URL } from "./command-flags.ts";
import { type FlagTexts, invalidCommand, lastOf } from "./read-flags.ts";

/** The path of the WebSocket, if a URL has none. */
const DEFAULT_PATH = "/ws";

/**
 * Reads `--url`.
 *
 * @returns a URL with `http:` or `https:`.
 * @throws SpillwayError `"COMMAND_INVALID"` (invalid)
 */
export function readUrl(texts: FlagTexts): URL {
  const text = lastOf(texts, "--url") ?? DEFAULT_URL;
  const url = URL.canParse(text) ? new URL(text.replace(/^ws/i, "http")) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol)) {
    throw invalidCommand(`"--url" must be the URL of a gateway, like "${DEFAULT_URL}"`);
  }
  return url;
}

/** Returns the WebSocket of a gateway: that of a URL with a path, and otherwise `/ws`. */
export function streamOf(url: URL): string {
  const stream = new URL(url);
  if (stream.pathname === "/") stream.pathname = DEFAULT_PATH;
  return stream.href.replace(/^http/, "ws");
}

/**
 * Reads `--token`. A file is read again whenever a token is wanted, so that it may be renewed.
 *
 * @returns `undefined` if there is none.
 * @throws SpillwayError `"COMMAND_INVALID"` (invalid) if it can't be read now.
 */
export async function readToken(
  { readTextFile, readInput }: Invocation,
  texts: FlagTexts,
): Promise<(() => Promise<string>) | undefined> {
  const path = lastOf(texts, "--token");
  if (path === undefined) return undefined;
  const typed = path === "-" ? await readInput("Token: ", "line") : undefined;
  const read = async (): Promise<string> => (typed ?? (await readTextFile(path))).trim();
  const token = await read().catch((error) => {
    throw invalidCommand(`Cannot read the token: ${reasonOf(error)}`);
  });
  if (token === "") throw invalidCommand(`Cannot use the token: "${path}" has none`);
  return read;
}

/** Makes the error for a gateway that can't be used. */
export function unreachable(message: string): SpillwayError {
  return new SpillwayError("GATEWAY_UNREACHABLE", message);
}

/** Returns the reason for which `fetch` failed: on Node, it is in the cause of its error. */
export function causeOf(error: unknown): string {
  const { cause } = error as { cause?: unknown };
  return reasonOf(cause ?? error);
}
