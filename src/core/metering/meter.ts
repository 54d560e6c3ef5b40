import { CLIENT_FRAME_TYPES } from "../../protocol/client-frames.ts";
import { CLOSE_CAUSES, type CloseCause } from "../../protocol/close-codes.ts";
import { REFUSAL_CODES } from "../../protocol/error-codes.ts";
import { SOURCE_FAULTS } from "../ports/source.ts";
import { Distribution } from "./distribution.ts";
import { Ledger } from "./ledger.ts";

/** How a connection ended: the server's cause, `"client"` if the client closed it, `"vanished"` if it was lost. */
export type DisconnectReason = CloseCause | "client" | "vanished";

/** The kinds of errors that connected clients cause. */
export const CLIENT_ERROR_KINDS = [
  "malformed_frame",
  "frame_too_big",
  "too_many_frames",
  "slow_consumer",
  "write_timeout",
  "no_pong",
  "overloaded",
] as const;

/** The kinds of errors. None of them stops the server. */
const ERROR_KINDS = [
  ...CLIENT_ERROR_KINDS,
  "source",
  "handshake",
  "upstream_refused",
  ...SOURCE_FAULTS,
] as const;

/** Why a client is not let in. */
export const ACCESS_REFUSALS = [
  "malformed",
  "unauthenticated",
  "forbidden",
  "unavailable",
] as const;

export type ErrorKind = (typeof ERROR_KINDS)[number];

/** The limits of how many clients may connect: per address, per user, and per second. */
export const CLIENT_LIMITS = ["address", "sub", "rate"] as const;

export type ClientLimit = (typeof CLIENT_LIMITS)[number];

/**
 * Counts what the core does, in plain fields: counting costs an addition, and `/metrics`, `/healthz` and
 * StreamKit's data flow read the fields when they are asked. A counter only grows.
 */
export class Meter {
  /** Counts the outcome of every delivery. */
  readonly ledger = new Ledger();

  /** Messages that the source delivered, and the bytes of their data. */
  messagesReceived = 0;
  bytesReceived = 0;

  /** Messages read from streams; a message that several clients need at the same time is read once. */
  messagesReplayed = 0;

  /** Gap frames that clients were sent. */
  gaps = 0;
  /** Clients that resumed at a cursor, in full or with a gap. */
  resumed = 0;

  /** Sessions that began, and sessions that a client resumed. */
  sessionsTotal = 0;
  sessionsResumed = 0;
  /** Sessions without a connection now (a gauge). */
  sessionsDetached = 0;

  clientsTotal = 0;
  /** Clients connected now (a gauge). */
  clientsActive = 0;
  /** Clients that lag now, and so have a queue of their own (a gauge). */
  clientsLagging = 0;
  readonly disconnections = new Map<DisconnectReason, number>(
    [...CLOSE_CAUSES, "client" as const, "vanished" as const].map((reason) => [reason, 0]),
  );

  /** Valid frames from clients, by `type`. */
  readonly clientFrames = zeros(CLIENT_FRAME_TYPES);

  /** Valid requests that were refused, by the code of the answer. They are not errors of the server. */
  readonly refused = zeros(REFUSAL_CODES);

  /** Requests of clients that were not let in or asked for too much, by kind. */
  readonly accessRefused = zeros(ACCESS_REFUSALS);

  /** Clients that were not let in because of a limit. */
  readonly clientsLimited = zeros(CLIENT_LIMITS);

  /** Messages that clients publish, and requests that they send. */
  readonly publishing = {
    /** Messages that the source has taken, duplicates included. */
    published: 0,
    /** Messages that a stream had stored before. */
    duplicates: 0,
    /** Requests that were sent. */
    requests: 0,
    /** Messages and requests without an answer in time. */
    timeouts: 0,
    /** Messages and requests that wait for their answers (a gauge). */
    inFlight: 0,
    /** Messages and requests that were refused or failed, by the code of the error. */
    refused: zeros(REFUSAL_CODES),
  };

  readonly errors = new Map<ErrorKind, number>(ERROR_KINDS.map((kind) => [kind, 0]));
  /** All errors except refused handshakes. */
  errorsTotal = 0;
  lastError: string | undefined;

  /** When the source last delivered a message, by the wall clock; `undefined` before the first message. */
  lastMessageMs: number | undefined;

  /** Seconds that a flush to all clients took. */
  readonly broadcastSeconds = new Distribution([
    0.00001, 0.00005, 0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5,
  ]);
  /** Seconds from a message's arrival until a client confirmed it, measured at each mark. */
  readonly deliverySeconds = new Distribution([
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60,
  ]);
  /** Bytes of data in each message. */
  readonly messageBytes = new Distribution([
    64, 256, 1024, 4096, 16_384, 65_536, 262_144, 1_048_576,
  ]);

  /** Counts a message from the source. @param bytes of its data. */
  countReceived(bytes: number, wallMs: number): void {
    this.messagesReceived++;
    this.bytesReceived += bytes;
    this.messageBytes.add(bytes);
    this.lastMessageMs = wallMs;
  }

  countConnect(): void {
    this.clientsTotal++;
    this.clientsActive++;
  }

  countDisconnect(reason: DisconnectReason): void {
    this.clientsActive--;
    this.disconnections.set(reason, (this.disconnections.get(reason) ?? 0) + 1);
  }

  countError(kind: ErrorKind, detail: string): void {
    this.errors.set(kind, (this.errors.get(kind) ?? 0) + 1);
    this.errorsTotal++;
    this.lastError = detail;
  }

  /** Counts a refused handshake, which is not an error of a connected client. */
  countRefusedHandshake(): void {
    this.errors.set("handshake", (this.errors.get("handshake") ?? 0) + 1);
  }
}

/** A counter for each name. */
function zeros<Name extends string>(names: readonly Name[]): Record<Name, number> {
  return Object.fromEntries(names.map((name) => [name, 0])) as Record<Name, number>;
}
