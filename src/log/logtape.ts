import {
  configure,
  getAnsiColorFormatter,
  getJsonLinesFormatter,
  getLogger,
  type LogLevel,
  type LogRecord,
} from "@logtape/logtape";
import type { Log } from "../core/ports/log.ts";

/** The LogTape category of this package. */
const CATEGORY = "spillway";

/**
 * Returns the log of the library. LogTape is silent until the host configures it; the host selects this package by the
 * category `["spillway"]`.
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

/** Configures LogTape to write the log to `write`. Only the command does that; a library must not. */
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

/** Escapes characters that JSON allows and that other programs take for the end of a line. */
function jsonLine(formatter: (record: LogRecord) => string): (record: LogRecord) => string {
  return (record) =>
    formatter(record).replace(
      /[\u007f-\u009f\u2028\u2029]/g,
      (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
    );
}

/** Maximum length of a logged value: clients and NATS decide about its length. */
const MAX_VALUE = 1000;

/**
 * Puts the values into the message, without LogTape's quotes around texts. Escapes and shortens texts, because they come
 * from clients and from NATS, and must not break a line or fill the log.
 */
function asSentence(record: LogRecord): LogRecord {
  // Every second part is a value.
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

/** Returns a value on one line. Escapes control characters and characters that change the direction of text. */
function printable(value: unknown): string {
  return bounded(String(value)).replace(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu,
    (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`,
  );
}
