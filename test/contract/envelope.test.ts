import { describe, expect, test } from "bun:test";
import { headers as natsHeaders } from "nats";
import { contract, EVERY_EDGE, EVERY_SOCKET } from "./support/contract.ts";
import { subscribe, subscribeMany, subscribeRaw, useGateway } from "./support/gateway-fixture.ts";
import { useNats } from "./support/nats-fixture.ts";

/** Payloads, and how the envelope ends that carries them: from behind `"subject":"…"` on. */
const PAYLOADS: readonly (readonly [what: string, data: string | Uint8Array, tail: string])[] = [
  ["A JSON object", '{"any":"json"}', ',"payload":{"any":"json"}}'],
  ["A JSON string", '"text"', ',"payload":"text"}'],
  ["The JSON literal null", "null", ',"payload":null}'],
  ["No data at all", "", ',"encoding":"empty","payload":null}'],
  ["Text that is no JSON", 'say "hi"\n☃', ',"encoding":"text","payload":"say \\"hi\\"\\n☃"}'],
  ["Binary data", Uint8Array.of(0xff, 0xfe, 0x00), ',"encoding":"base64","payload":"//4A"}'],
  [
    "Integers above 2^53, key order and duplicate keys",
    '{"z":9007199254740993,"a":1.10,"a":2,"b":1e400}',
    ',"payload":{"z":9007199254740993,"a":1.10,"a":2,"b":1e400}}',
  ],
  ["White space of JSON", ' {"a" :\t1 } ', ',"payload": {"a" :\t1 } }'],
  ["Escapes of JSON", '"\\u00e9\\/\\n"', ',"payload":"\\u00e9\\/\\n"}'],
  ["Letters beyond ASCII", '{"ключ":"𝄞"}', ',"payload":{"ключ":"𝄞"}}'],
];

/** The wire format, to the byte. */
contract([...EVERY_SOCKET, ...EVERY_EDGE], (target) => {
  describe("Envelope", () => {
    const nats = useNats();
    const gateway = useGateway(target, () => ({
      config: { nats_url: nats.url, subjects: ["a.>"] },
    }));

    for (const [what, data, tail] of PAYLOADS) {
      test(`${what}: carried byte for byte`, async () => {
        const raw = await subscribeRaw(gateway());
        nats.publish("a.bytes", data);
        const text = await raw.nextText();
        const head = /^\{"type":"data","id":"[^"]+","timestamp":\d{13},"subject":"a\.bytes"/.exec(
          text,
        );
        expect(head).not.toBeNull();
        expect(text.slice(head![0].length)).toBe(tail);
      });
    }

    test("A raw newline between JSON tokens becomes a space", async () => {
      const client = await subscribe(gateway());
      nats.publish("a.lines", '{\n"a":\n[1,\n2]\n}\n');
      expect(await client.nextText()).toEndWith(',"payload":{ "a": [1, 2] } }');
    });

    test("A large payload arrives whole", async () => {
      const client = await subscribe(gateway());
      const large = `{"blob":"${"0123456789abcdef".repeat(60_000)}"}`;
      nats.publish("a.large", large);
      expect(await client.nextText()).toEndWith(`,"payload":${large}}`);
    });

    test("The timestamp is when the gateway received the message", async () => {
      const client = await subscribe(gateway());
      const before = Date.now();
      nats.publish("a.time", "1");
      const { timestamp } = await client.next();
      expect(timestamp).toBeWithin(before, Date.now() + 1);
    });

    test("A message is the same bytes for every client, its id included", async () => {
      const clients = await subscribeMany(gateway(), 3);
      for (let n = 0; n < 50; n++) nats.publish("a.same", `{"n":${n}}`);
      const got = await Promise.all(clients.map((client) => client.take(50)));
      expect(got[1]).toEqual(got[0]!);
      expect(clients[1]!.texts).toEqual(clients[0]!.texts);
      expect(clients[2]!.texts).toEqual(clients[0]!.texts);
    });

    test("Ids are unique and increase within their epoch", async () => {
      const client = await subscribe(gateway());
      for (let n = 0; n < 200; n++) nats.publish("a.ids", `${n}`);
      const ids = (await client.take(200)).map(({ id }) => id.split(":"));
      expect(new Set(ids.map(([epoch]) => epoch)).size).toBe(1);
      const counters = ids.map(([, counter]) => Number(counter));
      expect(counters).toEqual(counters.map((_, index) => counters[0]! + index));
    });
  });

  describe("Envelope with headers and annotated payloads", () => {
    const nats = useNats();
    const gateway = useGateway(target, () => ({
      config: {
        nats_url: nats.url,
        subjects: ["a.>"],
        headers: ["Trace-Id"],
        payload_format: "annotated",
      },
    }));

    test("Headers that are allowed stand before the payload, and no others", async () => {
      const client = await subscribe(gateway());
      const headers = natsHeaders();
      headers.append("Trace-Id", "one");
      headers.append("Trace-Id", "two");
      headers.append("Secret", "x");
      nats.publish("a.headers", "{}", headers);
      const text = await client.nextText();
      expect(text).toContain(
        '"subject":"a.headers","headers":{"Trace-Id":["one","two"]},"payload":',
      );
      expect(text).not.toContain("Secret");
    });

    test("An object gains timestamp and subject where it has none, and keeps its own", async () => {
      const client = await subscribe(gateway());
      nats.publish("a.plain", '{"n":9007199254740993}');
      nats.publish("a.own", '{"subject":"mine","timestamp":1}');
      expect(await client.nextText()).toMatch(
        /"payload":\{"n":9007199254740993,"timestamp":"[^"]+Z","subject":"a\.plain"\}\}$/,
      );
      expect((await client.next()).payload).toEqual({ subject: "mine", timestamp: 1 });
    });

    test("Anything else is wrapped as raw_data", async () => {
      const client = await subscribe(gateway());
      nats.publish("a.text", "hello");
      expect((await client.next()).payload).toEqual({
        type: "raw_data",
        subject: "a.text",
        data: "hello",
        timestamp: expect.stringMatching(/Z$/),
      });
    });
  });
});
