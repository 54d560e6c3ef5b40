import { describe, expect, test } from "bun:test";
import { deflateRawSync } from "node:zlib";
import { startProcess } from "../support/child-process.ts";
import type { Gateway } from "../support/gateway-process.ts";
import { ensureNode } from "../support/node-binary.ts";
import {
  deflated,
  type Frame,
  OPCODE,
  openRaw,
  type RawWebSocket,
  textOf,
} from "../support/raw-websocket.ts";
import { ROOT } from "../support/runtimes.ts";
import { contract, EVERY_SOCKET } from "./support/contract.ts";
import { subscribe, subscribeRaw, takenIn, useGateway } from "./support/gateway-fixture.ts";
import { expectBalancedLedger } from "./support/metrics.ts";
import { countTo, type NatsFixture, numbersOf, useNats } from "./support/nats-fixture.ts";

const OFFER = {
  "Sec-WebSocket-Extensions":
    "permessage-deflate; client_no_context_takeover; server_no_context_takeover",
};
/** As browsers offer it. */
const BROWSERS_OFFER = {
  "Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits",
};
/** What clients may offer, and whether it is something that is kept. */
const OFFERS: readonly (readonly [offers: string, agreed: boolean])[] = [
  ["permessage-deflate; server_max_window_bits=9", false],
  ["permessage-deflate; server_max_window_bits=15", true],
  ["permessage-deflate; server_max_window_bits=9, permessage-deflate", true],
  ["permessage-deflate; client_max_window_bits=8; server_no_context_takeover", true],
  ["permessage-deflate; foo", false],
  ["permessage-deflate; foo=1, permessage-deflate; client_max_window_bits", true],
  ["permessage-deflate; client_max_window_bits; client_max_window_bits=10", false],
  ["permessage-deflate; server_max_window_bits", false],
  ["permessage-deflate; client_max_window_bits=99", false],
  ["x-webkit-deflate-frame, permessage-deflate", true],
  ["permessage-deflate;; ==", false],
];
const V1 = { "Sec-WebSocket-Protocol": "spillway.v1.json" };

/** The package ws inflates ten frames at a time, all connections together: a place that is lost is lost for ever. */
const MORE_THAN_ARE_INFLATED_AT_ONCE = 12;
const PING = deflated('{"type":"ping","id":"1"}');
const FIRST_HALF = PING.subarray(0, PING.length / 2);
/** As much as a frame of `max_frame_bytes` can hold. */
const BOMB = deflated("x".repeat(3 * 1024 ** 2));
/** A stream that says that it is over, as a message's may (RFC 7692 §7.2.3.4). */
const OVER = deflateRawSync('{"type":"ping","id":"2"}');

function sendInflatable(client: RawWebSocket, payload: Uint8Array, fin = true): void {
  client.sendFrame({ opcode: OPCODE.text, payload, fin, compressed: true });
}

/** What is wrong with compressed frames, or happens while they are inflated. */
const ATTACKS: readonly (readonly [string, (client: RawWebSocket) => void])[] = [
  ["frames that are cut off", (client) => sendInflatable(client, FIRST_HALF)],
  ["empty frames", (client) => sendInflatable(client, Buffer.alloc(0))],
  [
    "streams that are over, with something behind it",
    (client) => {
      sendInflatable(client, OVER);
      sendInflatable(client, Buffer.concat([OVER, Buffer.from("behind")]));
      sendInflatable(client, PING);
    },
  ],
  [
    "bombs behind one another",
    (client) => {
      for (let n = 0; n < 5; n++) sendInflatable(client, BOMB);
    },
  ],
  [
    "senders that are gone before their bomb is inflated",
    (client) => {
      sendInflatable(client, BOMB);
      client.destroy();
    },
  ],
  [
    "senders that are gone in the middle of a message",
    (client) => {
      sendInflatable(client, FIRST_HALF, false);
      client.destroy();
    },
  ],
  [
    "second frames that say that they are compressed too",
    (client) => {
      sendInflatable(client, FIRST_HALF, false);
      client.sendFrame({ opcode: 0, payload: PING, compressed: true });
    },
  ],
];

/** permessage-deflate (RFC 7692), for clients that offer it. */
contract(EVERY_SOCKET, (target) => {
  const gap = target.gaps.compression;

  describe("Compression", () => {
    const nats = useNats();
    const gateway = useGateway(target, () => ({
      config: {
        nats_url: nats.url,
        subjects: ["z.>"],
        compression: true,
        compression_threshold_bytes: 1000,
        max_frame_bytes: 4096,
      },
    }));

    /** Checks that a long frame is compressed, or that this runtime still cannot. */
    function expectCompressed(frame: Frame): void {
      expect({ gap, compressed: frame.compressed }).toEqual({ gap, compressed: gap === undefined });
      const { length } = textOf(frame);
      if (gap === undefined) expect(frame.payload.length).toBeLessThan(length / 4);
    }

    for (const [what, headers] of [
      ["permessage-deflate without context takeover", OFFER],
      ["permessage-deflate as browsers do", BROWSERS_OFFER],
    ] as const) {
      test(`Client that offers ${what} gets compressed frames, with the same text in them`, async () => {
        const client = await subscribeRaw(gateway(), { headers });
        expectAgreement(client, gap);
        const plain = await subscribe(gateway());
        await nats.flood("z.long", 20, 3000);
        const texts = await client.takeTexts(20);
        expect(texts).toEqual(await takeTexts(plain, 20));
        for (const frame of textFrames(client)) expectCompressed(frame);
      });
    }

    for (const [offers, agreed] of OFFERS) {
      test(`The offer "${offers}" is ${agreed ? "taken" : "declined"}, and never refused`, async () => {
        const headers = { "Sec-WebSocket-Extensions": offers };
        const client = await subscribeRaw(gateway(), { headers });
        const answer = client.response.headers.get("sec-websocket-extensions") ?? "";
        // Deno's own sockets decline them all.
        expect(answer.startsWith("permessage-deflate")).toBe(agreed && gap === undefined);
        expect(answer).not.toMatch(/client_max_window_bits|foo|window_bits=(?!15)/);
        await nats.flood("z.long", 2, 3000);
        await client.takeTexts(2);
        for (const frame of textFrames(client)) {
          expect(frame.compressed).toBe(agreed && gap === undefined);
        }
      });
    }

    for (const bits of [8, 9, 12, 15]) {
      test(`The package ws, which offers windows of ${bits} bits, reads what it is sent`, async () => {
        const command = [ensureNode("node"), `${ROOT}test/support/ws-reader.ts`];
        const open = async () => {
          const client = await startProcess("ws", [...command, gateway().wsUrl, `${bits}`]);
          expect((await client.lines.next("line")).text).toBe("open");
          return [client];
        };
        const [client] = await takenIn(gateway(), open, (one) => one.signal("SIGKILL"));
        // What repeats is farther away than the smaller windows reach.
        const far = Array.from({ length: 3000 }, (_, n) => (n * n * 31) % 9973).join(",");
        nats.publish("z.far", JSON.stringify(far + far));
        const { text } = await client!.lines.next("message");
        expect(text).toStartWith("{");
        expect(JSON.parse(text)).toMatchObject({ payload: far + far });
      });
    }

    test("Client that does not offer it gets plain frames", async () => {
      const client = await subscribeRaw(gateway());
      expect(client.response.headers.get("sec-websocket-extensions")).toBeUndefined();
      await nats.flood("z.long", 5, 3000);
      await client.takeTexts(5);
      expect(textFrames(client).every(({ compressed }) => !compressed)).toBe(true);
    });

    test("Frames below compression_threshold_bytes are plain, among compressed ones", async () => {
      const client = await subscribeRaw(gateway(), { headers: OFFER });
      for (let n = 0; n < 5; n++) {
        nats.publish("z.short", "1");
        await nats.flood("z.long", 1, 3000);
      }
      await client.takeTexts(10);
      for (const [index, frame] of textFrames(client).entries()) {
        if (index % 2 === 1) expectCompressed(frame);
        else expect(frame.compressed).toBe(false);
      }
    });

    test("Both kinds of clients at once get the same, in order", async () => {
      const offers = [OFFER, {}, BROWSERS_OFFER, {}];
      const clients: RawWebSocket[] = [];
      for (const headers of offers) clients.push(await subscribeRaw(gateway(), { headers }));
      const platform = await subscribe(gateway());
      for (const bytes of [100, 2000]) await nats.flood("z.mixed", 500, bytes);
      const expected = await takeTexts(platform, 1000);
      expect(expected.map(numberOf)).toEqual([...countTo(500), ...countTo(500)]);
      for (const client of clients) expect(await client.takeTexts(1000)).toEqual(expected);
    });

    test("Frames of v1 clients are compressed too, several messages in one", async () => {
      const client = await subscribeRaw(gateway(), { headers: { ...OFFER, ...V1 } });
      client.send(JSON.stringify({ type: "subscribe", id: "1", subjects: ["z.*"] }));
      await untilSaid(client, '"subscribed"');
      await nats.flood("z.v1", 100, 1500);
      await untilSaid(client, '"n":99');
      const long = textFrames(client).filter((frame) => textOf(frame).length >= 1000);
      expect(long.length).toBeGreaterThan(0);
      for (const frame of long) expectCompressed(frame);
    });

    test("Stalled client gets all that waited when it reads again", async () => {
      const client = await subscribeRaw(gateway(), { headers: OFFER });
      client.pause();
      const pace = await subscribe(gateway());
      expect(await nats.floodInStep(pace, "z.slow", 1000, 3000)).toEqual(countTo(1000));
      client.resume();
      expect((await client.takeTexts(1000)).map(numberOf)).toEqual(countTo(1000));
      await expectBalancedLedger(gateway());
    });

    test("What clients send compressed is understood", async () => {
      const client = await subscribeRaw(gateway(), { headers: { ...OFFER, ...V1 } });
      sendCompressed(client, { type: "subscribe", id: "1", subjects: ["z.>"] });
      if (gap !== undefined) {
        // Nobody has agreed to it: a reserved bit is a protocol error.
        expect([1002, 1006]).toContain((await client.nextClose()).code);
        return;
      }
      await untilSaid(client, '"subscribed"');
      for (let n = 0; n < 3; n++) {
        sendCompressed(client, { type: "ping", id: `p${n}` });
        await untilSaid(client, `"p${n}"`);
      }
    });

    test("A compressed frame that is too long when inflated closes that connection only", async () => {
      const client = await subscribeRaw(gateway(), { headers: OFFER });
      const payload = deflated("x".repeat(1024 ** 2));
      expect(payload.length).toBeLessThan(4096);
      client.sendFrame({ opcode: OPCODE.text, payload, compressed: true });
      expect([1009, 1006]).toContain((await client.nextClose()).code);
      await expectUntouched(gateway(), nats);
    });

    test("A compressed frame that is none closes that connection only", async () => {
      const client = await subscribeRaw(gateway(), { headers: OFFER });
      const payload = Buffer.from("no deflate stream at all");
      client.sendFrame({ opcode: OPCODE.text, payload, compressed: true });
      expect([1007, 1006]).toContain((await client.nextClose()).code);
      await expectUntouched(gateway(), nats);
    });

    for (const [what, attack] of ATTACKS) {
      test.skipIf(gap !== undefined)(
        `Many ${what} leave the next client's compressed frames to be read`,
        async () => {
          const attackers: RawWebSocket[] = [];
          for (let n = 0; n < MORE_THAN_ARE_INFLATED_AT_ONCE; n++) {
            const attacker = await openRaw(gateway().wsUrl, { headers: OFFER });
            attackers.push(attacker);
            attack(attacker);
          }
          const client = await subscribeRaw(gateway(), { headers: { ...OFFER, ...V1 } });
          sendCompressed(client, { type: "ping", id: "still here" });
          await untilSaid(client, '"still here"');
          for (const attacker of attackers) attacker.destroy();
        },
      );
    }
  });

  describe("Compression that is off", () => {
    const nats = useNats();
    const gateway = useGateway(target, () => ({
      config: { nats_url: nats.url, subjects: ["z.>"] },
    }));

    test("An offer is not taken, and frames are plain", async () => {
      const client = await subscribeRaw(gateway(), { headers: OFFER });
      expect(client.response.headers.get("sec-websocket-extensions")).toBeUndefined();
      await nats.flood("z.long", 5, 3000);
      await client.takeTexts(5);
      expect(textFrames(client).every(({ compressed }) => !compressed)).toBe(true);
    });
  });
});

/** Checks what the handshake says of permessage-deflate. */
function expectAgreement({ response }: RawWebSocket, gap: string | undefined): void {
  const extensions = response.headers.get("sec-websocket-extensions");
  if (gap === undefined) {
    expect(extensions).toMatch(/^permessage-deflate/);
    // The same compressed frame fits everybody only so.
    expect(extensions).toContain("server_no_context_takeover");
  } else expect({ gap, extensions }).toEqual({ gap, extensions: undefined });
}

async function expectUntouched(gateway: Gateway, nats: NatsFixture): Promise<void> {
  const other = await subscribe(gateway);
  nats.publish("z.after", '"still here"');
  expect((await other.next()).payload).toBe("still here");
}

function sendCompressed(client: RawWebSocket, frame: object): void {
  const payload = deflated(JSON.stringify(frame));
  client.sendFrame({ opcode: OPCODE.text, payload, compressed: true });
}

async function untilSaid(client: RawWebSocket, text: string): Promise<void> {
  const isIt = (frame: Frame): boolean =>
    frame.opcode === OPCODE.text && textOf(frame).includes(text);
  await client.frames.find(isIt, `frame with ${text}`);
}

function textFrames({ frames }: RawWebSocket): Frame[] {
  return frames.entries.filter(({ opcode }) => opcode === OPCODE.text);
}

async function takeTexts(
  client: { nextText(): Promise<string> },
  count: number,
): Promise<string[]> {
  const texts: string[] = [];
  while (texts.length < count) texts.push(await client.nextText());
  return texts;
}

function numberOf(text: string): number {
  return numbersOf([JSON.parse(text)])[0]!;
}
