import { describe, expect, test } from "bun:test";
import { requestUpgrade } from "../../support/raw-handshake.ts";
import type { Target } from "../../support/runtimes.ts";
import { subscribe, subscribeMany, subscribeRaw, useGateway } from "./gateway-stage.ts";
import { useNats } from "./nats-stage.ts";
import { expectRefusal } from "./refusal.ts";

const MANY = 20_000;

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

/** What a NATS subject carries reaches clients as the wire protocol says. */
export function streaming(target: Target): void {
  describe("Streaming", () => {
    const nats = useNats();
    const gateway = useGateway(target, () => ({
      config: { nats_url: nats.url, subjects: ["a.>", "a.*.c", "b.*", "c.d.e"] },
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

    test(`${MANY} messages reach four clients completely and in order`, async () => {
      const clients = await subscribeMany(gateway(), 4);
      for (let n = 0; n < MANY; n++) nats.publish("a.many", `{"n":${n}}`);
      const expected = Array.from({ length: MANY }, (_, n) => n);
      for (const client of clients) {
        const got = (await client.take(MANY)).map(({ payload }) => (payload as { n: number }).n);
        expect(got).toEqual(expected);
      }
    });

    test("A hundred clients at once each get every message in order", async () => {
      const clients = await subscribeMany(gateway(), 100);
      for (let n = 0; n < 200; n++) nats.publish("a.crowd", `${n}`);
      const got = await Promise.all(clients.map((client) => client.take(200)));
      const expected = Array.from({ length: 200 }, (_, n) => n);
      for (const one of got) expect(one.map(({ payload }) => payload)).toEqual(expected);
    });

    test("A client is taken in while messages flow, and misses none from its first one on", async () => {
      const early = await subscribe(gateway());
      let published = 0;
      const publish = async (): Promise<void> => {
        for (let n = 0; n < 100; n++) nats.publish("a.flow", `${published++}`);
        await nats.flush();
      };
      await publish();
      const joining = subscribe(gateway());
      for (let round = 0; round < 20; round++) await publish();
      const late = await joining;
      await publish();
      await early.take(published);
      const first = (await late.next()).payload as number;
      const rest = await late.take(published - first - 1);
      expect(rest.map(({ payload }) => payload)).toEqual(rest.map((_, index) => first + 1 + index));
    });
  });

  describe("Subjects", () => {
    const nats = useNats();
    const gateway = useGateway(target, () => ({
      config: { nats_url: nats.url, subjects: ["a.>", "a.*.c", "b.*", "c.d.e"] },
    }));

    /** What a client gets of these subjects, known by a last message that it surely wants. */
    async function received(query: string, subjects: readonly string[], last: string) {
      const client = await subscribe(gateway(), query);
      for (const subject of [...subjects, last]) nats.publish(subject, `"${subject}"`);
      const got: string[] = [];
      while (got.at(-1) !== last) got.push((await client.next()).subject);
      return got.slice(0, -1);
    }

    test("A client without a filter gets all that the endpoint exposes, and nothing else", async () => {
      const all = ["a.x", "a.x.c", "b.x", "b.x.y", "c.d.e", "c.d.f", "z"];
      expect(await received("", all, "a.end")).toEqual(["a.x", "a.x.c", "b.x", "c.d.e"]);
    });

    test("Overlapping subjects deliver a message once", async () => {
      expect(await received("", ["a.b.c", "a.b.c"], "a.end")).toEqual(["a.b.c", "a.b.c"]);
    });

    test("A filter narrows what a client gets", async () => {
      const all = ["a.x", "a.y", "a.x.c", "b.x", "c.d.e"];
      expect(await received("?subjects=a.x,b.*", all, "b.end")).toEqual(["a.x", "b.x"]);
    });

    test("Overlapping filters deliver a message once", async () => {
      const filter = "?subjects=a.>,a.*,a.x";
      expect(await received(filter, ["a.x", "a.x.c", "b.x"], "a.end")).toEqual(["a.x", "a.x.c"]);
    });

    test("A filter wider than the endpoint gives what both have", async () => {
      const all = ["a.x", "b.x", "c.d.e", "c.d.f", "z"];
      expect(await received("?subjects=>", all, "a.end")).toEqual(["a.x", "b.x", "c.d.e"]);
    });

    test("Clients with different filters get what they asked for", async () => {
      const a = await subscribe(gateway(), "?subjects=a.one");
      const b = await subscribe(gateway(), "?subjects=a.two,b.*");
      for (let n = 0; n < 100; n++) {
        for (const subject of ["a.one", "a.two", "b.x"]) nats.publish(subject, `${n}`);
      }
      const gotA = await a.take(100);
      const gotB = await b.take(200);
      expect(new Set(gotA.map(({ subject }) => subject))).toEqual(new Set(["a.one"]));
      expect(new Set(gotB.map(({ subject }) => subject))).toEqual(new Set(["a.two", "b.x"]));
      const numbers = gotB.map(({ payload }) => payload);
      expect(numbers).toEqual(numbers.map((_, index) => Math.floor(index / 2)));
    });

    for (const [what, filter, status] of [
      ["A filter outside of what the endpoint exposes", "z.>", 403],
      ["A filter of which one part is outside", "a.x,z", 403],
      ["A filter with an empty token", "a..b", 400],
      ["A filter with > before its end", "a.>.b", 400],
      ["An empty filter", "", 400],
      ["A filter with white space in it", "a.b%20c", 400],
    ] as const) {
      test(`${what} is refused with ${status}`, async () => {
        const response = await requestUpgrade(`${gateway().wsUrl}?subjects=${filter}`);
        expectRefusal(target, response, status);
      });
    }

    test("A parameter that asks for a promise not kept yet is refused with 400", async () => {
      for (const query of [
        "after=x:1",
        "from=all",
        "policy=conflate",
        "session=abc",
        "durable=d",
      ]) {
        const response = await requestUpgrade(`${gateway().wsUrl}?${query}`);
        expect([query, response.status]).toEqual([query, 400]);
      }
    });
  });
}
