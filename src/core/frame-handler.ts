import type { ClientFrame, ClientFrameType } from "../protocol/client-frames.ts";
import type { ErrorCode } from "../protocol/error-codes.ts";
import type { Refusal } from "./access/refusal.ts";
import type { Authentication } from "./authentication.ts";
import type { Meter } from "./metering/meter.ts";
import { dataOf, type MessageFrame } from "./publishing/client-message.ts";
import type { Publishing } from "./publishing/publishing.ts";
import type { Connection } from "./sessions/connection.ts";
import { AUTH_COST, costOf, PUBLISH_COST, subscriptionCost } from "./sessions/frame-budget.ts";
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

interface FrameHandlerParts {
  readonly publishing: Publishing;
  readonly subscriptions: SubscriptionManager;
  readonly authentication: Authentication;
}

const NO_TOKEN: Refusal = {
  code: "unauthenticated",
  message: 'this gateway needs a token: send it in "auth" first',
};

/** What a client may send before it has shown a token. */
const BEFORE_TOKEN: ReadonlySet<ClientFrameType> = new Set(["auth", "ping"]);

/** Handles what clients send: each frame goes to the session, or to the subscriptions. */
export class FrameHandler {
  readonly #limits: FrameHandlerLimits;
  readonly #meter: Meter;
  readonly #subscriptions: SubscriptionManager;
  readonly #authentication: Authentication;
  readonly #publishing: Publishing;

  constructor(limits: FrameHandlerLimits, meter: Meter, parts: FrameHandlerParts) {
    this.#limits = limits;
    this.#meter = meter;
    this.#subscriptions = parts.subscriptions;
    this.#authentication = parts.authentication;
    this.#publishing = parts.publishing;
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
    // Most frames by far are this one, and reading JSON is dearer than all the rest that an ack costs.
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

  /** The peer sent a ping or a pong. */
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
        return budget.spend(cost + subscriptionCost(frame.subjects.length), nowMs);
      case "unsubscribe":
        return budget.spend(cost + subscriptionCost(), nowMs);
      case "publish":
      case "request":
        return budget.spend(cost + PUBLISH_COST, nowMs);
      case "auth":
        return budget.spend(cost + AUTH_COST, nowMs);
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
        this.#refuse(
          session,
          this.#subscriptions.subscribe(session, requestOf(frame.id, frame)),
          frame.id,
        );
        break;
      case "unsubscribe":
        this.#refuse(session, this.#subscriptions.unsubscribe(session, frame.sub), frame.sub);
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
    this.#refuse(session, refusal, frame.id);
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
