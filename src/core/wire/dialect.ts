import type { ServerFrame } from "../../protocol/server-frames.ts";
import { TextFrame } from "../ports/text-frame.ts";
import type { Envelope } from "./envelope.ts";
import { frameText } from "./raw-json.ts";

/** How messages and notices are put on the wire for a kind of client. */
export interface Dialect {
  readonly name: "plain" | "v1" | "sse";
  /** Whether clients are told of gaps and the like, or only get data. */
  readonly sendsNotices: boolean;
  /** The frames that carry these messages, in order. */
  pack(envelopes: readonly Envelope[]): readonly TextFrame[];
  /** @param cursor where a client that loses its connection now resumes, if the frame does not say it. */
  notice(frame: ServerFrame, cursor?: string): TextFrame;
}

/** A frame of several envelopes is no longer than this, unless one envelope is. */
const MOST_FRAME_BYTES = 256 * 1024;
const NEWLINE = 0x0a;
const RETURN = 0x0d;
const SPACE = 0x20;

const encoder = new TextEncoder();

function jsonNotice(frame: ServerFrame): TextFrame {
  return new TextFrame(encoder.encode(frameText(frame)));
}

/** One envelope per frame and nothing else: for StreamKit's clients, and five lines of script. */
export const PLAIN: Dialect = {
  name: "plain",
  sendsNotices: false,
  pack: (envelopes) => envelopes,
  notice: jsonNotice,
};

/** `spillway.v1.json`: several envelopes in one frame, parted by newlines, which no envelope holds. */
export const V1: Dialect = {
  name: "v1",
  sendsNotices: true,
  pack: (envelopes) => (envelopes.length < 2 ? envelopes : joinLines(envelopes)),
  notice: jsonNotice,
};

/**
 * Server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html): messages are
 * events without a name whose `id` is the cursor, notices are events named by their type. Those
 * that say where to go on have that as their `id`: an `EventSource` that is cut then goes on there.
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

/** Behind which cursor a client misses nothing that it was not told of, where a notice says it. */
function cursorIn(frame: ServerFrame): string | undefined {
  if (frame.type === "disconnect") return frame.cursor;
  if (frame.type !== "gap") return undefined;
  // The end of a gap of unknown size may lie before messages that come, or be of something else.
  const { reason, count, to } = frame;
  return reason !== "upstream" && (count > 0 || reason === "stream_reset") ? to : undefined;
}

function joinLines(envelopes: readonly Envelope[]): TextFrame[] {
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

function joinEvents(envelopes: readonly Envelope[]): TextFrame {
  const heads = envelopes.map(({ id }) => encoder.encode(`id: ${id}\ndata: `));
  const around = heads.reduce((sum, head) => sum + head.length + 2, 0);
  const bytes = new Uint8Array(envelopes.reduce((sum, { byteLength }) => sum + byteLength, around));
  let at = 0;
  for (const [index, envelope] of envelopes.entries()) {
    bytes.set(heads[index]!, at);
    bytes.set(envelope.bytes, at + heads[index]!.length);
    at += heads[index]!.length + envelope.byteLength;
    bytes[at++] = NEWLINE;
    bytes[at++] = NEWLINE;
  }
  // A carriage return ends a line here. JSON strings hold no raw one, so each stands between tokens.
  for (let at = bytes.indexOf(RETURN); at >= 0; at = bytes.indexOf(RETURN, at + 1)) {
    bytes[at] = SPACE;
  }
  return new TextFrame(bytes);
}
