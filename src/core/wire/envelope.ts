import { END_HEADER } from "../../protocol/server-frames.ts";
import type { SourceMessage } from "../ports/source.ts";
import { TextFrame } from "../ports/text-frame.ts";
import { ByteWriter } from "./byte-writer.ts";
import { annotatePayload, carryPayload, type Payload, type PayloadFormat } from "./payload.ts";

export type { PayloadFormat } from "./payload.ts";

export interface EnvelopeOptions {
  readonly payloadFormat: PayloadFormat;
  /** The names of the NATS headers that clients may see, in any case; none by default. */
  readonly headers: readonly string[];
}

/** The place of a message among all of its origin. */
export interface Position {
  /** Names the counter: a run of this gateway, or a stream. No origin of another run is equal. */
  readonly origin: string;
  /** Grows with each message of the origin. */
  readonly sequence: number;
  /** The message's number among all that came to this gateway: `sequence`, but for those of streams; 0: it was read later. */
  readonly serial?: number | undefined;
  /** How often something had begun to arrive, where it is told apart what came behind the same message. */
  readonly arrivals?: number | undefined;
  /** A client that resumes there goes back by so many: a value that still waited had superseded one before it. */
  readonly back?: number | undefined;
}

/** A position as clients know it: a cursor, opaque to them. */
export function cursorOf({ origin, sequence, arrivals, back }: Position): string {
  const more = arrivals === undefined ? "" : `.${arrivals}`;
  return `${origin}:${sequence}${more}${back === undefined ? "" : `-${back}`}`;
}

/** The place of a message among all that came to this gateway. */
export function serialOf({ serial, sequence }: Position): number {
  return serial ?? sequence;
}

/** The one of positions that came first. */
export function earliest(positions: Iterable<Position | undefined>): Position | undefined {
  let first: Position | undefined;
  for (const position of positions) {
    if (position === undefined) continue;
    if (first === undefined || serialOf(position) < serialOf(first)) first = position;
  }
  return first;
}

/** The first message that any of these stands for: of very many, no position is made but that one. */
export function firstOf(envelopes: Iterable<Envelope>): Position | undefined {
  let first: Envelope | undefined;
  let least = Number.POSITIVE_INFINITY;
  for (const envelope of envelopes) {
    const { firstSerial } = envelope;
    if (firstSerial >= least) continue;
    least = firstSerial;
    first = envelope;
  }
  return first?.first;
}

/** A message as it goes over the wire: encoded once, one JSON object without a raw newline. */
export class Envelope extends TextFrame implements Position {
  readonly origin: string;
  readonly sequence: number;
  readonly serial: number;
  #subject: string | undefined;
  /** How many earlier messages of its subject it stands for. */
  readonly superseded: number;
  /** The first of them, or its own. */
  readonly firstSequence: number;
  /** The index of `,"payload":` in the bytes: further fields stand before it. */
  readonly payloadAt: number;
  /** Whether its subject ends with it. */
  readonly ends: boolean;
  readonly back: number | undefined;

  constructor(
    position: Position,
    subject: string | undefined,
    bytes: Uint8Array,
    payloadAt: number,
    ends = false,
    superseded = 0,
    firstSequence = position.sequence,
  ) {
    super(bytes);
    this.origin = position.origin;
    this.sequence = position.sequence;
    this.serial = position.serial ?? position.sequence;
    this.#subject = subject;
    this.superseded = superseded;
    this.firstSequence = firstSequence;
    this.payloadAt = payloadAt;
    this.ends = ends;
    this.back = position.back;
  }

  /** The envelope that bytes are, written by an encoder at this position. */
  static read(position: Position, bytes: Uint8Array, payloadAt: number, ends: boolean): Envelope {
    return new Envelope(position, undefined, bytes, payloadAt, ends);
  }

  /** Read when it is asked for: of very many that a client has missed, it may want all. */
  get subject(): string {
    this.#subject ??= readSubject(this.bytes, this.payloadAt);
    return this.#subject;
  }

  /** The resume cursor. */
  get id(): string {
    return cursorOf(this);
  }

  /** The position of the first message that it stands for. */
  get first(): Position {
    const { origin, firstSequence, firstSerial } = this;
    return { origin, sequence: firstSequence, serial: firstSerial };
  }

  /** The place of the first message that it stands for, among all that came to this gateway. */
  get firstSerial(): number {
    return Math.max(0, this.serial - this.sequence + this.firstSequence);
  }

  /** The same message, standing for an earlier one of its subject too, and for all that did. */
  superseding({ origin, superseded, firstSequence }: Envelope): Envelope {
    const count = this.superseded + superseded + 1;
    // A sequence says nothing among those of another origin.
    const first = origin === this.origin ? firstSequence : this.firstSequence;
    const { subject, bytes, payloadAt, ends } = this;
    return new Envelope(this, subject, bytes, payloadAt, ends, count, first);
  }

  /** The same message with one more field, which says something of its delivery to one client. */
  with(field: "superseded" | "redelivery", value: number): Envelope {
    return this.#insert(`,"${field}":${value}`, this.payloadAt, this);
  }

  /** The same message, with an id behind which a client resumes before an earlier message. */
  goingBackBefore(sequence: number): Envelope {
    const { origin, serial } = this;
    const back = this.sequence - sequence + 1;
    const head = encoder.encode(`${HEAD}${origin}:${this.sequence}`);
    const position = { origin, sequence: this.sequence, serial, back };
    return this.#insert(`-${back}`, head.length, position);
  }

  #insert(text: string, at: number, position: Position): Envelope {
    const added = encoder.encode(text);
    const bytes = new Uint8Array(this.bytes.length + added.length);
    bytes.set(this.bytes.subarray(0, at));
    bytes.set(added, at);
    bytes.set(this.bytes.subarray(at), at + added.length);
    const payloadAt = this.payloadAt + added.length;
    const { subject, ends, superseded, firstSequence } = this;
    return new Envelope(position, subject, bytes, payloadAt, ends, superseded, firstSequence);
  }
}

const HEAD = '{"type":"data","id":"';
const SUBJECT = ',"subject":"';

/** Headers are read only if the source doesn't know it without them. */
function endsSubject(message: SourceMessage): boolean {
  return message.ends ?? message.headers?.has(END_HEADER) ?? false;
}

function readSubject(bytes: Uint8Array, payloadAt: number): string {
  const head = decoder.decode(bytes.subarray(0, payloadAt));
  const from = head.indexOf(SUBJECT) + SUBJECT.length;
  const subject = head.slice(from, head.indexOf('"', from));
  return subject.includes("\\") ? JSON.parse(`${head}}`).subject : subject;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const BRACE = 0x7d;
/** More than all that stands in an envelope besides what is counted in `encode`. */
const FRAME_BYTES = 160;

/**
 * Writes the envelope of `type`, `id`, `timestamp`, `subject` and `payload`, in that order
 * (StreamKit's, with `subject` added), as the documentation of the wire protocol describes it.
 *
 * A payload that is valid JSON is carried byte for byte, so that integers above 2^53, the order of
 * keys and duplicate keys survive: it is looked through to see whether it is JSON, and copied.
 */
export class EnvelopeEncoder {
  readonly #annotated: boolean;
  readonly #headers: ReadonlySet<string>;
  readonly #writer = new ByteWriter();
  #origin = "";
  /** `{"type":"data","id":"` and the origin, with its colon. */
  #head = new Uint8Array();
  #timeMs = -1;
  #subject = "";
  /** The bytes between the sequence and the headers, if time and subject were the last message's as well. */
  #middle: Uint8Array | undefined;

  constructor(options: EnvelopeOptions) {
    this.#annotated = options.payloadFormat === "annotated";
    this.#headers = new Set(options.headers.map((name) => name.toLowerCase()));
  }

  encode(message: SourceMessage, position: Position, timestampMs: number): Envelope {
    const { subject } = message;
    const { json, encoding }: Payload = this.#annotated
      ? annotatePayload(message, timestampMs)
      : carryPayload(message.data);
    const headers = this.#headerField(message);
    const payloadBytes = typeof json === "string" ? json.length * 3 : json.length;
    // A character of the subject takes six bytes where it must be escaped.
    const texts = position.origin.length + subject.length * 2 + headers.length;

    const writer = this.#writer;
    writer.begin(FRAME_BYTES + texts * 3 + payloadBytes);
    writer.bytes(this.#headOf(position.origin));
    writer.decimal(position.sequence);
    this.#writeMiddle(timestampMs, subject);
    if (encoding !== "") writer.text(`,"encoding":"${encoding}"`);
    if (message.operation !== undefined) writer.text(`,"operation":"${message.operation}"`);
    writer.text(headers);
    const payloadAt = writer.length;
    writer.text(',"payload":');
    if (typeof json === "string") writer.text(json);
    else writer.bytes(json);
    writer.byte(BRACE);
    return new Envelope(position, subject, writer.take(), payloadAt, endsSubject(message));
  }

  #headOf(origin: string): Uint8Array {
    if (origin !== this.#origin) {
      this.#origin = origin;
      this.#head = encoder.encode(`${HEAD}${origin}:`);
    }
    return this.#head;
  }

  /** Messages of one subject that come in the same millisecond share it: copying is half the price. */
  #writeMiddle(timestampMs: number, subject: string): void {
    const writer = this.#writer;
    const isSubject = subject === this.#subject;
    if (isSubject && timestampMs === this.#timeMs && this.#middle !== undefined) {
      writer.bytes(this.#middle);
      return;
    }
    const start = writer.length;
    writer.text('","timestamp":');
    writer.decimal(timestampMs);
    writer.text(',"subject":');
    writer.jsonText(subject);
    // If subjects alternate, remembering would be in vain.
    this.#middle = isSubject ? writer.since(start) : undefined;
    this.#subject = subject;
    this.#timeMs = timestampMs;
  }

  #headerField(message: SourceMessage): string {
    if (this.#headers.size === 0 || message.headers === undefined) return "";
    const shown = [...message.headers].filter(([name]) => this.#headers.has(name.toLowerCase()));
    return shown.length === 0 ? "" : `,"headers":${JSON.stringify(Object.fromEntries(shown))}`;
  }
}
