import { describe, expect, test } from "bun:test";
import { requestUpgrade } from "../support/raw-handshake.ts";
import { contract, EVERY_EDGE, EVERY_SOCKET } from "./support/contract.ts";
import { subscribe, useGateway } from "./support/gateway-fixture.ts";
import { useNats } from "./support/nats-fixture.ts";
import { expectProblem, expectRefusal } from "./support/refusal.ts";

/** Which messages a client gets: once each, and none that the endpoint does not expose. */
contract([...EVERY_SOCKET, ...EVERY_EDGE], (target) => {
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

    test("A subject with a comma is one subject", async () => {
      const all = ["a.x", "a.x,y", "a.y", "a.z", "y"];
      expect(await received("?subject=a.x,y&subject=a.end", all, "a.end")).toEqual(["a.x,y"]);
      const mixed = "?subjects=a.x,a.end&subject=a.x,y";
      expect(await received(mixed, all, "a.end")).toEqual(["a.x", "a.x,y"]);
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

    for (const query of ["subject=z", "subjects=a.x&subject=z", "subject=a.x&subject=z,a.y"]) {
      test(`A filter of which one part is outside is refused with 403: ${query}`, async () => {
        const response = await requestUpgrade(`${gateway().wsUrl}?${query}`);
        expectRefusal(target, response, 403);
      });
    }

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
      for (const query of ["from=all", "session=abc", "durable=d"]) {
        const response = await requestUpgrade(`${gateway().wsUrl}?${query}`);
        expect([query, response.status]).toEqual([query, 400]);
      }
    });

    test("A parameter that spillway.v1.json says in subscribe is refused with 400 there", async () => {
      const headers = { "Sec-WebSocket-Protocol": "spillway.v1.json" };
      const response = await requestUpgrade(`${gateway().wsUrl}?subjects=a.x`, { headers });
      expectRefusal(target, response, 400);
    });

    test("A parameter that is one letter off is refused with 400, and any other is let be", async () => {
      for (const query of ["subjet=a.x", "subjcts=a.x", "maxRate=1", "Policy=conflate"]) {
        const response = await requestUpgrade(`${gateway().wsUrl}?${query}`);
        expectRefusal(target, response, 400);
      }
      expect(await received("?version=3&utm_source=x", ["a.x"], "a.end")).toEqual(["a.x"]);
    });

    test("A parameter that is one letter off is refused with the one that was meant, if it may be said", async () => {
      for (const [query, says] of [
        ["subjcts=a.x", '"subjcts" is not a parameter; did you mean "subjects"?'],
        ["sesion=x", '"sesion" is not a parameter; did you mean "session"?'],
        ["durble=x", '"durble" is not a parameter; did you mean "durable"?'],
      ] as const) {
        const response = await fetch(`${gateway().url}/ws/sse?${query}`);
        const type = response.headers.get("content-type");
        const { detail } = expectProblem(400, type, await response.text());
        expect(detail).toStartWith(says);
      }
    });
  });
});
