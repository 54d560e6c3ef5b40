/**
 * Where the core says what happened. A message is a constant sentence with `{placeholders}` for
 * its properties, so that it can be searched for; LogTape's own loggers fit as they are.
 */
export interface Log {
  debug(message: string, properties?: Record<string, unknown>): void;
  info(message: string, properties?: Record<string, unknown>): void;
  warn(message: string, properties?: Record<string, unknown>): void;
  error(message: string, properties?: Record<string, unknown>): void;
}
