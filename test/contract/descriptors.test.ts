import { describe, expect, test } from "bun:test";
import { existsSync, readdirSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { until, within } from "../support/event-log.ts";
import { freePort } from "../support/free-port.ts";
import { type Gateway, startGateway } from "../support/gateway-process.ts";
import { CAN_LIMIT, useUpFiles } from "../support/process-limits.ts";
import { answerOf } from "../support/raw-http.ts";
import { OPCODE, openRaw } from "../support/raw-websocket.ts";
import type { Target } from "../support/runtimes.ts";
import { contract, EVERY_SOCKET } from "./support/contract.ts";

const FEW = 64;

/** A target whose processes may open only few files and connections. */
function withFewDescriptors(target: Target): Target {
  const limited = ["sh", "-c", `ulimit -n ${FEW}; exec "$@"`, "sh"];
  return { ...target, command: () => [...limited, ...target.command()] };
}

const HANDSHAKE =
  "GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

function connectTo({ port }: Pick<Gateway, "port">): Socket {
  return connect({ host: "127.0.0.1", port }).on("error", () => {});
}

/** Asks `/readyz` on one connection that was open before. */
class ReadinessReader {
  readonly #socket: Socket;

  constructor(gateway: Gateway) {
    this.#socket = connectTo(gateway);
  }

  async read(): Promise<string> {
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    let seen = "";
    const take = (chunk: unknown): void => {
      seen += String(chunk);
      if (/"reasons":\[.*\]\}/s.test(seen)) resolve(seen);
    };
    const end = (): void => reject(new Error(`the connection ended; seen: ${seen}`));
    this.#socket.on("data", take).on("close", end);
    this.#socket.write("GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
    try {
      return await within(promise, () => `answer of /readyz; seen: ${seen}`);
    } finally {
      this.#socket.off("data", take).off("close", end);
    }
  }

  end(): void {
    this.#socket.destroy();
  }
}

function count(gateway: Gateway, event: string): number {
  return gateway.logs.filter(({ properties }) => properties.event === event).length;
}

/** What becomes of the service when it has no file descriptors left. */
contract(EVERY_SOCKET, (target) => {
  describe("Descriptors", () => {
    test("When they run out, clients are served, it says so once, and goes on when some are free", async () => {
      const gateway = await startGateway(withFewDescriptors(target));
      const told = await gateway.waitForLog((line) => line.properties.event === "descriptor_limit");
      expect(told.properties).toMatchObject({ maxClients: 10_000 });
      expect(told.properties.clients).toBeLessThan(FEW);
      const limits = gateway.logs.filter(({ properties }) => properties.event === "descriptors");
      const expected = target.gaps.descriptors === undefined ? [FEW] : [];
      expect(limits.map(({ properties }) => properties.limit)).toEqual(expected);

      const client = await openRaw(gateway.wsUrl);
      const readiness = new ReadinessReader(gateway);
      expect(await readiness.read()).toContain(" 200 ");
      const crowd = Array.from({ length: 3 * FEW }, () => connectTo(gateway));
      await gateway.waitForLog((line) => line.properties.event === "descriptors_exhausted");
      expect(await readiness.read()).toMatch(/ 503 .*ulimit -n/s);
      client.sendFrame({ opcode: OPCODE.ping, payload: "still served" });
      await client.frames.find(({ opcode }) => opcode === OPCODE.pong, "pong");
      expect(count(gateway, "descriptors_exhausted")).toBe(1);

      for (const one of crowd) one.destroy();
      await gateway.waitForLog((line) => line.properties.event === "descriptors_free");
      const next = await until(
        "another client",
        () => openRaw(gateway.wsUrl).catch(() => undefined),
        (opened) => opened !== undefined,
      );
      expect((await gateway.get("/readyz")).status).toBe(200);
      for (const one of [client, next!]) one.destroy();
      readiness.end();
      expect(await gateway.stop()).toEqual({ code: 0, signal: null });
    });

    test("As many clients as they allow are let in, and the next one is refused or waits", async () => {
      const gateway = await startGateway(withFewDescriptors(target));
      const readiness = new ReadinessReader(gateway);
      expect(await readiness.read()).toContain(" 200 ");
      const line = await gateway.waitForLog(
        ({ properties }) => properties.event === "descriptor_limit",
      );
      const clients = [];
      for (let n = 0; n < Number(line.properties.clients); n++) {
        clients.push(await openRaw(gateway.wsUrl));
      }
      expect(await readiness.read()).toMatch(/ 503 .*ulimit -n/s);
      expect(await openRaw(gateway.wsUrl).catch((error) => String(error))).toContain("503");
      for (const one of clients) one.destroy();
      readiness.end();
      expect(await gateway.stop()).toEqual({ code: 0, signal: null });
    });

    test.skipIf(target.name === "deno-native")(
      "Connections that wait for their next request end when they keep clients out",
      async () => {
        const gateway = await startGateway(withFewDescriptors(target));
        const crowd: Socket[] = [];
        for (let n = 0; n < FEW; n++) {
          const socket = connectTo(gateway);
          crowd.push(socket);
          const { promise: answered, resolve } = Promise.withResolvers<string>();
          socket.on("data", (chunk) => resolve(String(chunk))).on("close", () => resolve("closed"));
          socket.write("GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
          // The ones that come when there is no room are dropped, or wait.
          if (crowd.length <= FEW / 4) expect(await within(answered, "answer")).toContain(" 200 ");
        }
        const client = await until(
          "a client",
          () => openRaw(gateway.wsUrl).catch(() => undefined),
          (opened) => opened !== undefined,
        );
        await until(
          "200 from /readyz",
          async () => (await gateway.get("/readyz")).status,
          (status) => status === 200,
        );
        expect(crowd.some((one) => !one.closed)).toBe(true);
        for (const one of [client!, ...crowd]) one.destroy();
        expect(await gateway.stop()).toEqual({ code: 0, signal: null });
      },
    );

    test.skipIf(!CAN_LIMIT)(
      "When they run out for a moment, clients and operators are let in again",
      async () => {
        const admin = await freePort();
        const gateway = await startGateway(target, { config: { admin_port: admin } });
        const client = await openRaw(gateway.wsUrl);
        const ports = [gateway.port, admin];
        for (let round = 0; round < 3; round++) {
          const free = useUpFiles(gateway.pid);
          const crowd = ports.map((port) => connectTo({ port }));
          client.sendFrame({ opcode: OPCODE.ping, payload: `${round}` });
          await client.frames.find(
            ({ opcode, payload }) => opcode === OPCODE.pong && `${payload}` === `${round}`,
            "pong",
          );
          free();
          for (const one of crowd) one.destroy();
          for (const port of ports) {
            await until(
              "an answer on a new connection",
              () => answerOf(`http://127.0.0.1:${port}/livez`),
              (status) => status === 200,
            );
          }
        }
        client.destroy();
        expect(await gateway.stop()).toEqual({ code: 0, signal: null });
      },
    );

    test.skipIf(!existsSync("/proc/self/fd") || target.gaps.resets !== undefined)(
      "A handshake that is reset before its answer leaves none behind",
      async () => {
        const gateway = await startGateway(target);
        (await openRaw(gateway.wsUrl)).destroy();
        const open = (): number => readdirSync(`/proc/${gateway.pid}/fd`).length;
        const before = open();
        for (let n = 0; n < 100; n++) {
          const socket = connectTo(gateway);
          const { promise: closed, resolve } = Promise.withResolvers<void>();
          socket.on("close", () => resolve());
          socket.write(HANDSHAKE, () => socket.resetAndDestroy());
          await within(closed, "end of a connection");
        }
        // The one that was not reset in time was let in, and is gone as well.
        await until(
          `no more than ${before} descriptors, and a tenth of the handshakes`,
          async () => {
            await gateway.get("/livez");
            return open();
          },
          (now) => now <= before + 10,
        );
        expect(await gateway.stop()).toEqual({ code: 0, signal: null });
      },
    );
  });
});
