import type { SourceMessage } from "../../../src/core/ports/source.ts";
import { Envelope, EnvelopeEncoder, type Position } from "../../../src/core/wire/envelope.ts";

/** An encoder that counts what it encodes, and how often the gateway then looks at one of its envelopes. */
export class CountingEncoder extends EnvelopeEncoder {
  encoded = 0;
  /** How often a subject was read, or the position of a first message. */
  looks = 0;

  constructor() {
    super({ payloadFormat: "raw", headers: [] });
  }

  override encode(message: SourceMessage, position: Position, timestampMs: number): Envelope {
    this.encoded++;
    const { bytes, payloadAt, ends } = super.encode(message, position, timestampMs);
    return new CountedEnvelope(this, position, message.subject, bytes, payloadAt, ends);
  }
}

class CountedEnvelope extends Envelope {
  readonly #counter: CountingEncoder;

  constructor(
    counter: CountingEncoder,
    position: Position,
    subject: string,
    bytes: Uint8Array,
    payloadAt: number,
    ends: boolean,
  ) {
    super(position, subject, bytes, payloadAt, ends);
    this.#counter = counter;
  }

  override get subject(): string {
    this.#counter.looks++;
    return super.subject;
  }

  override get first(): Position {
    this.#counter.looks++;
    return super.first;
  }
}
