import { describe, expect, test } from "bun:test";
import { OPCODE, type RawWebSocket } from "../support/raw-websocket.ts";
import { contract, EVERY_SOCKET } from "./support/contract.ts";
import { subscribe, subscribeRaw, subscribeV1, useGateway } from "./support/gateway-fixture.ts";
import { metric, untilMetric } from "./support/metrics.ts";
import { countTo, numbersOf, useNats } from "./support/nats-fixture.ts";

/** More than `max_frames_per_second: 10` allows at once: 5 seconds' worth, and 64 subscriptions made and ended. */
const TOO_MANY = 50 + 64 * 20 + 100;
const PING = JSON.stringify({ type: "ping", id: "1" });

const ERRORS = "websocket_errors_total";
const LABEL = 'error_type="too_many_frames"';

/** What a client may do too often. */
const FLOODS: readonly (readonly [string, (client: RawWebSocket) => void])[] = [
  [
    "pings as frames",
    (client) => {
      for (let n = 0; n < TOO_MANY; n++) client.send(PING);
    },
  ],
  [
    "pings of the WebSocket protocol",
    (client) => {
      for (let n = 0; n < TOO_MANY; n++) client.sendFrame({ opcode: OPCODE.ping });
    },
  ],
  [
    "subscriptions that end at once",
    (client) => {
      for (let n = 0; n < TOO_MANY / 20; n++) {
        client.send(JSON.stringify({ type: "subscribe", id: `${n}`, subjects: [`b.${n}`] }));
        client.send(JSON.stringify({ type: "unsubscribe", sub: `${n}` }));
      }
    },
  ],
  [
    "acknowledgements of what it never got",
    (client) => {
      for (let n = 0; n < TOO_MANY; n++) client.send('{"type":"ack","id":"nothing:1"}');
    },
  ],
  [
    "long frames",
    (client) => {
      const long = JSON.stringify({ type: "slow", padding: "x".repeat(60_000) });
      for (let n = 0; n < TOO_MANY / 100; n++) client.send(long);
    },
  ],
];

/** How much a client may say. */
contract(EVERY_SOCKET, (target) => {
  for (const delivery_mode of ["at-most-once", "at-least-once"] as const) {
    describe(`Frame budget in ${delivery_mode}`, () => {
      const nats = useNats();
      const gateway = useGateway(target, () => ({
        config: {
          nats_url: nats.url,
          subjects: ["a.>", "b.>"],
          max_frames_per_second: 10,
          delivery_mode,
          session_ttl: "0s",
        },
      }));

      test("A client that acknowledges each of thousands of messages at full speed stays", async () => {
        const client = await subscribeRaw(gateway(), {}, "?subjects=a.many");
        await nats.flood("a.many", 3 * TOO_MANY, 20);
        const numbers: number[] = [];
        while (numbers.length < 3 * TOO_MANY) {
          const text = await client.nextText();
          const message = JSON.parse(text);
          numbers.push(...numbersOf([message]));
          client.send(JSON.stringify({ type: "ack", id: message.id, timestamp: Date.now() }));
        }
        expect(numbers).toEqual(countTo(3 * TOO_MANY));
        nats.publish("a.many", '"still here"');
        expect(await client.nextText()).toContain("still here");
      });

      if (delivery_mode === "at-least-once") return;
      for (const [what, flood] of FLOODS) {
        // Deno answers these by itself, and tells nobody.
        const isHidden = target.gaps.ownPings !== undefined && what.includes("protocol");
        test.skipIf(isHidden)(`A client that sends too many ${what} is disconnected`, async () => {
          const before = await metric(gateway(), ERRORS, LABEL);
          const other = await subscribe(gateway(), "?subjects=a.other");
          const client = await subscribeV1(gateway());
          flood(client.raw);
          // What the kernel has of the flood may make a reset of the close.
          expect([4429, 1006]).toContain((await client.closed()).code);
          // ws itself drops a peer that doesn't read the pongs that it asks for.
          if (!what.includes("protocol")) {
            await untilMetric(gateway(), ERRORS, (count) => count === before + 1, LABEL);
          }
          nats.publish("a.other", "1");
          expect((await other.next()).subject).toBe("a.other");
        });
      }
    });
  }
});
