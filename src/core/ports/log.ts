/**
 * Takes log lines. A message is a constant sentence with `{placeholders}` for its properties, so that logs can
 * be searched for it. A logger of LogTape fits as it is.
 */
export interface Log {
  debug(message: string, properties?: Record<string, unknown>): void;
  info(message: string, properties?: Record<string, unknown>): void;
  warn(message: string, properties?: Record<string, unknown>): void;
  error(message: string, properties?: Record<string, unknown>): void;
}
