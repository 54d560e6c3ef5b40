import { Buffer } from "node:buffer";
import { SpillwayError } from "../client/errors.ts";
import type { Connection, From, Item } from "../client/mod.ts";
import { connect } from "../client/mod.ts";
import { escaped } from "../log/escaped.ts";
import { MAX_PATTERNS } from "../protocol/fields.ts";
import { PARAMETERS, ParameterFault } from "../protocol/query.ts";
import { subjectFault } from "../protocol/subject.ts";
import { EXIT, type Invocation } from "./command.ts";
import { JSON_FLAG, TAIL_FLAGS } from "./command-flags.ts";
import { type FlagTexts, invalidCommand, lastOf, readOwnFlags, readWhole } from "./read-flags.ts";
import {
  capitalized,
  findRefusal,
  otherToken,
  readToken,
  readUrl,
  streamOf,
  type Token,
  unreachable,
} from "./remote-gateway.ts";
import { dimmer, warner } from "./style.ts";

/** The close code of a client whose token is revoked. */
const UNAUTHORIZED = 4401;
/** The highest `--count`; no program counts to it. */
const MOST_MESSAGES = 1e15 - 1;

/** Prints the messages of subjects until they end, enough have come, or a signal comes. */
export async function tailSubjects(invocation: Invocation): Promise<number> {
  const { argv, drained } = invocation;
  const { texts, words: subjects } = readOwnFlags(argv, TAIL_FLAGS, MAX_PATTERNS);
  checkSubjects(subjects);
  const from = readFrom(texts);
  const count = readWhole(texts, "--count", MOST_MESSAGES, [1, MOST_MESSAGES]);
  const url = streamOf(readUrl(texts));
  const token = await readToken(invocation, texts);
  const printer = advising(
    texts.has(JSON_FLAG.name) ? forPrograms(invocation) : forPeople(invocation),
    token,
  );

  const signal = invocation.interruption();
  const connection = connect(url, { signal, ...(token !== undefined && { token }) });
  let refusal: Error | undefined;
  report(connection, printer, url, async (error) => {
    const found = await findRefusal(url, subjects, token, { subjects: OTHER_SUBJECTS });
    if (connection.state.type === "closed") return;
    if (found?.isFinal) {
      refusal = unreachable(`Cannot connect to ${url}: ${found.reason}`);
      await connection.close();
    } else {
      const { code, message, retryable, closeCode } = error;
      const said = found === undefined ? message : `Cannot connect to ${url}: ${found.reason}`;
      printer.error({ code, message: said, retryable, closeCode });
    }
  });
  try {
    const subscription = connection.subscribe(subjects, {
      signal,
      ...(from !== undefined && { from }),
    });
    // A refusal is an error of the loop.
    subscription.ready.then(({ subjects }) => printer.subscribed(subjects)).catch(() => {});
    let left = count;
    for await (const item of subscription) {
      printer.item(item);
      if (item.type === "data") left--;
      if (left === 0) break;
      await drained();
    }
    return EXIT.done;
  } catch (error) {
    if (!(error instanceof SpillwayError)) throw error;
    if (refusal !== undefined) throw refusal;
    if (signal.aborted) return EXIT.done;
    // The connection has reported its own end.
    if (connection.state.type !== "closed") printer.error(error);
    return EXIT.failed;
  } finally {
    await connection.close();
  }
}

/**
 * Prints what happens to the connection.
 *
 * @param unopened takes its losses before it has been open.
 */
function report(
  connection: Connection,
  printer: Printer,
  url: string,
  unopened: (error: Failure) => Promise<void>,
): void {
  let wasOpen = false;
  connection.on("error", (error) => {
    if (wasOpen || error.code !== "disconnected") printer.error(error);
    else void unopened(error);
  });
  connection.on("upstream", (state) => printer.upstream(state));
  connection.on("state", ({ type }) => {
    if (type !== "open") return;
    wasOpen = true;
    printer.connected(url);
  });
}

function checkSubjects(subjects: readonly string[]): void {
  if (subjects.length === 0) {
    throw invalidCommand("Cannot follow nothing: name a subject, like spillway tail 'orders.>'");
  }
  for (const subject of subjects) {
    const fault = subjectFault(subject, true);
    if (fault !== undefined) {
      throw invalidCommand(`Cannot follow the subject ${JSON.stringify(subject)}: it ${fault}`);
    }
  }
}

/** Reads `--from` as the query of a WebSocket has it, and `after:<id>`. */
function readFrom(texts: FlagTexts): From | undefined {
  const text = lastOf(texts, "--from");
  if (text === undefined) return undefined;
  if (text.startsWith("after:")) return { after: text.slice("after:".length) };
  const from = PARAMETERS.from.read(text);
  if (!(from instanceof ParameterFault)) return from;
  throw invalidCommand(
    `"--from" is ${JSON.stringify(text)} but must be new, all, last, last_per_subject, seq:<n>, time:<RFC 3339> or after:<id>`,
  );
}

type Failure = Pick<SpillwayError, "code" | "message" | "retryable" | "closeCode">;

/** Prints what a subscription brings, and what happens to its connection. */
interface Printer {
  item(item: Item<unknown>): void;
  connected(url: string): void;
  subscribed(subjects: readonly string[]): void;
  upstream(state: "connected" | "disconnected"): void;
  error(error: Failure): void;
}

const OTHER_SUBJECTS = "Name other subjects";

/** Adds to each final error what to do. */
function advising(printer: Printer, token: Token): Printer {
  return {
    ...printer,
    error(error) {
      const remedy = error.retryable ? undefined : remedyOf(error, token);
      const message = remedy === undefined ? error.message : `${error.message}. ${remedy}`;
      const { code, retryable, closeCode } = error;
      printer.error({ code, message, retryable, closeCode });
    },
  };
}

function remedyOf({ code, closeCode }: Failure, token: Token): string | undefined {
  const showOther = otherToken(token);
  if (code === "unauthenticated" || closeCode === UNAUTHORIZED) return capitalized(showOther);
  if (code === "forbidden") return `${OTHER_SUBJECTS}, or ${showOther}`;
  if (code === "too_many_subscriptions") return "Name fewer subjects";
  return code === "unsupported" ? "Change --from" : undefined;
}

/** Messages and gaps on the output, all else as errors. */
function forPeople(invocation: Invocation): Printer {
  const { write, writeError } = invocation;
  const [dim, warn] = [dimmer(invocation), warner(invocation)];
  let wasAway = false;
  return {
    item(item) {
      switch (item.type) {
        case "data":
        case "invalid": {
          const notes = [
            ...(item.operation === undefined ? [] : [item.operation]),
            ...(item.superseded > 0 ? [`replaces ${item.superseded}`] : []),
            ...(item.redelivery > 0 ? [`sent ${item.redelivery} times before`] : []),
          ];
          const time = dim(new Date(item.timestamp).toISOString());
          const more = notes.length === 0 ? "" : ` ${dim(`(${notes.join(", ")})`)}`;
          write(`${time} ${escaped(item.subject)} ${shown(item.payload)}${more}\n`);
          return;
        }
        case "gap": {
          const { count, exact, reason, from, to } = item;
          const missing = count === 0 ? "some" : exact ? `${count}` : `up to ${count}`;
          write(`${warn(escaped(`gap: ${missing} missing (${reason}), ${from} to ${to}`))}\n`);
          return;
        }
        case "end":
          write(`${dim(`end of ${escaped(item.subject)}`)}\n`);
          return;
        case "caught_up":
          writeError("Caught up: new messages follow\n");
          return;
      }
    },
    connected: (url) => writeError(`Connected to ${url}\n`),
    subscribed: (subjects) => writeError(`Following ${escaped(subjects.join(", "))}\n`),
    upstream(state) {
      if (state === "disconnected") writeError("The gateway is not connected to NATS\n");
      else if (wasAway) writeError("The gateway is connected to NATS again\n");
      wasAway = state === "disconnected";
    },
    error({ message, retryable, code, closeCode }) {
      const help = closeCode !== undefined && closeCode > 4000 ? closeCode : code;
      writeError(
        retryable
          ? `${escaped(message)}; the client tries again\n`
          : `${escaped(message)}\nMore: spillway explain ${help}\n`,
      );
    },
  };
}

/** Everything on the output, one JSON object a line. */
function forPrograms({ write }: Invocation): Printer {
  const print = (value: object): void => write(`${JSON.stringify(value)}\n`);
  return {
    item(item) {
      if (item.type !== "data" && item.type !== "invalid") {
        print(item);
        return;
      }
      const { id, subject, timestamp, payload, headers, operation, superseded, redelivery } = item;
      print({
        ...{ type: item.type, id, subject, timestamp },
        ...(payload instanceof Uint8Array
          ? { encoding: "base64", payload: base64(payload) }
          : { payload }),
        ...(Object.keys(headers).length > 0 && { headers }),
        ...(operation !== undefined && { operation }),
        ...(superseded > 0 && { superseded }),
        ...(redelivery > 0 && { redelivery }),
      });
    },
    connected: (url) => print({ type: "connected", url }),
    subscribed: (subjects) => print({ type: "subscribed", subjects }),
    upstream: (state) => print({ type: "upstream", state }),
    error: ({ code, message, retryable, closeCode }) =>
      print({ type: "error", code, message, retryable, close_code: closeCode }),
  };
}

function shown(payload: unknown): string {
  if (payload instanceof Uint8Array) return `base64:${base64(payload)}`;
  return escaped(typeof payload === "string" ? payload : JSON.stringify(payload));
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("base64");
}
