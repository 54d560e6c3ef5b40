import type { Log } from "./log.ts";

/** What the audit log tells: who came, who was refused what, and what operators did. */
export type AuditEvent =
  | "client_connected"
  | "client_refused"
  | "client_denied"
  | "client_revoked"
  | "operator_refused"
  | "revoked";

/** Maximum length of a text that a client chose. */
const MAX_TEXT = 256;

/**
 * Writes the audit log: lines at `info` with `audit: true` and the event. No line has a token, a password or a payload.
 */
export class AuditLog {
  readonly #log: Log;

  constructor(log: Log) {
    this.#log = log;
  }

  /** @param properties those that are `undefined` are left out. */
  say(event: AuditEvent, message: string, properties: Readonly<Record<string, unknown>>): void {
    const shown = Object.entries(properties)
      .filter(([, value]) => value !== undefined)
      .map(([name, value]) => [name, typeof value === "string" ? value.slice(0, MAX_TEXT) : value]);
    this.#log.info(message, { ...Object.fromEntries(shown), event, audit: true });
  }
}
