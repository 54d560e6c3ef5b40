import { describe, expect, test } from "bun:test";
import { requestUpgrade } from "../support/raw-handshake.ts";
import { encodeFrame, OPCODE } from "../support/raw-websocket.ts";
import { connect } from "../support/subscriber.ts";
import { contract, EVERY_EDGE, EVERY_SOCKET } from "./support/contract.ts";
import { subscribe, subscribeMany, subscribeRaw, useGateway } from "./support/gateway-fixture.ts";
import { metric, untilMetric } from "./support/metrics.ts";
import { useNats } from "./support/nats-fixture.ts";
import { expectProblem, expectRefusal } from "./support/refusal.ts";

/** Who is let in, and how the others are told. */
contract([...EVERY_SOCKET, ...EVERY_EDGE], (target) => {
  describe("Handshake", () => {
    const nats = useNats();
    const gateway = useGateway(target, () => ({
      config: {
        nats_url: nats.url,
        subjects: ["in.>"],
        allowed_origins: ["https://app.example.com", "http://localhost:3000"],
        max_clients: 5,
      },
    }));

    /** That a client may come in with these headers, and is served. */
    async function expectServed(headers: Readonly<Record<string, string | undefined>>) {
      const raw = await subscribeRaw(gateway(), { headers });
      nats.publish("in.x", '"welcome"');
      expect(JSON.parse(await raw.nextText()).payload).toBe("welcome");
      return raw.response;
    }

    for (const [what, headers] of [
      ["Upgrade: WebSocket in capitals", { Upgrade: "WebSocket" }],
      ["Upgrade: WEBSOCKET in capitals", { Upgrade: "WEBSOCKET" }],
      ["Connection with more than one token", { Connection: "keep-alive, Upgrade" }],
      ["Header names in lower case", { upgrade: "websocket", connection: "upgrade" }],
      ["An offer of permessage-deflate", { "Sec-WebSocket-Extensions": "permessage-deflate" }],
    ] as const) {
      test(`${what}: accepted`, async () => {
        await expectServed(headers);
      });
    }

    for (const offer of ["a,b", "a, b", "a", "spillway.v2.json", "SPILLWAY.V1.JSON"]) {
      test(`Subprotocols "${offer}": accepted, and none is chosen`, async () => {
        const { headers } = await expectServed({ "Sec-WebSocket-Protocol": offer });
        expect(headers.get("sec-websocket-protocol")).toBeUndefined();
      });
    }

    for (const offer of ["spillway.v1.json", "a, spillway.v1.json, b", "a,spillway.v1.json"]) {
      test(`Subprotocols "${offer}": spillway.v1.json is chosen`, async () => {
        const headers = { "Sec-WebSocket-Protocol": offer };
        const { response } = await subscribeRaw(gateway(), { headers });
        expect(response.headers.get("sec-websocket-protocol")).toBe("spillway.v1.json");
      });
    }

    test("Accept key is that of RFC 6455", async () => {
      const { headers } = await expectServed({ "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==" });
      expect(headers.get("sec-websocket-accept")).toBe("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    });

    test("Credentials of StreamKit's client do no harm", async () => {
      await expectServed({ Authorization: "Bearer abc" });
    });

    test("Frames that come right behind the handshake are read", async () => {
      const before = await metric(gateway(), "websocket_client_frames_total");
      const behind = encodeFrame({ opcode: OPCODE.text, payload: '{"type":"ok"}' });
      await subscribeRaw(gateway(), { behind });
      await untilMetric(gateway(), "websocket_client_frames_total", (value) => value > before);
    });

    test("Headers without end: refused, and nobody else notices", async () => {
      const other = await subscribe(gateway());
      const headers = { "X-Endless": "x".repeat(300_000) };
      const refused = await requestUpgrade(gateway().wsUrl, { headers }).catch(() => "dropped");
      const statuses = target.gaps.longHeads === undefined ? [400, 413, 431] : [101];
      if (typeof refused !== "string") {
        refused.socket.destroy();
        expect(statuses).toContain(refused.status);
      }
      nats.publish("in.after", "1");
      expect((await other.next()).subject).toBe("in.after");
    });

    test("GET without upgrade: 426, and how to come back", async () => {
      const response = await gateway().get("/ws");
      expect(response.status).toBe(426);
      const isHidden = target.gaps.upgradeHeader !== undefined;
      expect(response.headers.get("upgrade")).toBe(isHidden ? null : "websocket");
      expectProblem(426, response.headers.get("content-type"), await response.text());
    });

    test("Another WebSocket version: 426, and the one that is spoken", async () => {
      const headers = { "Sec-WebSocket-Version": "8" };
      const response = await requestUpgrade(gateway().wsUrl, { headers });
      expectRefusal(target, response, 426);
      expect(response.headers.get("sec-websocket-version")).toBe("13");
    });

    for (const key of [undefined, "short", "dGhlIHNhbXBsZSBub25jZQ"]) {
      test(`Sec-WebSocket-Key ${key}: 400`, async () => {
        const headers = { "Sec-WebSocket-Key": key };
        expectRefusal(target, await requestUpgrade(gateway().wsUrl, { headers }), 400);
      });
    }

    test("Wrong path: 404", async () => {
      const response = await gateway().get("/nothing/here");
      expect(response.status).toBe(404);
      expectProblem(404, response.headers.get("content-type"), await response.text());
      expectRefusal(target, await requestUpgrade(`${gateway().wsUrl}x`), 404);
    });

    for (const method of ["POST", "PUT", "DELETE", "OPTIONS"]) {
      test(`${method} on the WebSocket's path: 405, and what is allowed`, async () => {
        const response = await fetch(`${gateway().url}/ws`, { method });
        expect(response.status).toBe(405);
        expect(response.headers.get("allow")).toBe("GET");
        expectProblem(405, response.headers.get("content-type"), await response.text());
      });
    }

    test("No Origin: accepted", async () => {
      await expectServed({});
    });

    test("Origin of the same host: accepted", async () => {
      await expectServed({ Origin: gateway().url });
    });

    for (const origin of ["https://app.example.com", "http://localhost:3000"]) {
      test(`Origin ${origin} of allowed_origins: accepted`, async () => {
        await expectServed({ Origin: origin });
      });
    }

    for (const origin of [
      "https://evil.example",
      "http://app.example.com",
      "https://app.example.com.evil.example",
      "https://sub.app.example.com",
      "http://127.0.0.1:1",
      "null",
    ]) {
      test(`Origin "${origin}": 403`, async () => {
        const headers = { Origin: origin };
        expectRefusal(target, await requestUpgrade(gateway().wsUrl, { headers }), 403);
      });
    }

    test("One client too many: 503 with Retry-After, and room again when one leaves", async () => {
      const clients = await subscribeMany(gateway(), 5);
      const response = await requestUpgrade(gateway().wsUrl);
      expectRefusal(target, response, 503);
      expect(Number(response.headers.get("retry-after"))).toBeGreaterThan(0);
      nats.publish("in.full", "1");
      for (const client of clients) expect((await client.next()).subject).toBe("in.full");

      await clients[0]!.close();
      await untilMetric(gateway(), "websocket_clients_active", (active) => active === 4);
      await subscribe(gateway());
    });

    test("Refused handshakes are counted", async () => {
      const refused = 'error_type="handshake"';
      const before = await metric(gateway(), "websocket_errors_total", refused);
      await requestUpgrade(gateway().wsUrl, { headers: { Origin: "https://evil.example" } });
      expect(await metric(gateway(), "websocket_errors_total", refused)).toBe(before + 1);
    });

    test("Handshakes that come all at once let max_clients in, and no more", async () => {
      const dials = Array.from({ length: 20 }, () => connect(gateway().wsUrl));
      const outcomes = await Promise.allSettled(dials);
      await untilMetric(gateway(), "websocket_clients_active", (active) => active === 5);
      for (const outcome of outcomes) {
        if (outcome.status === "fulfilled") await outcome.value.close();
      }
    });
  });

  describe("Handshake with every Origin allowed", () => {
    const gateway = useGateway(target, () => ({ config: { allowed_origins: ["*"] } }));

    test("Any Origin: accepted", async () => {
      const headers = { Origin: "https://anything.example" };
      expect((await subscribeRaw(gateway(), { headers })).response.status).toBe(101);
    });
  });
});
