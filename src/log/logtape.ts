import {
  configure,
  getAnsiColorFormatter,
  getJsonLinesFormatter,
  getLogger,
  type LogLevel,
  type LogRecord,
} from "@logtape/logtape";
import type { Log } from "../core/log.ts";

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
    format === "json" ? getJsonLinesFormatter() : getAnsiColorFormatter({ timestamp: "time" });
  await configure({
    sinks: { output: (record) => write(formatter(asSentence(record))) },
    loggers: [
      { category: [CATEGORY], lowestLevel, sinks: ["output"] },
      { category: ["logtape", "meta"], lowestLevel: "error", sinks: ["output"] },
    ],
  });
  return getLogger([CATEGORY]);
}

/** The message with its values in place: LogTape itself puts quotes around each text. */
function asSentence(record: LogRecord): LogRecord {
  return { ...record, message: [record.message.map(String).join("")] };
}
