import type { Log } from "../../src/core/ports/log.ts";
import type {
  SourceFault,
  SourceListener,
  SourceMessage,
  SourceStatus,
  StreamState,
} from "../../src/core/ports/source.ts";
import { EventLog } from "../support/event-log.ts";

/** A message with bytes of its own, as a source takes its bytes back after the call. */
export interface Received {
  readonly subject: string;
  readonly data: Uint8Array;
  readonly headers: Record<string, readonly string[]> | undefined;
}

export interface LogLine {
  readonly level: keyof Log;
  /** The sentence with its placeholders filled in. */
  readonly text: string;
}

/** What a source said, for tests that wait for it. */
export class Recorder implements SourceListener {
  readonly messages = new EventLog<Received>("messages", ({ subject }) => subject);
  readonly arrivals = new EventLog<string>("arrivals");
  readonly refusals = new EventLog<{ pattern: string; reason: string; isFinal?: true }>("refusals");
  readonly faults = new EventLog<{ kind: SourceFault; detail: string }>("faults");
  readonly streamRefusals = new EventLog<{ name: string; reason: string }>("refused streams");
  readonly tips = new EventLog<StreamState>("tips of streams");
  readonly statuses = new EventLog<SourceStatus>("statuses");
  readonly lines = new EventLog<LogLine>("log", ({ level, text }) => `${level}: ${text}`);
  readonly log: Log = {
    debug: (message, properties) => this.#line("debug", message, properties),
    info: (message, properties) => this.#line("info", message, properties),
    warn: (message, properties) => this.#line("warn", message, properties),
    error: (message, properties) => this.#line("error", message, properties),
  };

  message({ subject, data, headers }: SourceMessage): void {
    this.messages.add({
      subject,
      data: data.slice(),
      headers: headers && Object.fromEntries(headers),
    });
  }

  status(status: SourceStatus): void {
    this.statuses.add(status);
  }

  stream(state: StreamState): void {
    this.tips.add(state);
  }

  arrives(pattern: string): void {
    this.arrivals.add(pattern);
  }

  refused(pattern: string, reason: string, isFinal = false): void {
    this.refusals.add({ pattern, reason, ...(isFinal && { isFinal }) });
  }

  streamRefused(name: string, reason: string): void {
    this.streamRefusals.add({ name, reason });
  }

  fault(kind: SourceFault, detail: string): void {
    this.faults.add({ kind, detail });
  }

  get subjects(): string[] {
    return this.messages.entries.map(({ subject }) => subject);
  }

  get states(): string[] {
    return this.statuses.entries.map(({ state }) => state);
  }

  /** The next status of the kind, those skipped that come before it. */
  async until<State extends SourceStatus["state"]>(
    state: State,
    fits: (status: Extract<SourceStatus, { state: State }>) => boolean = () => true,
  ): Promise<Extract<SourceStatus, { state: State }>> {
    for (;;) {
      const status = await this.statuses.next(`status "${state}"`);
      if (status.state !== state) continue;
      const found = status as Extract<SourceStatus, { state: State }>;
      if (fits(found)) return found;
    }
  }

  /** Everything that was said, to look for what must not be in it. */
  get everythingSaid(): string {
    return JSON.stringify([this.statuses.entries, this.lines.entries]);
  }

  #line(level: keyof Log, message: string, properties: Record<string, unknown> = {}): void {
    const text = message.replaceAll(/\{(\w+)\}/g, (_, name: string) => String(properties[name]));
    this.lines.add({ level, text });
  }
}
