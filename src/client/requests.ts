import type { ClientFrame } from "../protocol/client-frames.ts";
import { closedError, gatewayError, SpillwayError } from "./errors.ts";
import { byteLength, encodePayload } from "./payload.ts";
import type { Platform } from "./platform.ts";
import type { IncomingFrame, Welcome } from "./transport.ts";

/** Options of a message that a page publishes. */
export interface MessageOptions {
  /** NATS headers; their names may not begin with `Nats-` or `Spillway-`. */
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
  /** Ends the wait for the answer. */
  readonly signal?: AbortSignal;
}

export interface PublishOptions extends MessageOptions {
  /** The name of the message: a stream stores two of the same name once. Default: a new UUID. */
  readonly id?: string;
  /** The message ends its subject: subscribers get an `end` after it. */
  readonly end?: boolean;
}

export interface RequestOptions extends MessageOptions {
  /** The longest wait for the answer, in milliseconds. Default: 2000. */
  readonly timeoutMs?: number;
}

type MessageFrame = Extract<ClientFrame, { type: "publish" | "request" }>;
type AnswerOf<Frame extends MessageFrame> = Extract<
  IncomingFrame,
  { type: Frame["type"] extends "publish" ? "published" : "response" }
>;

interface Pending {
  readonly frame: MessageFrame;
  readonly bytes: number;
  resolve(frame: IncomingFrame): void;
  reject(error: unknown): void;
}

/** The most that wait for an answer; a gateway allows as many on one connection. */
const MOST_PENDING = 128;
/** A request has its answer, or the gateway's `timeout`, within this time after its own. */
const GRACE_MS = 3000;

/**
 * Messages and requests that wait for their answers. After a lost connection, messages are sent again with the same `id`,
 * in order; requests fail, as the service may have processed them.
 */
export class Requests {
  readonly #send: (frame: ClientFrame) => void;
  readonly #platform: Pick<Platform, "timer" | "uuid">;
  readonly #pending = new Map<string, Pending>();
  #maxFrameBytes: number | undefined;

  constructor(send: (frame: ClientFrame) => void, platform: Pick<Platform, "timer" | "uuid">) {
    this.#send = send;
    this.#platform = platform;
  }

  publish(subject: string, payload: unknown, options: PublishOptions) {
    const { id = this.#platform.uuid(), end } = options;
    const message = messageOf(subject, payload, options);
    return this.#ask({ type: "publish", id, ...message, ...(end && { end }) }, options);
  }

  async request(subject: string, payload: unknown, options: RequestOptions) {
    const { timeoutMs = 2000 } = options;
    const message = messageOf(subject, payload, options);
    const id = this.#platform.uuid();
    const cancel = this.#platform.timer(timeoutMs + GRACE_MS, () =>
      this.#fail(id, new SpillwayError("timeout", "No answer came in time", { retryable: true })),
    );
    const frame = { type: "request", id, ...message, timeout_ms: timeoutMs } as const;
    return await this.#ask(frame, options).finally(cancel);
  }

  /** The gateway takes them. */
  ready({ limits }: Welcome): void {
    this.#maxFrameBytes = limits.max_frame_bytes;
    for (const pending of this.#pending.values()) this.#sendNow(pending);
  }

  down(): void {
    // Requests that wait for a connection were not sent.
    if (this.#maxFrameBytes === undefined) return;
    this.#maxFrameBytes = undefined;
    const error = new SpillwayError("disconnected", "The connection was lost", {
      retryable: true,
    });
    for (const [id, { frame }] of this.#pending) {
      if (frame.type === "request") this.#fail(id, error);
    }
  }

  /** Ends the wait of all. */
  close(error: SpillwayError): void {
    for (const id of this.#pending.keys()) this.#fail(id, error);
  }

  /** @returns whether the frame answers one of them. */
  take(frame: IncomingFrame): boolean {
    if (frame.type === "published" || frame.type === "response")
      return this.#end(frame.id, "resolve", frame);
    if (frame.type !== "error" || frame.id === undefined) return false;
    return this.#fail(frame.id, gatewayError(frame.error));
  }

  async #ask<Frame extends MessageFrame>(
    frame: Frame,
    { signal }: MessageOptions,
  ): Promise<AnswerOf<Frame>> {
    const { id } = frame;
    // The gateway's error would not say of which message it is.
    if (!id || id.length > 128)
      throw new SpillwayError("malformed", '"id" has 1 to 128 characters');
    // Throws if the payload can't be JSON.
    const bytes = byteLength(frame);
    if (this.#pending.size >= MOST_PENDING || this.#pending.has(id)) {
      throw new SpillwayError("too_many_requests", "Wait for answers before you send more", {
        retryable: true,
      });
    }
    // React Native's signals give no reason.
    const abort = (): void => void this.#fail(id, signal?.reason ?? closedError("The request"));
    signal?.addEventListener("abort", abort);
    try {
      return (await new Promise<IncomingFrame>((resolve, reject) => {
        const pending = { frame, bytes, resolve, reject };
        this.#pending.set(id, pending);
        if (signal?.aborted) abort();
        else this.#sendNow(pending);
      })) as AnswerOf<Frame>;
    } finally {
      signal?.removeEventListener("abort", abort);
    }
  }

  #sendNow({ frame, bytes }: Pending): void {
    const most = this.#maxFrameBytes;
    if (most === undefined) return;
    if (bytes <= most) {
      this.#send(frame);
      return;
    }
    // The gateway would close the connection.
    const why = `The message has ${bytes} bytes; a frame may have ${most}`;
    this.#fail(frame.id, new SpillwayError("too_large", why));
  }

  #fail(id: string, error: unknown): boolean {
    return this.#end(id, "reject", error);
  }

  #end(id: string, how: "resolve" | "reject", value: unknown): boolean {
    this.#pending.get(id)?.[how](value as IncomingFrame);
    return this.#pending.delete(id);
  }
}

function messageOf(subject: string, payload: unknown, { headers }: MessageOptions) {
  const lists = Object.entries(headers ?? {}).map(([name, value]) => [name, [value].flat()]);
  return {
    subject,
    ...encodePayload(payload),
    ...(headers && { headers: Object.fromEntries(lists) as Record<string, string[]> }),
  };
}
