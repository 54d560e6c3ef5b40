import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { answering, KeyServer } from "../access/support/key-server.ts";
import { keySet, newKey, type SigningKey } from "../access/support/signing-keys.ts";
import { until } from "../support/event-log.ts";
import { type Gateway, startGateway } from "../support/gateway-process.ts";
import { contract, EVERY_EDGE, EVERY_RUNTIME } from "./support/contract.ts";
import { untilReady } from "./support/gateway-fixture.ts";
import { TokenMaker } from "./support/hostile-tokens.ts";

/** The gateway asks for keys once in this time at most. */
const COOLDOWN_MS = 10_000;
const UNKNOWN_KIDS = 10_000;
const AT_A_TIME = 50;

/** Servers of keys from which none can be had. */
const BAD: readonly (readonly [string, KeyServer["answer"]])[] = [
  ["says nothing", () => {}],
  ["begins an answer, and never ends it", (response) => void response.writeHead(200).write("{")],
  ["sends without end", (response) => sendWithoutEnd(response)],
  ["sends a page", answering("<html>Welcome</html>")],
  ["fails", answering("", 500)],
  ["sends to another place", answering("", 302, { Location: "http://127.0.0.1:9/" })],
  ["hangs up", (response) => void response.socket?.destroy()],
];

function sendWithoutEnd(response: Parameters<KeyServer["answer"]>[0]): void {
  response.writeHead(200);
  const more = (): void => {
    while (!response.destroyed && response.write("x".repeat(65_536)));
    response.once("drain", more);
  };
  more();
}

/** Issuers whose keys are at a URL, with servers that misbehave. */
contract([...EVERY_RUNTIME, ...EVERY_EDGE], (target) => {
  describe("Keys at a URL", () => {
    let maker: TokenMaker;
    let next: SigningKey;
    /** By the issuer. */
    const servers = new Map<string, KeyServer>();
    let gateway: Gateway;
    let startedMs: number;

    beforeAll(async () => {
      maker = await TokenMaker.open();
      next = await newKey("next");
      const serve = async (issuer: string, answer: KeyServer["answer"]) =>
        servers.set(issuer, await KeyServer.start(answer));
      for (const [what, answer] of BAD) await serve(what, answer);
      await serve("good", answering(keySet(maker.own)));
      await serve("down", answering(keySet(maker.own)));
      await servers.get("down")?.stop();
      const issuers = [...servers].map(([issuer, { url }]) => ({
        ...{ issuer, audience: maker.claims().aud, jwks_url: url, algorithms: ["ES256"] },
      }));
      gateway = await startGateway(target, { config: { issuers } });
      startedMs = performance.now();
      await untilReady(gateway);
    });
    afterAll(async () => {
      // A request for keys that is under way doesn't hold it up.
      expect(await gateway.stop()).toEqual({ code: 0, signal: null });
      await Promise.all([...servers.values()].map((server) => server.stop()));
      await maker.close();
    });

    const tokenOf = (iss: string, key = maker.own) => maker.token({ claims: { iss }, key });

    async function statusOf(token: string): Promise<number> {
      const response = await fetch(`${gateway.url}/ws/sse`, {
        headers: { Authorization: `Bearer ${token}` },
      });
      await response.body?.cancel();
      return response.status;
    }

    test("are not had from a server that misbehaves, and clients of others are served", async () => {
      const waiting = BAD.map(async ([what]) => [what, await statusOf(await tokenOf(what))]);
      expect(await statusOf(await tokenOf("good"))).toBe(200);
      expect(await Promise.all(waiting)).toEqual(BAD.map(([what]) => [what, 503]));
      expect(await statusOf(await tokenOf("down"))).toBe(503);
    });

    test("of ten thousand names that nobody knows cause one request per cooldown, and a rotation is seen", async () => {
      const server = servers.get("good")!;
      expect(await statusOf(await tokenOf("good"))).toBe(200);
      const rotated = await tokenOf("good", next);
      expect(await statusOf(rotated)).toBe(401);
      server.answer = answering(keySet(next));
      await servers.get("down")?.listen();
      let tried = 0;
      const statuses = new Set<number>();
      const tryOne = async (): Promise<void> => {
        const header = { kid: `../${tried++}` };
        statuses.add(await statusOf(await maker.token({ claims: { iss: "good" }, header })));
      };
      const work = async (): Promise<void> => {
        while (tried < UNKNOWN_KIDS) await tryOne();
      };
      await Promise.all(Array.from({ length: AT_A_TIME }, work));
      const periods = Math.floor((performance.now() - startedMs) / COOLDOWN_MS);
      expect(statuses).toEqual(new Set([401]));
      expect(server.requests).toBeLessThanOrEqual(1 + periods + 1);
      const isLetIn = (status: number) => status === 200;
      await until("rotation", () => statusOf(rotated), isLetIn, 3 * COOLDOWN_MS);
      expect(await statusOf(await tokenOf("good"))).toBe(401);
      const returned = await tokenOf("down");
      await until("return", () => statusOf(returned), isLetIn, 3 * COOLDOWN_MS);
    });
  });
});
