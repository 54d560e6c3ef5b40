import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { connect, type Socket } from "node:net";
import { until, within } from "../support/event-log.ts";
import { type Gateway, startGateway } from "../support/gateway-process.ts";
import { residentBytes } from "../support/memory.ts";
import { requestUpgrade } from "../support/raw-handshake.ts";
import { encodeFrame, OPCODE, openRaw, type RawWebSocket } from "../support/raw-websocket.ts";
import { type Said, V1Client } from "../support/v1-client.ts";
import { contract, EVERY_RUNTIME } from "./support/contract.ts";
import { asOperator, expectNothingLeft, untilReady } from "./support/gateway-fixture.ts";
import { bearer, offers, V1_OFFER } from "./support/hostile-rows.ts";
import { CROWDED_STATIC_TOKEN, ROOMS, STATIC_TOKEN, TokenMaker } from "./support/hostile-tokens.ts";
import { countTo, useNats } from "./support/nats-fixture.ts";

/** The memory is compared between the end of the first round of an attack and that of the last one. */
const ROUNDS = 5;
const MOST_GROWTH = 2;
/** So many messages are on their way to the well-behaved client at a time. */
const BATCH = 20;
const HANDSHAKES = 600;
const AT_A_TIME = 50;
const ATTACKERS = 20;
const FRAMES = 3000;
/** The most subjects of a subscription. */
const MAX_PATTERNS = 64;

/** What attackers do costs a well-behaved client of the same gateway nothing that it would notice. */
contract(EVERY_RUNTIME, (target) => {
  describe("Under attack", () => {
    const nats = useNats();
    let maker: TokenMaker;
    let gateway: Gateway;
    let valid: string;
    let forged: string;
    beforeAll(async () => {
      maker = await TokenMaker.open();
      valid = await maker.token({ claims: { sub: "mallory" } });
      forged = await maker.token({ key: maker.forged });
      const limits = { request_timeout: "1s", auth_timeout: "1s", max_malformed_frames: 100 };
      const config = {
        ...maker.settings,
        ...limits,
        nats_url: nats.url,
        subjects: ["calm.>"],
        admin_port: 0,
      };
      gateway = await startGateway(target, { config });
      await untilReady(gateway);
    });
    afterAll(async () => {
      await expectNothingLeft(await asOperator(gateway));
      expect(await gateway.stop()).toEqual({ code: 0, signal: null });
      await maker.close();
    });

    const headersOf = (token: string) => ({ ...offers(V1_OFFER), ...bearer(token) });

    /** Attacks while a client gets messages, and checks that it has all of them, and what the gateway has in memory. */
    async function withstand(attack: () => Promise<void>): Promise<void> {
      const client = new V1Client(
        await openRaw(gateway.wsUrl, { headers: headersOf(STATIC_TOKEN) }),
      );
      await client.subscribe("1", ["calm.data"]);
      let published = 0;
      let isOver = false;
      const publish = async (): Promise<void> => {
        for (let n = 0; n < BATCH; n++) nats.publish("calm.data", `${published++}`);
        await client.until(() => client.messages.length === published, "all messages");
      };
      const publishing = (async () => {
        while (!isOver) await publish();
      })();
      const memory = async (): Promise<number> => (await residentBytes(gateway.pid)) ?? 0;
      try {
        await attack();
        const before = await memory();
        for (let round = 1; round < ROUNDS; round++) {
          const reached = published;
          await attack();
          expect(published).toBeGreaterThan(reached);
        }
        await until("bounded memory", memory, (after) => after <= before * MOST_GROWTH);
      } finally {
        isOver = true;
        await publishing;
      }
      expect(client.messages.map(({ payload }) => payload)).toEqual(countTo(published));
      expect(client.notices("gap")).toEqual([]);
      expect(client.notices("slow")).toEqual([]);
      client.raw.destroy();
    }

    /** Does something so many times, some of them at a time. */
    async function repeat(count: number, once: (index: number) => Promise<void>): Promise<void> {
      let next = 0;
      const work = async (): Promise<void> => {
        while (next < count) await once(next++);
      };
      await Promise.all(Array.from({ length: AT_A_TIME }, work));
    }

    /** Lets attackers send frames as fast as they can, until the gateway has cut all of them. */
    async function flood(token: string | undefined, frame: (n: number) => object): Promise<void> {
      const headers = token === undefined ? offers(V1_OFFER) : headersOf(token);
      const attackers = await Promise.all(
        Array.from({ length: ATTACKERS }, () => openRaw(gateway.wsUrl, { headers })),
      );
      const ends = attackers.map((attacker) => attacker.nextClose());
      for (let n = 0; n < FRAMES; n++) {
        for (const attacker of attackers) attacker.send(JSON.stringify(frame(n)));
        if (n % 100 === 99) await new Promise(setImmediate);
      }
      await untilCut(attackers, ends);
    }

    async function untilCut(
      attackers: readonly RawWebSocket[],
      ends: readonly Promise<{ readonly code: number }>[],
    ): Promise<void> {
      const codes = new Set((await Promise.all(ends)).map(({ code }) => code));
      for (const attacker of attackers) attacker.destroy();
      // A connection that is cut while it still sends may be reset before the close frame is read.
      for (const code of codes) expect([4401, 4429, 1006]).toContain(code);
    }

    test("of bad tokens by the thousand, in handshakes", async () => {
      await withstand(async () => {
        await repeat(HANDSHAKES, async (index) => {
          const token = index % 2 === 0 ? forged : `${index}-${crypto.randomUUID()}`;
          const { status } = await requestUpgrade(gateway.wsUrl, { headers: headersOf(token) });
          expect(status).toBe(401);
        });
      });
    });

    test("of bad tokens in frames, of clients that come again and again", async () => {
      await withstand(async () => {
        await repeat(HANDSHAKES / 2, async () => {
          const attacker = await openRaw(gateway.wsUrl, { headers: offers(V1_OFFER) });
          attacker.send(JSON.stringify({ type: "auth", token: forged }));
          expect((await attacker.nextClose()).code).toBe(4401);
        });
      });
    });

    test("of bad tokens in frames, of clients that are let in", async () => {
      await withstand(() => flood(valid, () => ({ type: "auth", token: forged })));
    });

    test("of a valid token with very many subjects, shown again and again", async () => {
      await withstand(async () => {
        const attackers = await Promise.all(
          Array.from(
            { length: 5 },
            async () =>
              new V1Client(
                await openRaw(gateway.wsUrl, { headers: headersOf(CROWDED_STATIC_TOKEN) }),
              ),
          ),
        );
        for (let n = 0; n < ROOMS; n += MAX_PATTERNS) {
          const rooms = Array.from({ length: MAX_PATTERNS }, (_, at) => `calm.room.${n + at}.x`);
          await Promise.all(attackers.map((attacker) => attacker.subscribe(`${n}`, rooms)));
        }
        for (let n = 0; n < 8; n++) {
          for (const attacker of attackers) {
            attacker.send({ type: "auth", id: `${n}`, token: CROWDED_STATIC_TOKEN });
          }
          const isAnswer = (said: Said) => said.type === "authenticated" && said.id === `${n}`;
          await Promise.all(
            attackers.map((attacker) => attacker.until(isAnswer, "an accepted token")),
          );
        }
        for (const { raw } of attackers) raw.destroy();
      });
    });

    test("of clients that are let in to send a token, and send all else", async () => {
      await withstand(() =>
        flood(undefined, () => ({ type: "subscribe", id: "1", subjects: [">"] })),
      );
    });

    test("of subscriptions, as many and as wide as possible", async () => {
      await withstand(() =>
        flood(valid, (n) => {
          const id = `${n >> 1}`;
          if (n % 2 === 1) return { type: "unsubscribe", sub: id };
          const subjects = Array.from({ length: 32 }, (_, at) => `calm.${n}.${at}.*.>`);
          return { type: "subscribe", id, subjects };
        }),
      );
    });

    test("of handshakes that never end", async () => {
      await withstand(async () => {
        const head = `GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer ${forged}\r\n`;
        const texts = ["", "GET /ws HTT", head, `${head}X-More: `];
        const sockets = Array.from({ length: HANDSHAKES / 2 }, (_, index) =>
          halfAsked(gateway.port, texts[index % texts.length]!),
        );
        await Promise.all(sockets.map(({ closed }) => within(closed, "end of a half request")));
      });
    });

    test("of pings, whose answers nobody reads", async () => {
      await withstand(async () => {
        const attackers = await Promise.all(
          Array.from({ length: ATTACKERS }, () =>
            openRaw(gateway.wsUrl, { headers: headersOf(valid) }),
          ),
        );
        const ends = attackers.map((attacker) => attacker.nextClose());
        const ping = encodeFrame({ opcode: OPCODE.ping, payload: "x".repeat(125) });
        const pings = Buffer.concat(Array.from({ length: FRAMES * 3 }, () => ping));
        for (const attacker of attackers) {
          attacker.pause();
          attacker.sendRaw(pings);
        }
        await until(
          "room for all pings, or the end of them",
          async () => attackers.filter((attacker) => attacker.unsentBytes > 0).length,
          (left) => left === 0,
        );
        for (const attacker of attackers) attacker.resume();
        await untilCut(attackers, ends);
      });
    });
  });
});

/** Sends a part of a request, and never the rest. */
function halfAsked(port: number, text: string): { socket: Socket; closed: Promise<void> } {
  const socket = connect({ host: "127.0.0.1", port });
  const { promise, resolve } = Promise.withResolvers<void>();
  socket.on("error", () => {}).on("close", () => resolve());
  // The answer, if there is one, must be read for the end to be seen.
  socket.resume();
  if (text !== "") socket.write(text);
  return { socket, closed: promise };
}
