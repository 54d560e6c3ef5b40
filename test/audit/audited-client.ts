import { openV1, type Said, type V1Client } from "../support/v1-client.ts";
import type { Random } from "./random.ts";

/** The messages and gaps that a client received over all its connections, in their order. */
export interface Records {
  readonly sequences: number[];
  /** The gaps that the gateway declared, by their first and last sequence. */
  readonly gaps: { readonly from: number; readonly to: number; readonly reason: unknown }[];
}

/** The token of a client, and its restriction. */
export interface ClientAccess {
  readonly token: string;
  /** Texts that no message to this client may contain. */
  readonly never: readonly string[];
}

/** A client of the audit. */
export interface AuditedParty {
  readonly subjects: readonly string[];
  readonly access: ClientAccess;
  readonly records: Records;
  readonly connections: number;
  /** The sequence up to which it has accounted for messages. */
  readonly last: number;
  /** Tells its last items, for error messages. */
  readonly history: string;
  /** Begins, and tells when it is in effect. */
  run(began: () => void): Promise<void>;
  stop(): void;
  /** Breaks the connection without a close frame. */
  cut(): void;
  /** Stops reading for a while. */
  stall(ms: number): void;
  /** Ends without a word and continues behind the last message, if that is another fault than a cut. */
  restart?(): void;
  /** Accounts for each message that was published. Returns what is wrong. */
  faults(published: ReadonlyMap<number, string>, wants: (subject: string) => boolean): string[];
}

/** A connection of a client, for error messages. */
interface ConnectionLog {
  readonly time: string;
  readonly url: string;
  readonly after: string | undefined;
  /** The numbers of messages and of gaps that the client had when the connection opened. */
  readonly messages: number;
  readonly gaps: number;
  /** The frames of the server besides messages, pongs and the welcome. */
  readonly said: string[];
}

/** Pause before the next attempt, if no gateway accepts the client. */
const RETRY_MS = 100;
/** Interval of pings, and the silence after which the client connects to another gateway. */
const PING_MS = 500;
const SILENCE_MS = 4000;

/** A client that resumes after the last message that it has, at any gateway. */
export class AuditedClient implements AuditedParty {
  readonly subjects: readonly string[];
  readonly access: ClientAccess;
  /** Messages that the client received without permission. */
  readonly leaks: string[] = [];
  readonly records: Records = { sequences: [], gaps: [] };
  readonly #log: ConnectionLog[] = [];
  readonly #name: string;
  readonly #urls: () => readonly string[];
  readonly #random: Random;
  #cursor: string | undefined;
  /** The sequence at which the client began; all later messages must be accounted for. */
  #began: number | undefined;
  #client: V1Client | undefined;
  #over = false;

  constructor(
    name: string,
    subjects: readonly string[],
    access: ClientAccess,
    urls: () => readonly string[],
    random: Random,
  ) {
    this.#name = name;
    this.subjects = subjects;
    this.access = access;
    this.#urls = urls;
    this.#random = random;
  }

  get connections(): number {
    return this.#log.length;
  }

  get last(): number {
    return Math.max(this.records.sequences.at(-1) ?? 0, this.records.gaps.at(-1)?.to ?? 0);
  }

  /** Returns the last frames, for error messages. */
  get history(): string {
    const told =
      this.#client?.said.entries
        .slice(-6)
        .map(({ type, id, state, from }) => `${type} ${id ?? state ?? from ?? ""}`) ?? [];
    return `${this.#name} behind ${this.#cursor}, connection ${this.connections}: ${told.join(", ")}`;
  }

  /** Connects, and reconnects after each disconnect, until `stop`. */
  async run(began: () => void): Promise<void> {
    const pings = setInterval(() => this.#ping(), PING_MS);
    while (!this.#over) {
      try {
        const headers = { Authorization: `Bearer ${this.access.token}` };
        const url = this.#random.of(this.#urls());
        const client = await openV1(url, headers);
        this.#client = client;
        this.#log.push({
          ...{ time: new Date().toISOString(), url, after: this.#cursor, said: [] },
          ...{ messages: this.records.sequences.length, gaps: this.records.gaps.length },
        });
        const from = this.#cursor === undefined ? {} : { from: { after: this.#cursor } };
        client.send({
          type: "subscribe",
          id: "1",
          subjects: this.subjects,
          policy: "drop-oldest",
          ...from,
        });
        for (;;) {
          this.#take(await client.said.next("what the server says", SILENCE_MS));
          if (this.#began !== undefined) began();
        }
      } catch {
        this.cut();
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
    clearInterval(pings);
  }

  #ping(): void {
    // The connection may be gone by now.
    try {
      this.#client?.send({ type: "ping" });
    } catch {}
  }

  stop(): void {
    this.#over = true;
    this.cut();
  }

  /** Breaks the connection without a close frame. */
  cut(): void {
    this.#client?.raw.destroy();
  }

  /** Stops reading for a while. */
  stall(ms: number): void {
    const raw = this.#client?.raw;
    raw?.pause();
    setTimeout(() => raw?.resume(), ms);
  }

  faults(published: ReadonlyMap<number, string>, wants: (subject: string) => boolean): string[] {
    const faults = this.leaks.map((text) => `${this.#name} was sent ${text}`);
    const { sequences, gaps } = this.records;
    for (const [index, sequence] of sequences.entries()) {
      const before = sequences[index - 1] ?? 0;
      if (sequence <= before) faults.push(`${this.#name} got ${sequence} behind ${before}`);
      const subject = published.get(sequence);
      if (subject !== undefined && !wants(subject)) faults.push(`${this.#name} got ${subject}`);
    }
    const got = new Set(sequences);
    /** The missing messages, by how many others came before them. */
    const missing = new Map<number, number[]>();
    for (const [sequence, subject] of [...published].sort(([one], [other]) => one - other)) {
      if (sequence <= (this.#began ?? 0) || !wants(subject) || got.has(sequence)) continue;
      if (gaps.some(({ from, to }) => from <= sequence && sequence <= to)) continue;
      const before = sequences.findIndex((one) => one > sequence);
      const place = before === -1 ? sequences.length : before;
      missing.set(place, [...(missing.get(place) ?? []), sequence]);
    }
    for (const [place, run] of missing) faults.push(this.#describe(place, run));
    return faults;
  }

  /** Tells of missing messages, and of the connections that should have brought them. */
  #describe(place: number, missing: readonly number[]): string {
    const { sequences } = this.records;
    const around = `between ${sequences[place - 1]} and ${sequences[place]}`;
    const first = this.#log.findLastIndex(({ messages }) => messages < place);
    const last = this.#log.findLastIndex(({ messages }) => messages <= place);
    const connections = this.#log.slice(Math.max(0, first), last + 2).map((connection) => {
      const { time, url, after, messages, said } = connection;
      return `  ${time} ${url} after ${after} with ${messages} messages: ${said.join(", ")}`;
    });
    return [
      `${this.#name} never heard of ${missing.length} messages ${around}: ${missing.join(" ")}`,
      `  the last of ${place} messages came before`,
      ...connections,
    ].join("\n");
  }

  #take(said: Said): void {
    const { type, id, from, to, reason, state } = said;
    if (type !== "data" && type !== "pong") {
      const parts = [type, id, from, to, reason, state].filter((part) => part !== undefined);
      this.#log.at(-1)!.said.push(`${this.records.sequences.length}: ${parts.join(" ")}`);
    }
    const text = this.access.never.length > 0 ? JSON.stringify(said) : "";
    if (this.access.never.some((denied) => text.includes(denied))) this.leaks.push(text);
    switch (said.type) {
      case "data":
        this.records.sequences.push(sequenceOf(said.id));
        this.#cursor = String(said.id);
        break;
      case "subscribed":
        this.#began ??= sequenceOf(said.from);
        this.#cursor ??= String(said.from);
        break;
      case "gap":
        this.records.gaps.push({
          from: sequenceOf(said.from),
          to: sequenceOf(said.to),
          reason: said.reason,
        });
    }
  }
}

function sequenceOf(cursor: unknown): number {
  return Number.parseInt(String(cursor).split(":").at(-1)!, 10);
}
