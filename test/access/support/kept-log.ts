import type { Log } from "../../../src/core/ports/log.ts";

/** A log line: its message with its properties. */
export interface Line {
  readonly level: string;
  readonly message: string;
  readonly [property: string]: unknown;
}

/** A log that keeps its lines. */
export function keptLog(): { log: Log; lines: Line[] } {
  const lines: Line[] = [];
  const at =
    (level: string) =>
    (message: string, properties: Record<string, unknown> = {}) =>
      void lines.push({ level, message, ...properties });
  return {
    log: { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") },
    lines,
  };
}
