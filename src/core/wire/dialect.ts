import type { EndFrame, ServerFrame } from "../../protocol/server-frames.ts";
import { TextFrame } from "../ports/text-frame.ts";
import { endCursorOf } from "./end-cursor.ts";
import type { Envelope } from "./envelope.ts";
import { frameText } from "./raw-json.ts";

/** How messages and notices are put on the wire for a kind of client. */
export interface Dialect {
  readonly name: "plain" | "v1" | "sse";
  /** Whether clients are told of gaps and the like, or only get data. */
  readonly sendsNotices: boolean;
  /** The frames that carry these messages, in order. */
  pack(envelopes: readonly Envelope[]): readonly TextFrame[];
  /** @param cursor the place where a client resumes that loses its connection now. Default: the one that the frame names. */
  notice(frame: ServerFrame, cursor?: string): TextFrame;
}

/** A frame of several envelopes is no longer than this, unless one envelope is. */
const MOST_FRAME_BYTES = 256 * 1024;
const NEWLINE = 0x0a;
const RETURN = 0x0d;
const SPACE = 0x20;

const encoder = new TextEncoder();
const EVENT_ENDS = encoder.encode("\n\n");

function jsonNotice(frame: ServerFrame): TextFrame {
  return new TextFrame(encoder.encode(frameText(frame)));
}

function endText({ id, subject }: Envelope): string {
  const frame: EndFrame = { type: "end", subject, id };
  return JSON.stringify(frame);
}

/** One envelope per frame and nothing else: for StreamKit's clients, and five lines of script. */
export const PLAIN: Dialect = {
  name: "plain",
  sendsNotices: false,
  pack: (envelopes) => envelopes,
  notice: jsonNotice,
};

/** `spillway.v1.json`: several envelopes in one frame, separated by newlines, which no envelope holds. */
export const V1: Dialect = {
  name: "v1",
  sendsNotices: true,
  pack(envelopes) {
    const frames = envelopes.some(({ ends }) => ends) ? envelopes.map(withEnd) : envelopes;
    return frames.length < 2 ? frames : joinLines(frames);
  },
  notice: jsonNotice,
};

/**
 * Server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html): messages are
 * events without a name whose `id` is the cursor, notices are events named by their type. Those
 * that name a place to resume have it as their `id`: an `EventSource` that loses its connection resumes there.
 */
export const SSE: Dialect = {
  name: "sse",
  sendsNotices: true,
  pack: (envelopes) => [joinEvents(envelopes)],
  notice: (frame, cursor = cursorIn(frame)) => {
    const id = cursor === undefined ? "" : `id: ${cursor}\n`;
    const retry =
      frame.type === "disconnect" && frame.retry_after_ms !== undefined
        ? `retry: ${frame.retry_after_ms}\n`
        : "";
    const event = `event: ${frame.type}\ndata: ${JSON.stringify(frame)}\n\n`;
    return new TextFrame(encoder.encode(retry + id + event));
  },
};

/** Returns the cursor in a notice after which a client misses nothing that it was not told of. */
function cursorIn(frame: ServerFrame): string | undefined {
  if (frame.type === "disconnect") return frame.cursor;
  if (frame.type !== "gap") return undefined;
  // The end of a gap of unknown size may lie before messages that come, or be of something else.
  const { reason, count, to } = frame;
  return reason !== "upstream" && (count > 0 || reason === "stream_reset") ? to : undefined;
}

/** A message and the end of its subject are one frame: a client that loses its connection has both or neither. */
function withEnd(envelope: Envelope): TextFrame {
  if (!envelope.ends) return envelope;
  const end = encoder.encode(`\n${endText(envelope)}`);
  const bytes = new Uint8Array(envelope.byteLength + end.length);
  bytes.set(envelope.bytes);
  bytes.set(end, envelope.byteLength);
  return new TextFrame(bytes);
}

function joinLines(envelopes: readonly TextFrame[]): TextFrame[] {
  const frames: TextFrame[] = [];
  let from = 0;
  while (from < envelopes.length) {
    let length = envelopes[from]!.byteLength;
    let to = from + 1;
    while (to < envelopes.length && length + 1 + envelopes[to]!.byteLength <= MOST_FRAME_BYTES) {
      length += 1 + envelopes[to++]!.byteLength;
    }
    const bytes = new Uint8Array(length);
    let at = 0;
    for (let index = from; index < to; index++) {
      if (at > 0) bytes[at++] = NEWLINE;
      bytes.set(envelopes[index]!.bytes, at);
      at += envelopes[index]!.byteLength;
    }
    frames.push(new TextFrame(bytes));
    from = to;
  }
  return frames;
}

/**
 * Returns what stands before and after an envelope. An `EventSource` that loses its connection between a message and
 * the end of its subject gets both again: only the end has an `id`.
 */
function aroundEvent(envelope: Envelope): { readonly head: Uint8Array; readonly tail: Uint8Array } {
  if (!envelope.ends) {
    return { head: encoder.encode(`id: ${envelope.id}\ndata: `), tail: EVENT_ENDS };
  }
  const end = `event: end\nid: ${endCursorOf(envelope)}\ndata: ${endText(envelope)}\n\n`;
  return { head: encoder.encode("data: "), tail: encoder.encode(`\n\n${end}`) };
}

function joinEvents(envelopes: readonly Envelope[]): TextFrame {
  const around = envelopes.map(aroundEvent);
  let length = 0;
  for (const [index, { byteLength }] of envelopes.entries()) {
    const { head, tail } = around[index]!;
    length += head.length + byteLength + tail.length;
  }
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const [index, envelope] of envelopes.entries()) {
    const { head, tail } = around[index]!;
    bytes.set(head, at);
    bytes.set(envelope.bytes, at + head.length);
    at += head.length + envelope.byteLength;
    bytes.set(tail, at);
    at += tail.length;
  }
  // A carriage return ends a line here. JSON strings hold no raw one, so each stands between tokens.
  for (let at = bytes.indexOf(RETURN); at >= 0; at = bytes.indexOf(RETURN, at + 1)) {
    bytes[at] = SPACE;
  }
  return new TextFrame(bytes);
}
