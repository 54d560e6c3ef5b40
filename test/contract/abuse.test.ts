import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect as connectTcp, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { passwordHashText } from "../access/support/password-hash-text.ts";
import { EventLog, until, within } from "../support/event-log.ts";
import { type Gateway, startGateway } from "../support/gateway-process.ts";
import { HAS_IPV6 } from "../support/ipv6.ts";
import { requestUpgrade } from "../support/raw-handshake.ts";
import { contract, EVERY_SOCKET } from "./support/contract.ts";
import {
  asOperator,
  expectNothingLeft,
  subscribe,
  subscribeRaw,
  untilReady,
  useGateway,
} from "./support/gateway-fixture.ts";
import { metric } from "./support/metrics.ts";
import { expectRefusal } from "./support/refusal.ts";

const PASSWORD = "correct horse";
/** The number of passwords that may wait to be hashed. */
const MAX_WAITING = 32;
/** The addresses of an attacker, and of another client, as a proxy says. */
const FLOOD = "203.0.113.1";
const OTHER = "203.0.113.2";

/** A connection that waits for its next request ends sooner by the default of Node's server, and on Bun by `request_timeout` of 1 s. */
const LONGEST_DEFAULT_MS = 9000;

/** What a connection may send and never go on with. */
const UNFINISHED = [
  ["A connection without a request", "silent", ""],
  ["Half of a request's head", "unfinished", "GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgr"],
] as const;

/** What somebody who means harm, or knows no better, does to the service: it lives on. */
contract(EVERY_SOCKET, (target) => {
  describe("Abuse", () => {
    const gateway = useGateway(target, () => ({ config: { max_publish_bytes: 2000 } }));

    const hasty = useGateway(target, () => ({ config: { request_timeout: "1s" } }));

    /** Sends bytes over TCP, and returns the answer's first line. */
    async function firstLine(
      request: string,
      { host = "127.0.0.1", port = gateway().port } = {},
    ): Promise<string> {
      const socket = connectTcp({ host, port });
      const { promise, resolve, reject } = Promise.withResolvers<string>();
      let answer = "";
      socket.on("data", (chunk) => {
        answer += String(chunk);
        if (answer.includes("\r\n")) resolve(answer.split("\r\n")[0]!);
      });
      socket.on("error", reject).on("close", () => resolve(answer));
      socket.write(request);
      try {
        return await within(promise, "answer");
      } finally {
        socket.destroy();
      }
    }

    test("A subject of thousands of tokens, or of hundreds, is refused, and one of dozens served and forgotten", async () => {
      const tokens = (count: number): string => Array.from({ length: count }, () => "a").join(".");
      for (const count of [3000, 1500, 65]) {
        const response = await requestUpgrade(`${gateway().wsUrl}?subjects=${tokens(count)}`);
        expectRefusal(target, response, 400);
      }
      const client = await subscribeRaw(gateway(), {}, `?subjects=${tokens(64)}`);
      client.destroy();
      expect((await gateway().get("/livez")).status).toBe(200);
    });

    test("More than 64 subjects are refused", async () => {
      const subjects = Array.from({ length: 65 }, (_, index) => `a.${index}`).join(",");
      const response = await requestUpgrade(`${gateway().wsUrl}?subjects=${subjects}`);
      expectRefusal(target, response, 400);
    });

    test("A Connection header of spaces, and headers past the limit, do not hold it up", async () => {
      const spaces = `a${" ".repeat(12_000)}b`;
      const response = await requestUpgrade(gateway().wsUrl, { headers: { Connection: spaces } });
      expect(response.status).toBe(426);
      const big = "a".repeat(100_000);
      const line = await firstLine(
        `GET /livez HTTP/1.1\r\nHost: localhost\r\nX-Big: ${big}\r\n\r\n`,
      );
      expect(line).toMatch(/^HTTP\/1\.1 4(00|31) /);
    });

    test("HEAD with the headers of a handshake is no handshake", async () => {
      const { status } = await requestUpgrade(gateway().wsUrl, { method: "HEAD" });
      expect([405, 426]).toContain(status);
    });

    test("A request without Host (HTTP/1.0) is answered", async () => {
      expect(await firstLine("GET /livez HTTP/1.0\r\n\r\n")).toMatch(/ 200 OK$/);
    });

    test("A handshake without Host is refused with 400", async () => {
      const handshake = [
        "GET /ws HTTP/1.0",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
      ];
      expect(await firstLine(`${handshake.join("\r\n")}\r\n\r\n`)).toMatch(/ 400 /);
    });

    test.skipIf(!HAS_IPV6)(
      "A request without Host where it listens on an IPv6 address is answered",
      async () => {
        const { port, stop } = await startGateway(target, { args: ["--host", "::1"] });
        expect(await firstLine("GET /livez HTTP/1.0\r\n\r\n", { host: "::1", port })).toMatch(
          / 200 OK$/,
        );
        await stop();
      },
    );

    test("A body past max_publish_bytes ends its connection, and what follows there is not answered", async () => {
      const socket = connectTcp({ host: "127.0.0.1", port: gateway().port });
      const { promise: done, resolve } = Promise.withResolvers<void>();
      let answers = "";
      const statuses = () => [...answers.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status);
      socket.on("error", () => {}).on("end", () => resolve());
      socket.on("data", (chunk) => {
        answers += String(chunk);
        if (statuses().length === 2) resolve();
      });
      const body = "x".repeat(2001);
      socket.write(
        `POST /publish/a.b HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
      );
      socket.write("GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n");
      await within(done, () => `end of the connection; came instead: ${answers}`);
      socket.destroy();
      const gap = target.gaps.closes;
      expect({ gap, statuses: statuses() }).toEqual({
        gap,
        statuses: gap === undefined ? ["413"] : ["413", "200"],
      });
    });

    test("A body that trickles in is answered with 408, and no message comes of it", async () => {
      // Before the connection, which may not be idle for long.
      const client = await subscribe(hasty());
      const socket = connectTcp({ host: "127.0.0.1", port: hasty().port });
      const { promise: answered, resolve } = Promise.withResolvers<void>();
      let answer = "";
      socket
        .on("error", () => {})
        .on("data", (chunk) => {
          answer += String(chunk);
          if (answer.includes("\r\n\r\n")) resolve();
        });
      socket.write(
        "POST /publish/slow.one HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\n",
      );
      const trickle = setInterval(() => socket.write("1"), 50);
      await within(answered, () => `answer; came instead: ${answer}`);
      clearInterval(trickle);
      expect(answer).toMatch(/^HTTP\/1\.1 408 /);
      socket.write("1".repeat(1000));
      socket.destroy();
      const body = "1";
      await fetch(`${hasty().url}/publish/next.one`, { method: "POST", body });
      expect((await client.next()).subject).toBe("next.one");
    });

    for (const [what, gapName, head] of UNFINISHED) {
      test(`${what} is not waited for longer than request_timeout`, async () => {
        const socket = connectTcp({ host: "127.0.0.1", port: hasty().port });
        const { promise: ended, resolve } = Promise.withResolvers<boolean>();
        socket
          .on("error", () => {})
          .on("close", () => resolve(true))
          .resume();
        socket.write(head);
        const gap = target.gaps[gapName];
        // A runtime that never ends it is known by a deadline of its own.
        const late = setTimeout(() => resolve(false), gap === undefined ? 25_000 : 4000);
        expect({ gap, ended: await ended }).toEqual({ gap, ended: gap === undefined });
        clearTimeout(late);
        socket.destroy();
      });
    }

    test("A connection that had a request may wait for the next one: proxies use it again", async () => {
      const socket = connectTcp({ host: "127.0.0.1", port: hasty().port });
      let answers = "";
      socket
        .on("error", () => {})
        .on("data", (chunk) => {
          answers += String(chunk);
        });
      const ask = async (count: number): Promise<void> => {
        socket.write("GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
        await until(
          `answer ${count}`,
          async () => answers.split("HTTP/1.1 200").length - 1,
          (got) => got === count || socket.closed,
        );
      };
      await ask(1);
      const { promise: ended, resolve } = Promise.withResolvers<boolean>();
      socket.on("close", () => resolve(true));
      const late = setTimeout(() => resolve(false), LONGEST_DEFAULT_MS);
      expect(await ended).toBe(false);
      clearTimeout(late);
      await ask(2);
      expect(socket.closed).toBe(false);
      socket.destroy();
    });

    /**
     * Sends a request many times in one write, and looks once the first answer or the end came.
     *
     * @returns how many were answered with 200 in the end.
     */
    async function sendMany(
      request: string,
      count: number,
      look: () => Promise<void>,
    ): Promise<number> {
      const socket = connectTcp({ host: "127.0.0.1", port: gateway().port });
      const { promise: begun, resolve } = Promise.withResolvers<void>();
      let answer = "";
      socket
        .on("error", () => {})
        .on("data", (chunk) => {
          answer += String(chunk);
          resolve();
        })
        .on("close", () => resolve());
      socket.write(request.repeat(count));
      try {
        await within(begun, "answer or end of the connection");
        await look();
      } finally {
        socket.destroy();
      }
      return answer.split("HTTP/1.1 200").length - 1;
    }

    async function expectOneClientAtMost(): Promise<void> {
      expect(await metric(gateway(), "websocket_clients_active")).toBeLessThanOrEqual(1);
    }

    test("Some requests in one write are answered in their order, and so is what follows", async () => {
      const names = Array.from("abcdefghijk");
      const socket = connectTcp({ host: "127.0.0.1", port: gateway().port });
      const { promise: answered, resolve } = Promise.withResolvers<void>();
      let answer = "";
      socket
        .on("error", () => {})
        .on("data", (chunk) => {
          answer += String(chunk);
          if (answer.includes("at /no-k")) {
            socket.write("GET /no-l HTTP/1.1\r\nHost: localhost\r\n\r\n");
          }
          if (answer.includes("at /no-l")) resolve();
        });
      const requests = names.map((name) => `GET /no-${name} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
      socket.write(requests.join(""));
      await within(answered, () => `answers; came instead: ${answer}`);
      expect([...answer.matchAll(/at \/no-(\w)/g)].map(([, name]) => name)).toEqual([
        ...names,
        "l",
      ]);
      socket.destroy();
    });

    test("Of a thousand event streams that one connection asks for at once there is one at most", async () => {
      const request = "GET /ws/sse HTTP/1.1\r\nHost: localhost\r\n\r\n";
      await sendMany(request, 1000, expectOneClientAtMost);
    });

    // Deno's own server reads them one after the other, and serves others between them.
    test.skipIf(target.name === "deno-native")(
      "A thousand requests in one write do not all go before those of others",
      async () => {
        const request = "GET /schema.json HTTP/1.1\r\nHost: localhost\r\n\r\n";
        const answers = await sendMany(request, 1000, async () => {
          expect((await gateway().get("/livez")).status).toBe(200);
        });
        expect(answers).toBeLessThan(500);
      },
    );

    test("A handshake behind an unanswered request is not agreed to", async () => {
      const handshake =
        "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
      const request = `GET /ws/sse HTTP/1.1\r\nHost: localhost\r\n\r\n${handshake}`;
      await sendMany(request, 1, expectOneClientAtMost);
    });

    test("A wish for HTTP/2 is left unheeded or refused, and answered at once", async () => {
      const head =
        "GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";
      expect(await firstLine(head)).toMatch(/^HTTP\/1\.1 (200|426) /);
    });

    test("A page whose name was made to point here: 403, with Host and Origin alike", async () => {
      const host = `rebound.example:${gateway().port}`;
      const headers = { Host: host, Origin: `http://${host}` };
      expectRefusal(target, await requestUpgrade(gateway().wsUrl, { headers }), 403);
      const here = `localhost:${gateway().port}`;
      await subscribeRaw(gateway(), { headers: { Host: here, Origin: `http://${here}` } });
    });

    test("Clients that were refused and stay do not keep it from stopping", async () => {
      const other = await startGateway(target, { config: { stop_timeout: "60s" } });
      await untilReady(other);
      const { promise: answered, resolve } = Promise.withResolvers<void>();
      // It neither closes its half nor reads to the end.
      const socket = connectTcp({ host: "127.0.0.1", port: other.port, allowHalfOpen: true });
      socket.on("error", () => {}).once("data", () => resolve());
      socket.write(
        "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 7\r\n\r\n",
      );
      await within(answered, "refusal");
      other.signal("SIGTERM");
      expect(await within(other.exited, "end after SIGTERM")).toEqual({ code: 0, signal: null });
      socket.destroy();
    });

    describe("While clients of one address", () => {
      let directory: string;
      const start = async (config: object): Promise<Gateway> => {
        const user = { user: "ann", password_hash: passwordHashText(PASSWORD, [2 ** 15, 8, 1]) };
        const details = [{ type: "spillway", subjects: { allow: [">"] } }];
        const passwords_file = join(directory, "passwords.json");
        const users = [{ ...user, authorization_details: details }];
        await writeFile(passwords_file, JSON.stringify(users));
        const trusted_proxies = ["127.0.0.1"];
        return await startGateway(target, {
          config: { ...config, passwords_file, trusted_proxies, admin_port: 0 },
        });
      };
      beforeAll(async () => {
        directory = await mkdtemp(join(tmpdir(), "spillway-abuse-"));
      });
      afterAll(async () => {
        await rm(directory, { recursive: true });
      });

      /** Asks for a WebSocket from an address; without a password, to send a token later. */
      const ask = ({ wsUrl }: Gateway, from: string, password?: string) => {
        const login = Buffer.from(`ann:${password}`).toString("base64");
        const headers = {
          "X-Forwarded-For": from,
          "Sec-WebSocket-Protocol": "spillway.v1.json",
          ...(password !== undefined && { Authorization: `Basic ${login}` }),
        };
        return requestUpgrade(wsUrl, { headers });
      };

      /** All clients leave, and the gateway ends well. */
      async function expectEnd(gateway: Gateway, ...sockets: Socket[]): Promise<void> {
        for (const socket of sockets) socket.destroy();
        await expectNothingLeft(await asOperator(gateway));
        expect(await gateway.stop()).toEqual({ code: 0, signal: null });
      }

      test("try one password after the other, another one logs in", async () => {
        const gateway = await start({});
        const statuses: number[] = [];
        const refused = new EventLog<number>("refusals");
        const tries = Array.from({ length: 200 }, async (_, n) => {
          const { status } = await ask(gateway, FLOOD, `wrong ${n}`);
          statuses.push(status);
          if (status === 503) refused.add(n);
        });
        await refused.next();
        const hashed = () => statuses.filter((status) => status === 401).length;
        const before = hashed();
        const { status, socket } = await ask(gateway, OTHER, PASSWORD);
        expect(status).toBe(101);
        // It waits for few others.
        expect(hashed() - before).toBeLessThan(MAX_WAITING / 2);
        await Promise.all(tries);
        expect(new Set(statuses)).toEqual(new Set([401, 503]));
        await expectEnd(gateway, socket);
      });

      test("connect and show no token, others connect with and without one", async () => {
        const gateway = await start({ max_clients: 20, auth_timeout: "1h" });
        const sockets: Socket[] = [];
        for (let count = 0; count < 20; count++) {
          const { status, socket } = await ask(gateway, FLOOD);
          if (status === 101) sockets.push(socket);
          else expect(status).toBe(429);
        }
        expect(sockets).toHaveLength(4);
        const others = [await ask(gateway, OTHER), await ask(gateway, OTHER, PASSWORD)];
        expect(others.map(({ status }) => status)).toEqual([101, 101]);
        await expectEnd(gateway, ...others.map(({ socket }) => socket), ...sockets);
      });

      test("connect as often as they can, another one logs in", async () => {
        const gateway = await start({ max_handshakes_per_second: 2 });
        let status = 0;
        for (let count = 0; count < 50 && status !== 429; count++) {
          ({ status } = await ask(gateway, FLOOD, "x".repeat(2000)));
        }
        expect(status).toBe(429);
        let isOver = false;
        const flood = Array.from({ length: 5 }, async () => {
          while (!isOver) await ask(gateway, FLOOD, "x".repeat(2000));
        });
        const other = await ask(gateway, OTHER, PASSWORD);
        isOver = true;
        await Promise.all(flood);
        expect(other.status).toBe(101);
        await expectEnd(gateway, other.socket);
      });
    });

    test("After all that, it serves", async () => {
      const client = await subscribe(gateway());
      const published = await fetch(`${gateway().url}/publish/after.all`, {
        method: "POST",
        body: "1",
      });
      expect(published.status).toBe(202);
      expect((await client.next()).subject).toBe("after.all");
    });
  });
});
