import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { DeadlineError } from "../support/event-log.ts";
import { encodeFrame, OPCODE, openRaw, type RawWebSocket } from "../support/raw-websocket.ts";
import { contract, EVERY_SOCKET } from "./support/contract.ts";
import { subscribe, useGateway } from "./support/gateway-fixture.ts";
import { metric } from "./support/metrics.ts";
import { useNats } from "./support/nats-fixture.ts";

const RUNS = 40;
const MALFORMED = 'error_type="malformed_frame"';
/** Nothing that a client sends is a reason for these; bytes that make up a close frame are answered with its code. */
const FOR_OTHER_REASONS = [1001, 1011, 4503, 4510, 4511, 4513];
const V1 = { "Sec-WebSocket-Protocol": "spillway.v1.json" };

const PROTOTYPE_KEYS = ["__proto__", "constructor", "prototype", "toString", "valueOf", "then"];

const hugeNumber = fc.constantFrom(
  "1e999",
  "-1e999",
  "9".repeat(400),
  "-0",
  "1e-999",
  "0.1e+308",
  "18446744073709551616",
);
const odd: fc.Arbitrary<string> = fc.oneof(
  hugeNumber,
  fc.json({ maxDepth: 3 }),
  fc.constantFrom(...PROTOTYPE_KEYS).map((key) => `{"${key}":{"type":"ping"}}`),
  fc.constantFrom(...PROTOTYPE_KEYS).map((key) => JSON.stringify(key)),
  fc.integer({ min: 1, max: 5000 }).map((depth) => "[".repeat(depth) + "]".repeat(depth)),
  fc.string({ unit: "binary", maxLength: 300 }).map((text) => JSON.stringify(text)),
);

/** A frame that looks like one of the protocol, with something odd in each of its fields. */
const nearlyFrame = fc
  .record({
    type: fc.constantFrom(
      '"subscribe"',
      '"unsubscribe"',
      '"ping"',
      '"ack"',
      '"nack"',
      '"__proto__"',
      "{}",
      "7",
    ),
    fields: fc.array(
      fc.tuple(
        fc.constantFrom("id", "sub", "subjects", "policy", "max_rate", "from", "mode", "__proto__"),
        fc.oneof(
          odd,
          odd.map((value) => `[${value}]`),
          odd.map((value) => `{"after":${value}}`),
        ),
      ),
      { maxLength: 5 },
    ),
  })
  .map(({ type, fields }) => {
    const rest = fields.map(([name, value]) => `,"${name}":${value}`).join("");
    return `{"type":${type}${rest}}`;
  });

const brokenJson = fc
  .tuple(nearlyFrame, fc.nat(200))
  .map(([text, at]) => text.slice(0, Math.min(at, text.length - 1)));

const text = fc.oneof(odd, nearlyFrame, brokenJson, fc.string({ unit: "binary", maxLength: 200 }));
const bytes = fc.uint8Array({ maxLength: 400 });
/** Cut where it may be in the middle of a character. */
const truncatedUtf8 = fc
  .tuple(fc.string({ unit: "binary", minLength: 1, maxLength: 40 }), fc.nat(3))
  .map(([value, cut]) => Buffer.from(`{"type":"${value}💧`).subarray(0, -(cut + 1)));

/** Well-formed WebSocket frames with anything in them, but for texts that are no UTF-8. */
const frames = fc.array(
  fc.oneof(
    text.map((payload) => encodeFrame({ opcode: OPCODE.text, payload: payload })),
    fc
      .oneof(bytes, truncatedUtf8)
      .map((payload) => encodeFrame({ opcode: OPCODE.binary, payload })),
    bytes.map((payload) => encodeFrame({ opcode: OPCODE.ping, payload: payload.slice(0, 125) })),
    text.map((payload) =>
      Buffer.concat([
        encodeFrame({ opcode: OPCODE.text, payload: "", fin: false }),
        encodeFrame({ opcode: 0, payload: payload }),
      ]),
    ),
  ),
  { minLength: 1, maxLength: 8 },
);

/** What is no WebSocket, or no longer. */
const noise = fc.array(
  fc.oneof(
    bytes,
    truncatedUtf8.map((payload) => encodeFrame({ opcode: OPCODE.text, payload })),
    fc
      .tuple(fc.nat(15), bytes, fc.boolean(), fc.boolean())
      .map(([opcode, payload, fin, compressed]) =>
        encodeFrame({ opcode, payload, fin, compressed }),
      ),
  ),
  { minLength: 1, maxLength: 5 },
);

/** Whatever comes over a socket, nobody but its sender is worse off for it. */
contract(EVERY_SOCKET, (target) => {
  describe("Fuzzing", () => {
    const nats = useNats();
    const gateway = useGateway(target, () => ({
      config: {
        nats_url: nats.url,
        subjects: ["f.>"],
        compression: true,
        max_malformed_frames: 100_000,
        max_subscriptions: 10_000,
      },
    }));

    /** That the process lives, and a client that has been there all the time is served. */
    async function checkAlive(work: (bystander: Awaited<ReturnType<typeof subscribe>>) => unknown) {
      const bystander = await subscribe(gateway(), "?subjects=f.bystander");
      await work(bystander);
      nats.publish("f.bystander", '"last"');
      expect((await bystander.next()).payload).toBe("last");
      expect((await gateway().get("/livez")).status).toBe(200);
      const { logs } = gateway();
      expect(logs.filter(({ level }) => level === "ERROR" || level === "FATAL")).toEqual([]);
    }

    for (const [dialect, headers] of [
      ["plain", {}],
      ["v1", V1],
    ] as const) {
      test(`${dialect}: frames of anything are answered, counted or ignored, on one connection that lives`, async () => {
        const before = await metric(gateway(), "websocket_errors_total", MALFORMED);
        await checkAlive(async (bystander) => {
          const client = await openRaw(gateway().wsUrl, { headers });
          let round = 0;
          await fc.assert(
            fc.asyncProperty(frames, async (some) => {
              for (const frame of some) client.sendRaw(frame);
              const marker = `round ${round++}`;
              client.sendFrame({ opcode: OPCODE.ping, payload: marker });
              const isAnswer = ({ opcode, payload }: { opcode: number; payload: Buffer }) =>
                opcode === OPCODE.pong && payload.toString() === marker;
              await client.frames.find(isAnswer, `pong for ${marker}`);
              nats.publish("f.bystander", String(round));
              expect((await bystander.next()).payload).toBe(round);
            }),
            { numRuns: RUNS },
          );
          expectOnlyAnswers(client, dialect);
          client.destroy();
        });
        const after = await metric(gateway(), "websocket_errors_total", MALFORMED);
        expect(after).toBeGreaterThan(before);
      });

      test(`${dialect}: bytes of anything end their own connection, if that`, async () => {
        await checkAlive(async (bystander) => {
          let round = 0;
          await fc.assert(
            fc.asyncProperty(noise, async (some) => {
              const client = await openRaw(gateway().wsUrl, { headers });
              for (const piece of some) client.sendRaw(piece);
              client.close();
              const ending = client.nextClose(100).catch((error: unknown) => {
                // It waits for the rest of what it takes for a frame.
                if (!(error instanceof DeadlineError)) throw error;
                return { code: 1006 };
              });
              nats.publish("f.bystander", String(++round));
              expect((await bystander.next()).payload).toBe(round);
              expect(FOR_OTHER_REASONS).not.toContain((await ending).code);
              client.destroy();
            }),
            { numRuns: RUNS },
          );
        });
      });
    }
  });
});

/** Checks that nothing was said but what the dialect answers. */
function expectOnlyAnswers({ frames: came }: RawWebSocket, dialect: "plain" | "v1"): void {
  const said = came.entries
    .filter(({ opcode }) => opcode === OPCODE.text)
    .flatMap(({ payload }) => payload.toString().split("\n"))
    .map((line) => JSON.parse(line) as { type: string; subject?: string });
  const types = new Set(said.map(({ type }) => type));
  // A plain client gets all messages, those for the bystander as well, and nothing else.
  const allowed =
    dialect === "plain"
      ? ["data"]
      : ["welcome", "error", "pong", "subscribed", "unsubscribed", "data", "gap", "caught_up"];
  for (const type of types) expect(allowed).toContain(type);
  if (dialect === "v1") expect(types).toContain("error");
}
