import {
  configure,
  getAnsiColorFormatter,
  getJsonLinesFormatter,
  getLogger,
  type LogLevel,
  type LogRecord,
} from "@logtape/logtape";
import type { Log } from "../core/ports/log.ts";

/** LogTape's name for everything that this package logs. */
const CATEGORY = "spillway";

/**
 * Where the library logs. LogTape is silent until the host configures it, which is how a library
 * should be; a host of ours selects us by the category `["spillway"]`.
 */
export function libraryLog(): Log {
  return getLogger([CATEGORY]);
}

export interface LogOptions {
  readonly level: "debug" | "info" | "warn" | "error";
  /** JSON Lines for machines, coloured lines for people. */
  readonly format: "json" | "pretty";
  readonly write: (text: string) => void;
}

/** Sends what is logged to `write`: what the command does, and a library must not. */
export async function configureLog({ level, format, write }: LogOptions): Promise<Log> {
  const lowestLevel: LogLevel = level === "warn" ? "warning" : level;
  const formatter =
    format === "json"
      ? jsonLine(getJsonLinesFormatter())
      : getAnsiColorFormatter({ timestamp: "time" });
  await configure({
    sinks: { output: (record) => write(formatter(asSentence(record))) },
    loggers: [
      { category: [CATEGORY], lowestLevel, sinks: ["output"] },
      { category: ["logtape", "meta"], lowestLevel: "error", sinks: ["output"] },
    ],
  });
  return getLogger([CATEGORY]);
}

/** JSON allows some characters in texts that other programs take for the end of a line. */
function jsonLine(formatter: (record: LogRecord) => string): (record: LogRecord) => string {
  return (record) =>
    formatter(record).replace(
      /[\u007f-\u009f\u2028\u2029]/g,
      (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
    );
}

/** More of one value is not logged: clients and NATS decide about its length. */
const MAX_VALUE = 1000;

/**
 * The message with its values in place: LogTape itself puts quotes around each text. Texts come from
 * clients and from NATS, so that they may neither break the line nor fill the log.
 */
function asSentence(record: LogRecord): LogRecord {
  // Each second part is a value.
  const message = record.message.map((part, index) => (index % 2 === 0 ? part : printable(part)));
  const properties = Object.entries(record.properties).map(([key, value]) => [
    key,
    typeof value === "string" ? bounded(value) : value,
  ]);
  return { ...record, message: [message.join("")], properties: Object.fromEntries(properties) };
}

function bounded(text: string): string {
  return text.length > MAX_VALUE ? `${text.slice(0, MAX_VALUE)}…` : text;
}

/** A value on one line: control characters, and what turns the direction of writing, are escaped. */
function printable(value: unknown): string {
  return bounded(String(value)).replace(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu,
    (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`,
  );
}
