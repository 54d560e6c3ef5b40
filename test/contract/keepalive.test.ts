import { describe, expect, test } from "bun:test";
import { OPCODE } from "../support/raw-websocket.ts";
import { TARGETS } from "../support/runtimes.ts";
import { contract, EVERY_SOCKET } from "./support/contract.ts";
import { subscribe, subscribeRaw, useGateway } from "./support/gateway-fixture.ts";
import { metric } from "./support/metrics.ts";
import { useNats } from "./support/nats-fixture.ts";

/** A client that answers pings lives, and one that does not is closed. Workers send no pings, so they are not here. */
contract([...EVERY_SOCKET, TARGETS["deno-serve"]], (target) => {
  describe("Keepalive", () => {
    const nats = useNats();
    const gateway = useGateway(target, () => ({
      config: {
        nats_url: nats.url,
        subjects: ["live.>"],
        ping_interval: "200ms",
        read_timeout: "1s",
      },
    }));
    // So many pings take twice as long as a silent client lives. Where the runtime pings by itself,
    // it does so after half of read_timeout, which it rounds up to two seconds.
    const enough = target.gaps.ownPings === undefined ? 10 : 4;

    test("Client that only answers pings lives far past read_timeout", async () => {
      const raw = await subscribeRaw(gateway());
      await raw.untilCount(OPCODE.ping, enough);
      nats.publish("live.still", "1");
      expect(JSON.parse(await raw.nextText()).subject).toBe("live.still");
    });

    test("Client that does not answer pings is closed, and the others are not", async () => {
      const [silent, other] = [
        await subscribeRaw(gateway(), { autoPong: false }),
        await subscribe(gateway()),
      ];
      const errors = await metric(gateway(), "websocket_errors_total", 'error_type="no_pong"');
      const { code } = await silent.nextClose();
      expect(code).toBe(target.gaps.ownPings === undefined ? 4513 : 1001);
      expect(silent.count(OPCODE.ping)).toBeGreaterThan(0);
      expect(await metric(gateway(), "websocket_errors_total", 'error_type="no_pong"')).toBe(
        errors + 1,
      );
      nats.publish("live.other", "1");
      expect((await other.next()).subject).toBe("live.other");
    });

    test("Client that sends data instead of pongs lives too", async () => {
      const raw = await subscribeRaw(gateway(), { autoPong: false });
      for (let pings = 1; pings <= enough; pings++) {
        await raw.untilCount(OPCODE.ping, pings);
        raw.send('{"type":"ok"}');
      }
      nats.publish("live.still", "1");
      expect(JSON.parse(await raw.nextText()).subject).toBe("live.still");
    });

    test("Pings keep coming while messages flow, and every message comes", async () => {
      const raw = await subscribeRaw(gateway());
      let published = 0;
      while (raw.count(OPCODE.ping) < enough) {
        await nats.flood("live.load", 200, 500);
        published += 200;
        await raw.takeTexts(200);
      }
      expect(raw.count(OPCODE.text)).toBe(published);
    });

    test("A ping of the client is answered with its own payload", async () => {
      const raw = await subscribeRaw(gateway());
      raw.sendFrame({ opcode: OPCODE.ping, payload: "are you there" });
      const pong = await raw.frames.find(({ opcode }) => opcode === OPCODE.pong, "pong");
      expect(pong.payload.toString()).toBe("are you there");
    });
  });
});
