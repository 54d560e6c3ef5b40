import type { ClientFrame, ClientFrameType } from "../protocol/client-frames.ts";
import type { ErrorCode } from "../protocol/error-codes.ts";
import type { Refusal } from "./access/refusal.ts";
import type { Authentication } from "./authentication/authentication.ts";
import type { Meter } from "./metering/meter.ts";
import type { DeniedRequest } from "./ports/observer.ts";
import type { Presence } from "./presence/presence.ts";
import { dataOf, type MessageFrame } from "./publishing/client-message.ts";
import type { Publishing } from "./publishing/publishing.ts";
import type { Connection } from "./sessions/connection.ts";
import {
  AUTH_COST,
  costOf,
  grantedCost,
  PUBLISH_COST,
  subscriptionCost,
} from "./sessions/frame-budget.ts";
import type { Session } from "./sessions/session.ts";
import type { SubscriptionManager } from "./subscribe/subscription-manager.ts";
import { type FrameFault, isLongerThan, readClientFrame } from "./wire/client-frame.ts";
import { requestOf } from "./wire/subscription-request.ts";

export interface FrameHandlerLimits {
  /** A longer frame from a client closes its connection with 1009. */
  readonly maxFrameBytes: number;
  /** So many malformed frames are answered or ignored; the next one closes the connection with 4400. */
  readonly maxMalformedFrames: number;
}

type PresenceRequest = Extract<ClientFrame, { type: "presence" }>;

interface FrameHandlerParts {
  readonly publishing: Publishing;
  readonly subscriptions: SubscriptionManager;
  readonly authentication: Authentication;
  /** `undefined`: presence is off. */
  readonly presence: Presence | undefined;
}

const NO_TOKEN: Refusal = {
  code: "unauthenticated",
  message: 'this gateway needs a token: send it in "auth" first',
};

const NO_PRESENCE: Refusal = {
  code: "unsupported",
  message: 'presence is off: the gateway has no "presence_bucket"',
};

/** The frames that a client may send before it has shown a token. */
const BEFORE_TOKEN: ReadonlySet<ClientFrameType> = new Set(["auth", "ping"]);

/** Handles the frames of clients: each goes to the session, the subscriptions, the authentication or the publishing. */
export class FrameHandler {
  readonly #limits: FrameHandlerLimits;
  readonly #meter: Meter;
  readonly #subscriptions: SubscriptionManager;
  readonly #authentication: Authentication;
  readonly #publishing: Publishing;
  readonly #presence: Presence | undefined;

  constructor(limits: FrameHandlerLimits, meter: Meter, parts: FrameHandlerParts) {
    this.#limits = limits;
    this.#meter = meter;
    this.#subscriptions = parts.subscriptions;
    this.#authentication = parts.authentication;
    this.#publishing = parts.publishing;
    this.#presence = parts.presence;
  }

  /** Takes in a frame. Never throws, whatever is in it. */
  receive(connection: Connection, data: string | Uint8Array): void {
    const { session } = connection;
    if (connection.isOver || session === undefined) return;
    const nowMs = connection.heard();
    if (isLongerThan(data, this.#limits.maxFrameBytes)) {
      connection.end("frame_too_big");
      return;
    }
    // By far most frames are plain acks, and parsing JSON costs more than all other work on one.
    if (typeof data === "string" && session.acks?.acceptPlainAck(data, nowMs)) {
      this.#meter.clientFrames.ack++;
      const isPaid = connection.budget.answer(costOf(data), session.sentMessages, nowMs);
      if (!isPaid) connection.end("too_many_frames");
      return;
    }
    const frame = readClientFrame(data, connection.dialect.name === "v1" ? "v1" : "plain");
    if (!this.#pay(connection, session, frame, costOf(data), nowMs)) {
      connection.end("too_many_frames");
      return;
    }
    if (frame.type === "fault") {
      this.#reportFault(connection, session, frame);
      return;
    }
    this.#meter.clientFrames[frame.type]++;
    this.#handle(connection, session, frame, data, nowMs);
  }

  /** The peer sent a ping, or a pong that confirms nothing. */
  alive(connection: Connection): void {
    if (connection.isOver || connection.budget.spend(1, connection.heard())) return;
    connection.end("too_many_frames");
  }

  /** @returns whether the client's budget allows the frame. */
  #pay(
    { budget }: Connection,
    session: Session,
    frame: ClientFrame | FrameFault,
    cost: number,
    nowMs: number,
  ): boolean {
    switch (frame.type) {
      case "ack":
      case "nack":
      case "working":
        return budget.answer(cost, session.sentMessages, nowMs);
      case "subscribe":
        return budget.spend(
          cost + subscriptionCost(frame.subjects.length, frame.durable !== undefined),
          nowMs,
        );
      case "presence":
        return budget.spend(cost + subscriptionCost(1), nowMs);
      case "unsubscribe":
        return budget.spend(cost + subscriptionCost(), nowMs);
      case "publish":
      case "request":
        return budget.spend(cost + PUBLISH_COST, nowMs);
      case "auth":
        // Another grant is compared with all that the client has.
        return budget.spend(
          cost + AUTH_COST + grantedCost(this.#subscriptions.patternsOf(session)),
          nowMs,
        );
      default:
        return budget.spend(cost, nowMs);
    }
  }

  #handle(
    connection: Connection,
    session: Session,
    frame: ClientFrame,
    data: string | Uint8Array,
    nowMs: number,
  ): void {
    if (connection.grant.awaitsToken && !BEFORE_TOKEN.has(frame.type)) {
      this.#refuse(session, NO_TOKEN, idOf(frame));
      return;
    }
    switch (frame.type) {
      case "auth":
        this.#authenticate(connection, frame);
        break;
      case "publish":
      case "request":
        this.#publish(connection, session, frame, data);
        break;
      case "subscribe":
        this.#subscribe(connection, session, frame, nowMs);
        break;
      case "unsubscribe":
        this.#refuse(session, this.#subscriptions.unsubscribe(session, frame.sub), frame.sub);
        break;
      case "presence":
        this.#watch(connection, session, frame);
        break;
      case "ping":
        session.tell({ type: "pong", ...(frame.id !== undefined && { id: frame.id }) });
        break;
      case "ack":
      case "nack":
      case "working":
        // In at-most-once, an acknowledgement changes nothing.
        session.acks?.accept(frame, nowMs);
        break;
      case "slow":
        session.slowDown();
        break;
      case "ok":
        session.speedUp();
    }
  }

  #subscribe(
    connection: Connection,
    session: Session,
    frame: ClientFrame & { readonly type: "subscribe" },
    nowMs: number,
  ): void {
    const refusal = this.#subscriptions.subscribe(session, requestOf(frame.id, frame));
    if (refusal !== undefined) {
      noteDenied(connection, frame.type, refusal);
      this.#refuse(session, refusal, frame.id);
      return;
    }
    const granted = this.#subscriptions.patternsOf(session, frame.id);
    const isPaid = connection.budget.spend(grantedCost(granted - frame.subjects.length), nowMs);
    if (!isPaid) connection.end("too_many_frames");
  }

  #publish(
    connection: Connection,
    session: Session,
    frame: MessageFrame,
    raw: string | Uint8Array,
  ): void {
    const data = dataOf(frame, raw);
    if (typeof data === "string") {
      const fault = { type: "fault", code: "malformed", message: data, id: frame.id } as const;
      this.#reportFault(connection, session, fault);
      return;
    }
    const refusal =
      frame.type === "publish"
        ? this.#publishing.publish(connection, frame, data)
        : this.#publishing.request(connection, frame, data);
    if (refusal === undefined) return;
    this.#publishing.refused(connection, frame, refusal);
    noteDenied(connection, frame.type, refusal);
    this.#refuse(session, refusal, frame.id);
  }

  #watch(connection: Connection, session: Session, frame: PresenceRequest): void {
    const refusal = this.#watchRefusal(connection, frame);
    if (refusal === undefined) return;
    noteDenied(connection, "presence", refusal);
    this.#refuse(session, refusal, frame.id);
  }

  /** Begins or ends a presence watch. @returns why not, or `undefined`. */
  #watchRefusal(connection: Connection, frame: PresenceRequest): Refusal | undefined {
    if (this.#presence === undefined) return NO_PRESENCE;
    if ("stop" in frame) return this.#presence.unwatch(connection, frame.id);
    const { id, subject, want } = frame;
    return this.#presence.watch(connection, { id, subject, wantsMembers: want === "list" });
  }

  #authenticate(connection: Connection, frame: ClientFrame & { readonly type: "auth" }): void {
    // The answer may come when the client has another session.
    const refused = (refusal: Refusal | undefined): void => {
      const { session } = connection;
      if (session !== undefined) this.#refuse(session, refusal, frame.id);
    };
    refused(this.#authentication.receive(connection, frame, refused));
  }

  #reportFault(connection: Connection, session: Session, { code, message, id }: FrameFault): void {
    // A request that is understood but not served is no fault of the client.
    if (code !== "malformed") {
      this.#refuse(session, { code, message }, id);
      return;
    }
    connection.malformedFrames++;
    if (connection.malformedFrames > this.#limits.maxMalformedFrames) {
      connection.end("malformed");
      return;
    }
    this.#meter.countError("malformed_frame", "a client sent a malformed frame");
    tellError(session, { code, message }, id);
  }

  #refuse(session: Session, refusal: Refusal | undefined, id: string | undefined): void {
    if (refusal === undefined) return;
    this.#meter.refused[refusal.code]++;
    tellError(session, refusal, id);
  }
}

/** Notes a request that is refused because of the client's grant, and not for another reason. */
function noteDenied(
  connection: Connection,
  action: DeniedRequest["action"],
  { code, message: reason }: Refusal,
): void {
  if (code === "forbidden") connection.denied({ action, reason });
}

/** Returns by which name the client knows its request. */
function idOf(frame: ClientFrame): string | undefined {
  if ("id" in frame) return frame.id;
  return "sub" in frame ? frame.sub : undefined;
}

function tellError(
  session: Session,
  error: { code: ErrorCode; message: string; retryable?: boolean },
  id: string | undefined,
): void {
  const { code, message, retryable = false } = error;
  const named = id !== undefined && { id };
  session.tell({ type: "error", ...named, error: { code, message, retryable } });
}
