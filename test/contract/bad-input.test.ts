import { describe, expect, test } from "bun:test";
import { connect as connectTcp } from "node:net";
import { encodeFrame, OPCODE } from "../support/raw-websocket.ts";
import { contract, EVERY_SOCKET } from "./support/contract.ts";
import { subscribe, subscribeRaw, useGateway } from "./support/gateway-fixture.ts";
import { metric, untilMetric } from "./support/metrics.ts";
import { useNats } from "./support/nats-fixture.ts";

const NO_UTF8 = Uint8Array.of(0x22, 0xc3, 0x28, 0x22);
const MALFORMED = 'error_type="malformed_frame"';

/** Frames that no plain client has a reason to send; none is what the wire protocol knows. */
const GARBAGE: readonly (readonly [what: string, frame: string | Uint8Array])[] = [
  ["no JSON", "hello"],
  ["an empty text", ""],
  ["an empty binary frame", new Uint8Array(0)],
  ["JSON that is no object", "[1]"],
  ["the literal null", "null"],
  ["an object without a type", '{"id":"1"}'],
  ["an unknown type", '{"type":"publish","id":"1"}'],
  ["a type of the object's prototype", '{"type":"constructor","id":"1"}'],
  ["an ack without an id", '{"type":"ack"}'],
  ["bytes that are no UTF-8", Uint8Array.of(0xc3, 0x28, 0x00, 0xff)],
  ["deeply nested brackets", "[".repeat(900)],
];

/** Nothing that one client sends ends the process or touches another client. */
contract(EVERY_SOCKET, (target) => {
  describe("Bad input", () => {
    const nats = useNats();
    const gateway = useGateway(target, () => ({
      config: {
        nats_url: nats.url,
        subjects: ["in.>"],
        max_frame_bytes: 1024,
        max_malformed_frames: GARBAGE.length,
      },
    }));

    /** What a client sees of a protocol error: its code, or a connection that is just gone. */
    const protocolError = (code: number): number =>
      target.gaps.protocolErrorCodes === undefined ? code : 1006;

    /** That a client is served like on the first day. */
    async function expectUntouched(client: Awaited<ReturnType<typeof subscribe>>): Promise<void> {
      nats.publish("in.after", '"still here"');
      expect((await client.next()).payload).toBe("still here");
    }

    test("Malformed frames are counted and ignored", async () => {
      const client = await subscribe(gateway());
      const before = await metric(gateway(), "websocket_errors_total", MALFORMED);
      for (const [, frame] of GARBAGE) client.send(frame as string);
      const all = (value: number): boolean => value >= before + GARBAGE.length;
      await untilMetric(gateway(), "websocket_errors_total", all, MALFORMED);
      await expectUntouched(client);
    });

    test("Client past max_malformed_frames is closed with 4400", async () => {
      const other = await subscribe(gateway());
      const client = await subscribe(gateway());
      for (let n = 0; n <= GARBAGE.length; n++) client.send("garbage");
      expect(await client.closed()).toEqual({ code: 4400, reason: "too many malformed frames" });
      await expectUntouched(other);
    });

    test("StreamKit's ack, nack and slow are accepted and not counted as malformed", async () => {
      const client = await subscribe(gateway());
      const before = await metric(gateway(), "websocket_errors_total");
      const framesBefore = await metric(gateway(), "websocket_client_frames_total");
      for (let n = 0; n < 50; n++) nats.publish("in.data", `${n}`);
      for (const { id } of await client.take(50)) {
        client.send(JSON.stringify({ type: "ack", id, timestamp: Date.now() }));
      }
      const payload = { reason: "publish_failed", error: "x" };
      client.send(JSON.stringify({ type: "nack", id: "x:1", timestamp: 1, payload }));
      client.send(
        JSON.stringify({
          type: "slow",
          id: "bp-1",
          timestamp: 1,
          payload: {
            queue_depth: 81,
            queue_capacity: 100,
            utilization: 0.81,
            threshold: 0.8,
            recommendation: "slow_down",
          },
        }),
      );
      client.send(new TextEncoder().encode('{"type":"ack","id":"binary"}'));
      const all = (value: number): boolean => value >= framesBefore + 53;
      await untilMetric(gateway(), "websocket_client_frames_total", all);
      expect(await metric(gateway(), "websocket_errors_total")).toBe(before);
      await expectUntouched(client);
    });

    test("Frame as long as max_frame_bytes is taken, a longer one closes with 1009", async () => {
      const other = await subscribe(gateway());
      const client = await subscribe(gateway());
      const frames = await metric(gateway(), "websocket_client_frames_total");
      const longest = '{"type":"ack","id":""}';
      client.send(longest.replace('""', `"${"x".repeat(1024 - longest.length)}"`));
      await untilMetric(gateway(), "websocket_client_frames_total", (value) => value > frames);
      client.send("x".repeat(1025));
      expect((await client.closed()).code).toBe(1009);
      await expectUntouched(other);
    });

    test("Fragments that are too long together close with 1009", async () => {
      const other = await subscribe(gateway());
      const raw = await subscribeRaw(gateway());
      raw.sendFrame({ opcode: OPCODE.text, fin: false, payload: "x".repeat(600) });
      raw.sendFrame({ opcode: 0, fin: true, payload: "x".repeat(600) });
      expect((await raw.nextClose()).code).toBe(1009);
      await expectUntouched(other);
    });

    test("Frame of gigabytes is refused by its header alone", async () => {
      const other = await subscribe(gateway());
      const raw = await subscribeRaw(gateway());
      raw.sendRaw(Uint8Array.of(0x81, 0xff, 0, 0, 0, 1, 0, 0, 0, 0, 1, 2, 3, 4));
      expect((await raw.nextClose()).code).toBe(protocolError(1009));
      await expectUntouched(other);
    });

    for (const [what, bytes, code] of [
      ["A reserved opcode", Uint8Array.of(0x83, 0x80, 1, 2, 3, 4), 1002],
      ["A reserved bit", Uint8Array.of(0xc1, 0x80, 1, 2, 3, 4), 1002],
      ["A fragmented ping", Uint8Array.of(0x09, 0x80, 1, 2, 3, 4), 1002],
      ["A continuation of nothing", Uint8Array.of(0x80, 0x80, 1, 2, 3, 4), 1002],
      ["A ping of 126 bytes", encodeFrame({ opcode: OPCODE.ping, payload: "x".repeat(126) }), 1002],
      ["A close frame of one byte", encodeFrame({ opcode: OPCODE.close, payload: "x" }), 1002],
      ["Text that is no UTF-8", encodeFrame({ opcode: OPCODE.text, payload: NO_UTF8 }), 1007],
    ] as const) {
      test(`${what} closes that connection with ${code}, and no other`, async () => {
        const other = await subscribe(gateway());
        const raw = await subscribeRaw(gateway());
        raw.sendRaw(bytes);
        expect((await raw.nextClose()).code).toBe(protocolError(code));
        await expectUntouched(other);
      });
    }

    test("An unmasked frame closes that connection with 1002, and no other", async () => {
      const other = await subscribe(gateway());
      const raw = await subscribeRaw(gateway());
      const before = await metric(gateway(), "websocket_errors_total", MALFORMED);
      raw.sendFrame({ opcode: OPCODE.text, payload: "hi", masked: false });
      if (target.gaps.unmaskedFrames === undefined) {
        expect((await raw.nextClose()).code).toBe(1002);
      } else {
        // It is read, and is as malformed as any other "hi".
        const one = (value: number): boolean => value === before + 1;
        await untilMetric(gateway(), "websocket_errors_total", one, MALFORMED);
      }
      await expectUntouched(other);
    });

    test("Close frames with codes that no peer may send end that connection only", async () => {
      const other = await subscribe(gateway());
      for (const code of [0, 999, 1005, 1006, 1015, 2999, 5000]) {
        const raw = await subscribeRaw(gateway());
        raw.close(code);
        await raw.nextClose();
      }
      await expectUntouched(other);
    });

    test("Bytes that are no HTTP end that connection only", async () => {
      const other = await subscribe(gateway());
      const { promise: closed, resolve } = Promise.withResolvers<void>();
      const socket = connectTcp({ host: "127.0.0.1", port: gateway().port });
      socket.on("error", () => {}).on("close", () => resolve());
      socket.resume().write(Uint8Array.of(0x16, 0x03, 0x01, 0x02, 0x00, 0x0a, 0x0d, 0x0a, 0x0d));
      socket.end();
      await closed;
      await expectUntouched(other);
    });
  });
});
