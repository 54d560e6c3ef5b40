import type { Log } from "../core/ports/log.ts";

/** Returns a log whose lines name an account. */
export function accountLog(log: Log, account: string): Log {
  const say = (level: keyof Log) => (message: string, properties?: Record<string, unknown>) =>
    log[level](`Account {account}: ${message}`, { account, ...properties });
  return { debug: say("debug"), info: say("info"), warn: say("warn"), error: say("error") };
}
