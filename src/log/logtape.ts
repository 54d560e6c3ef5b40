import {
  configureSync,
  getAnsiColorFormatter,
  getConfig,
  getJsonLinesFormatter,
  getLogger,
  getTextFormatter,
  type LogLevel,
  type LogRecord,
} from "@logtape/logtape";
import type { Log } from "../core/ports/log.ts";
import { escaped } from "./escaped.ts";

/** The LogTape category of this package. */
const CATEGORY = "spillway";
/** The category of the audit log, below it. */
const AUDIT = "audit";

/**
 * Returns the log of the library. LogTape is silent until the host configures it; the host selects this package by the
 * category `["spillway"]`.
 */
export function libraryLog(): Log {
  return getLogger([CATEGORY]);
}

/**
 * Returns the audit log of the library: the category `["spillway", "audit"]`, which a host can send to a place of its
 * own.
 */
export function libraryAuditLog(): Log {
  return getLogger([CATEGORY, AUDIT]);
}

export interface LogOptions {
  readonly level: "debug" | "info" | "warn" | "error";
  /** Takes each line besides. Default: nobody does. */
  readonly also?: ((entry: LogEntry) => void) | undefined;
  /** JSON Lines for machines, lines of text for people. */
  readonly format: "json" | "pretty";
  /** Whether lines for people have colours. */
  readonly hasColors: boolean;
  /** The number of this process, if it is one of several. Each line has it. */
  readonly worker?: number | undefined;
  readonly write: (text: string) => void;
}

/** A line of the log, for programs. */
export interface LogEntry {
  /** Unix milliseconds. */
  readonly timeMs: number;
  readonly level: "debug" | "info" | "warn" | "error";
  /** With all values in their places. */
  readonly message: string;
  readonly category: readonly string[];
  readonly properties: Readonly<Record<string, unknown>>;
}

/**
 * Configures LogTape to write the log to `write`. Only the command does that; a library must not. Called again, it replaces the
 * configuration, and no line is lost.
 */
export function configureLog({ level, format, hasColors, worker, write, also }: LogOptions): Log {
  const lowestLevel: LogLevel = level === "warn" ? "warning" : level;
  const formatter =
    format === "json"
      ? jsonLine(getJsonLinesFormatter())
      : (hasColors ? getAnsiColorFormatter : getTextFormatter)({ timestamp: "time" });
  configureSync({
    reset: true,
    sinks: {
      output: (record) => {
        const sentence = asSentence(record);
        write(formatter(ofWorker(sentence, worker, format)));
        also?.(entryOf(sentence, worker));
      },
    },
    loggers: [
      { category: [CATEGORY], lowestLevel, sinks: ["output"] },
      // The audit log is whole whatever the level is.
      {
        ...{ category: [CATEGORY, AUDIT], lowestLevel: "info", sinks: ["output"] },
        parentSinks: "override",
      },
      { category: ["logtape", "meta"], lowestLevel: "error", sinks: ["output"] },
    ],
  });
  return getLogger([CATEGORY]);
}

function entryOf(
  { timestamp, level, message, category, properties }: LogRecord,
  worker: number | undefined,
): LogEntry {
  return {
    timeMs: timestamp,
    level: LEVELS[level],
    message: message.join(""),
    category,
    properties: worker === undefined ? properties : { worker, ...properties },
  };
}

/** Our names of LogTape's levels. */
const LEVELS: Readonly<Record<LogLevel, LogEntry["level"]>> = {
  trace: "debug",
  debug: "debug",
  info: "info",
  warning: "warn",
  error: "error",
  fatal: "error",
};

/**
 * As `configureLog`, unless LogTape is configured already: by the host, or for another gateway of the same process.
 */
export async function ensureLog(options: LogOptions): Promise<Log> {
  return getConfig() === null ? await configureLog(options) : libraryLog();
}

/** Escapes characters that JSON allows and that other programs take for the end of a line. */
function jsonLine(formatter: (record: LogRecord) => string): (record: LogRecord) => string {
  return (record) =>
    formatter(record).replace(
      /[\u007f-\u009f\u2028\u2029]/g,
      (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
    );
}

/** Adds the number of the process, in the text for people too: they don't see properties. */
function ofWorker(
  record: LogRecord,
  worker: number | undefined,
  format: LogOptions["format"],
): LogRecord {
  if (worker === undefined) return record;
  const properties = { worker, ...record.properties };
  if (format === "json") return { ...record, properties };
  return { ...record, properties, message: [`[${worker}] ${record.message.join("")}`] };
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

/** Returns a value on one line. */
function printable(value: unknown): string {
  return escaped(bounded(String(value)));
}
