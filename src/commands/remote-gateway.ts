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
  // It may hold a password.
  const given = `"--url" is "${text.replace(/^([a-z]+:\/\/)?.*@/is, "$1***@")}" but`;
  const url = URL.canParse(text) ? new URL(text.replace(/^ws/i, "http")) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol)) {
    throw invalidCommand(`${given} must be the URL of a gateway, like "${DEFAULT_URL}"`);
  }
  if (url.username !== "" || url.password !== "") {
    throw invalidCommand(`${given} must not have a login: give a token with --token`);
  }
  return url;
}

/** Returns the WebSocket of a gateway: that of a URL with a path, and otherwise `/ws`. */
export function streamOf(url: URL): string {
  const stream = new URL(url);
  if (stream.pathname === "/") stream.pathname = DEFAULT_PATH;
  return stream.href.replace(/^http/, "ws");
}

/** Reads a token to show; `undefined` if there is none. */
export type Token = (() => Promise<string>) | undefined;

/**
 * Reads `--token`. A file is read again whenever a token is wanted, so that it may be renewed.
 *
 * @returns `undefined` if there is none.
 * @throws SpillwayError `"COMMAND_INVALID"` (invalid) if it can't be read now.
 */
export async function readToken(
  { readTextFile, readInput }: Invocation,
  texts: FlagTexts,
): Promise<Token> {
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

/** Advises to show a token, or another one. */
export function otherToken(token: Token): string {
  return `show ${token === undefined ? "a" : "another"} token with --token`;
}

/** Advises what to do if no gateway answers. */
export const NOBODY_ANSWERS = "Is the gateway there? Otherwise set --url";

/** The advice of a command to a client that a gateway doesn't let in. */
interface Advice {
  /** Advises to name other subjects. */
  readonly subjects: string;
  /** Advises on too many clients; `undefined`: the command tries again. */
  readonly tooMany?: string;
}

/** The reason why a gateway doesn't let a client in. */
interface Refusal {
  /** The reason and what to do, for people. */
  readonly reason: string;
  /** Whether the client is refused until somebody changes something. */
  readonly isFinal: boolean;
}

/** The longest wait for the answer of a gateway. */
const ANSWER_MS = 5000;

/**
 * Finds out why a WebSocket can't be opened, which the WebSocket itself doesn't tell: the gateway refuses server-sent events
 * for the same reasons.
 *
 * @param stream the URL of the WebSocket.
 * @returns `undefined` if the gateway lets the client in.
 */
export async function findRefusal(
  stream: string,
  subjects: readonly string[],
  token: Token,
  advice: Advice,
): Promise<Refusal | undefined> {
  const url = new URL(stream.replace(/^ws/, "http"));
  url.pathname = `${url.pathname.replace(/\/+$/, "")}/sse`;
  for (const subject of subjects) url.searchParams.append("subject", subject);
  try {
    const response = await fetch(url, {
      signal: AbortSignal.timeout(ANSWER_MS),
      ...(token && { headers: { Authorization: `Bearer ${await token()}` } }),
    });
    const { ok, status } = response;
    if (ok) {
      await response.body?.cancel();
      return undefined;
    }
    const detail = detailOf(await response.text());
    // A detail that names a key of the configuration says what to do.
    const advised = detail.includes("allowed_") ? undefined : remedyOf(status, token, advice);
    const isFinal = status < 500 && status !== 429;
    return { reason: answered(status, detail, advised), isFinal };
  } catch (error) {
    return { reason: `${causeOf(error)}. ${NOBODY_ANSWERS}`, isFinal: false };
  }
}

/** Returns what to do after a refusal; `undefined` if its detail says so. */
function remedyOf(status: number, token: Token, { subjects, tooMany }: Advice): string | undefined {
  switch (status) {
    case 400:
      return undefined;
    case 401:
      return capitalized(otherToken(token));
    case 403:
      return `${subjects}, or ${otherToken(token)}`;
    case 404:
      return "Set --url to the port and path of the clients";
    case 429:
    case 503:
      return tooMany;
    default:
      return NOBODY_ANSWERS;
  }
}

/** Says that a gateway has refused a request, why, and what to do. */
export function answered(status: number, detail: string, remedy: string | undefined): string {
  return [`it answered ${status}${detail && `: ${detail}`}`, remedy].filter(Boolean).join(". ");
}

export function capitalized(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}`;
}

/** Returns the reason in a problem (RFC 9457). */
export function detailOf(answer: string): string {
  try {
    return String((JSON.parse(answer) as { detail?: unknown }).detail ?? "");
  } catch {
    return "";
  }
}

/** Makes the error for a gateway that can't be used. */
export function unreachable(message: string): SpillwayError {
  return new SpillwayError("GATEWAY_UNREACHABLE", message);
}

/** Returns the reason for which `fetch` failed, to be followed by a full stop: on Node, it is in the cause of its error. */
export function causeOf(error: unknown): string {
  const { cause } = error as { cause?: unknown };
  return reasonOf(cause ?? error).replace(/[.?]+$/, "");
}
