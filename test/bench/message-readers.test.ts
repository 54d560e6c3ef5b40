import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Latencies } from "../../bench/load/latency.ts";
import {
  EnvelopeReader,
  NatsReader,
  SocketIoReader,
  V1Reader,
} from "../../bench/load/message-readers.ts";

const READERS = { EnvelopeReader, NatsReader, SocketIoReader, V1Reader };

/** An unmasked frame (RFC 6455 §5.2). */
function frame(opcode: number, text: string): Buffer {
  const { length } = text;
  const size = length < 126 ? [length] : [126, length >> 8, length & 0xff];
  return Buffer.from([0x80 | opcode, ...size, ...Buffer.from(text)]);
}

/** Feeds a stream in chunks that end at these places, and tells all that was found in it. */
function read(name: keyof typeof READERS, stream: Buffer, ends: readonly number[]) {
  const found: string[] = [];
  const events = {
    ping: (content = "") => void found.push(content === "" ? "ping" : `ping ${content}`),
    subscribed: () => void found.push("subscribed"),
    wantsAnswer: (subject: string) => void found.push(subject),
    fault: (what: string) => void found.push(what),
  };
  const sampling = { every: 1, latencies: new Latencies() };
  const reader = new READERS[name](events, sampling, 0);
  const borders = [...new Set([...ends.map((end) => end % stream.length), stream.length])];
  let start = 0;
  for (const end of borders.toSorted((a, b) => a - b)) {
    // A copy, which is overwritten: a reader must not keep what it was lent.
    const chunk = Buffer.from(stream.subarray(start, end));
    reader.read(chunk);
    chunk.fill(0xff);
    start = end;
  }
  return { messages: reader.messages, found };
}

const payload = (bytes: number): string => `{"t":1700000000000000,"d":"${"x".repeat(bytes)}"}`;
const STREAMS = {
  EnvelopeReader: {
    stream: [frame(1, payload(20)), frame(9, "1234"), frame(1, payload(300)), frame(8, "\x03\xe8")],
    found: ["ping 1234", "closed by the server"],
  },
  NatsReader: {
    stream: [
      frame(2, "INFO {}\r\nPONG\r\nMSG bench.load 1 5\r\nhel"),
      frame(2, "lo\r\nHMSG _INBOX.a 1 $JS.FC.KEPT.b.c 12 12\r\nNATS/1.0\r\n\r\n\r\n"),
      frame(2, "MSG bench.load 1 2\r\nok\r\nPING\r\n-ERR 'no'\r\n"),
    ],
    found: ["subscribed", "$JS.FC.KEPT.b.c", "ping", "an error of NATS"],
  },
  SocketIoReader: {
    stream: [
      frame(1, '0{"sid":"a"}'),
      frame(1, '40{"sid":"b"}'),
      frame(1, `42["data",${payload(20)}]`),
      frame(1, "2"),
      frame(1, `42["data",${payload(300)}]`),
    ],
    found: ["subscribed", "ping"],
  },
  V1Reader: {
    stream: [
      frame(1, '{"type":"welcome"}'),
      frame(1, '{"type":"subscribed"}'),
      frame(9, ""),
      frame(1, `${payload(20)}\n${payload(300)}`),
    ],
    found: ["subscribed", "ping"],
  },
} as const;

for (const name of Object.keys(STREAMS) as (keyof typeof STREAMS)[]) {
  describe(name, () => {
    test("finds the same wherever chunks end", () => {
      const { stream, found } = STREAMS[name];
      const bytes = Buffer.concat(stream);
      fc.assert(
        fc.property(fc.array(fc.nat(), { maxLength: 12 }), (ends) => {
          expect(read(name, bytes, ends)).toEqual({ messages: 2, found: [...found] });
        }),
      );
    });
  });
}
