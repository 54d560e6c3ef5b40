import type { ClientFrame } from "../protocol/client-frames.ts";
import type { ErrorCode } from "../protocol/error-codes.ts";
import type { Meter } from "./metering/meter.ts";
import {
  costOf,
  FrameBudget,
  type FrameLimits,
  subscriptionCost,
} from "./sessions/frame-budget.ts";
import type { Session } from "./sessions/session.ts";
import type { Refusal } from "./subscribe/refusal.ts";
import type { SubscriptionManager } from "./subscribe/subscription-manager.ts";
import { type FrameFault, isLongerThan, readClientFrame } from "./wire/client-frame.ts";
import { requestOf } from "./wire/subscription-request.ts";

export interface FrameHandlerLimits extends FrameLimits {
  /** A longer frame from a client closes its connection with 1009. */
  readonly maxFrameBytes: number;
  /** So many malformed frames are answered or ignored; the next one closes the connection with 4400. */
  readonly maxMalformedFrames: number;
}

/** What one client says, and what is answered. */
export class FrameHandler {
  readonly client: Session;
  readonly #limits: FrameHandlerLimits;
  readonly #meter: Meter;
  readonly #subscriptions: SubscriptionManager;
  readonly #budget: FrameBudget;
  #malformedFrames = 0;

  constructor(
    client: Session,
    limits: FrameHandlerLimits,
    meter: Meter,
    subscriptions: SubscriptionManager,
  ) {
    this.client = client;
    this.#budget = new FrameBudget(limits, client.heard());
    this.#limits = limits;
    this.#meter = meter;
    this.#subscriptions = subscriptions;
  }

  /** Takes in a frame. Never throws, whatever is in it. */
  receive(data: string | Uint8Array): void {
    const { client } = this;
    if (client.isOver) return;
    const nowMs = client.heard();
    if (isLongerThan(data, this.#limits.maxFrameBytes)) {
      client.end("frame_too_big");
      return;
    }
    // Most frames by far are this one, and reading JSON is dearer than all the rest that an ack costs.
    if (typeof data === "string" && client.acks?.acceptPlainAck(data, nowMs)) {
      this.#meter.clientFrames.ack++;
      this.#keep(this.#budget.answer(costOf(data), client.sentMessages, nowMs));
      return;
    }
    const frame = readClientFrame(data, client.dialect.name === "v1" ? "v1" : "plain");
    if (!this.#keep(this.#pay(frame, costOf(data), nowMs))) return;
    if (frame.type === "fault") {
      this.#complain(frame);
      return;
    }
    this.#meter.clientFrames[frame.type]++;
    this.#answer(frame, nowMs);
  }

  /** A ping or a pong came, below the frames that are handed over. */
  alive(): void {
    if (!this.client.isOver) this.#keep(this.#budget.spend(1, this.client.heard()));
  }

  #pay(frame: ClientFrame | FrameFault, cost: number, nowMs: number): boolean {
    switch (frame.type) {
      case "ack":
      case "nack":
      case "working":
        return this.#budget.answer(cost, this.client.sentMessages, nowMs);
      case "subscribe":
        return this.#budget.spend(cost + subscriptionCost(frame.subjects.length), nowMs);
      case "unsubscribe":
        return this.#budget.spend(cost + subscriptionCost(), nowMs);
      default:
        return this.#budget.spend(cost, nowMs);
    }
  }

  /** Ends the connection of a client that is not within its budget. */
  #keep(isWithin: boolean): boolean {
    if (!isWithin) this.client.end("too_many_frames");
    return isWithin;
  }

  #answer(frame: ClientFrame, nowMs: number): void {
    switch (frame.type) {
      case "subscribe":
        this.#refuse(
          this.#subscriptions.subscribe(this.client, requestOf(frame.id, frame)),
          frame.id,
        );
        break;
      case "unsubscribe":
        this.#refuse(this.#subscriptions.unsubscribe(this.client, frame.sub), frame.sub);
        break;
      case "ping":
        this.client.tell({ type: "pong", ...(frame.id !== undefined && { id: frame.id }) });
        break;
      case "ack":
      case "nack":
      case "working":
        // In at-most-once an acknowledgement changes nothing.
        this.client.acks?.accept(frame, nowMs);
        break;
      case "slow":
        this.client.slowDown();
        break;
      case "ok":
        this.client.speedUp();
    }
  }

  #refuse(refusal: Refusal | undefined, id: string | undefined): void {
    if (refusal === undefined) return;
    this.#meter.refused[refusal.code]++;
    this.#tellError(refusal, id);
  }

  #complain({ code, message, id }: FrameFault): void {
    // A request that is understood but not served is no fault of the client.
    if (code !== "malformed") {
      this.#refuse({ code, message }, id);
      return;
    }
    this.#malformedFrames++;
    if (this.#malformedFrames > this.#limits.maxMalformedFrames) {
      this.client.end("malformed");
      return;
    }
    this.#meter.countError("malformed_frame", "a client sent a malformed frame");
    this.#tellError({ code, message }, id);
  }

  #tellError(
    { code, message, retryable = false }: { code: ErrorCode; message: string; retryable?: boolean },
    id: string | undefined,
  ): void {
    const named = id !== undefined && { id };
    this.client.tell({ type: "error", ...named, error: { code, message, retryable } });
  }
}
