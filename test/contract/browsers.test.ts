import { describe, expect, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startGateway } from "../support/gateway-process.ts";
import { type HandshakeOptions, requestUpgrade } from "../support/raw-handshake.ts";
import { contract, EVERY_SOCKET } from "./support/contract.ts";
import { subscribeEvents, subscribeRaw, useGateway } from "./support/gateway-fixture.ts";
import { expectProblem, expectRefusal } from "./support/refusal.ts";

const APP = "https://app.example.com";

/** What answers, and a path where nothing is. */
const PATHS =
  "/ /livez /readyz /healthz /metrics /schema.json /asyncapi.json /client.js /ws /ws/sse /nothing".split(
    " ",
  );

/** A plain request, with no more headers than a test says. */
const PLAIN = {
  Upgrade: undefined,
  Connection: "close",
  "Sec-WebSocket-Key": undefined,
  "Sec-WebSocket-Version": undefined,
};

/** Which pages a browser lets in, and which names the gateway answers to. */
contract(EVERY_SOCKET, (target) => {
  describe("Browsers", () => {
    const gateway = useGateway(target, () => ({ config: { allowed_origins: [APP] } }));

    const ask = (path: string, { headers = {}, ...options }: HandshakeOptions = {}) =>
      requestUpgrade(gateway().url + path, { ...options, headers: { ...PLAIN, ...headers } });

    test("A Host that isn't a name of this machine: 403, wherever and however it is asked", async () => {
      const Host = `rebound.example:${gateway().port}`;
      for (const path of PATHS) {
        for (const method of ["GET", "POST", "OPTIONS"]) {
          const { status, headers, body } = await ask(path, { method, headers: { Host } });
          expect([method, path, status]).toEqual([method, path, 403]);
          const { detail } = expectProblem(403, headers.get("content-type"), body);
          expect(detail).toContain("add it to allowed_hosts");
        }
      }
      const published = await ask("/publish/a", { method: "POST", headers: { Host } });
      expect(published.status).toBe(403);
      expectRefusal(target, await requestUpgrade(gateway().wsUrl, { headers: { Host } }), 403);
    });

    test("Names and addresses of this machine are right, however they are written", async () => {
      for (const name of ["LOCALHOST", "localhost.", "app.localhost", "127.1.2.3", "[::1]"]) {
        const Host = `${name}:${gateway().port}`;
        expect([name, (await ask("/livez", { headers: { Host } })).status]).toEqual([name, 200]);
        await subscribeRaw(gateway(), { headers: { Host } });
      }
    });

    test("A Host that is two, or none that can be read, is refused", async () => {
      for (const Host of [
        "localhost@rebound.example",
        "localhost, rebound.example",
        "localhost\r\nHost: rebound.example",
        "rebound.example\r\nHost: localhost",
        "localhost.rebound.example",
      ]) {
        const { status } = await ask("/metrics", { headers: { Host } });
        expect([400, 403]).toContain(status);
      }
    });

    test("An absolute target does not make another Host right", async () => {
      const headers = { Host: "rebound.example" };
      // `URL` would take it for a path: it is put in front of the real one.
      const { status } = await requestUpgrade(gateway().url, {
        method: "GET http://localhost/metrics HTTP/1.1\r\nX-Rest: ",
        headers: { ...PLAIN, ...headers },
      });
      expect([400, 403]).toContain(status);
    });

    for (const site of ["cross-site", "same-site"]) {
      test(`Sec-Fetch-Site: ${site} without an Origin: 403, but where a link is followed`, async () => {
        const headers = { "Sec-Fetch-Site": site, "Sec-Fetch-Mode": "no-cors" };
        for (const path of PATHS) {
          const response = await ask(path, { headers });
          expect([path, response.status]).toEqual([path, 403]);
          expectProblem(403, response.headers.get("content-type"), response.body);
        }
        const published = await ask("/publish/a", { method: "POST", headers });
        expect(published.status).toBe(403);
        expectRefusal(target, await requestUpgrade(gateway().wsUrl, { headers }), 403);
        const followed = {
          ...headers,
          "Sec-Fetch-Mode": "navigate",
          "Sec-Fetch-Dest": "document",
        };
        expect((await ask("/", { headers: followed })).status).toBe(200);
        expect((await ask("/ws/sse", { headers: followed })).status).toBe(403);
      });
    }

    test("An Origin that isn't allowed: 403 everywhere, and its page can't read why", async () => {
      for (const Origin of ["https://evil.example", "null", `${APP}:8443`]) {
        for (const path of PATHS) {
          const { status, headers } = await ask(path, { headers: { Origin } });
          expect([Origin, path, status]).toEqual([Origin, path, 403]);
          expect(headers.has("access-control-allow-origin")).toBe(false);
          expect(headers.get("vary")).toContain("Origin");
        }
      }
    });

    test("The page of an allowed origin reads events, answers and refusals", async () => {
      const headers = { Origin: APP, "Sec-Fetch-Site": "cross-site", "Last-Event-ID": "x:1" };
      const reader = await subscribeEvents(gateway(), "", headers);
      expect(reader.headers.get("access-control-allow-origin")).toBe(APP);
      expect(reader.headers.get("vary")).toContain("Origin");
      await reader.next("subscribed");
      for (const [path, method, expected] of [
        ["/publish/from.page", "POST", 202],
        ["/publish/a..b", "POST", 400],
        ["/ws/sse?subjects=a..b", "GET", 400],
        ["/ws/sse", "DELETE", 405],
        ["/nothing", "GET", 404],
        ["/metrics", "GET", 200],
        ["/", "GET", 200],
      ] as const) {
        const response = await ask(path, { method, headers });
        expect([path, response.status]).toEqual([path, expected]);
        expect([path, response.headers.get("access-control-allow-origin")]).toEqual([path, APP]);
        expect(response.headers.get("vary")).toContain("Origin");
      }
    });

    test("Preflights of allowed origins are answered, those of others refused", async () => {
      const asked = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type",
      };
      for (const path of ["/publish/a", "/ws/sse", "/metrics"]) {
        const options = { method: "OPTIONS", headers: { ...asked, Origin: APP } };
        const { status, headers } = await ask(path, options);
        expect(status).toBe(204);
        expect(headers.get("access-control-allow-origin")).toBe(APP);
        expect(headers.get("access-control-allow-methods")).toContain("POST");
        expect(headers.get("access-control-allow-headers")).toBe("content-type");
        const evil = { ...asked, Origin: "https://evil.example" };
        const refused = await ask(path, { method: "OPTIONS", headers: evil });
        expect(refused.status).toBe(403);
        expect(refused.headers.has("access-control-allow-origin")).toBe(false);
      }
    });

    test("A refusal is logged, with what would allow it", async () => {
      const other = await startGateway(target);
      const refusal = (event: string) =>
        other.waitForLog(({ properties }) => properties.event === event, event);
      const headers = { Origin: "http://localhost:5173" };
      await requestUpgrade(other.wsUrl, { headers });
      expect((await refusal("origin_refused")).message).toContain(
        "SPILLWAY_ALLOWED_ORIGINS=http://localhost:5173",
      );
      await requestUpgrade(other.wsUrl, { headers: { Host: "app.example.com" } });
      expect((await refusal("host_refused")).message).toContain(
        "SPILLWAY_ALLOWED_HOSTS=app.example.com",
      );
      await other.stop();
    });
  });

  describe("Browsers behind a proxy that passes Host on without its port", () => {
    const gateway = useGateway(target, () => ({ config: { allowed_hosts: ["app.example.com"] } }));

    test("The public page connects at any public port, and one of another name does not", async () => {
      for (const Origin of [APP, `${APP}:8443`, "http://app.example.com:8081"]) {
        const headers = { Host: "app.example.com", Origin };
        await subscribeRaw(gateway(), { headers });
      }
      const headers = { Host: "app.example.com", Origin: "https://evil.example:8443" };
      expectRefusal(target, await requestUpgrade(gateway().wsUrl, { headers }), 403);
      const named = { Host: "evil.example", Origin: "https://evil.example" };
      expectRefusal(target, await requestUpgrade(gateway().wsUrl, { headers: named }), 403);
    });
  });

  describe("A configuration that opens more than meant", () => {
    const warningOf = async (event: string, config: Readonly<Record<string, unknown>>) => {
      const gateway = await startGateway(target, { config });
      const { logs } = gateway;
      await gateway.stop();
      const warning = logs.find(({ properties }) => properties.event === event);
      if (warning !== undefined) expect(warning.level).toMatch(/^warn/i);
      return warning?.message;
    };

    test("lets strangers publish: it is warned of where others can reach it, and only there", async () => {
      const said = (config: object) => warningOf("publish_open", { ...config });
      expect(await said({ host: "0.0.0.0" })).toContain('"publish": false');
      expect(await said({ host: "0.0.0.0", publish: false })).toBeUndefined();
      expect(await said({ host: "127.0.0.2" })).toBeUndefined();
      expect(await said({ host: "localhost" })).toBeUndefined();
    });

    test("takes tokens unencrypted: it is warned of unless a proxy or nobody else is there", async () => {
      const directory = await mkdtemp(join(tmpdir(), "spillway-browsers-"));
      const tokens_file = join(directory, "tokens.json");
      await writeFile(tokens_file, "[]");
      const said = (config: object) => warningOf("tokens_unencrypted", { tokens_file, ...config });
      expect(await said({ host: "0.0.0.0" })).toContain('"tls_cert_file"');
      expect(await said({ host: "0.0.0.0", trusted_proxies: ["10.0.0.0/8"] })).toBeUndefined();
      expect(await said({ host: "127.0.0.1" })).toBeUndefined();
      await rm(directory, { recursive: true });
    });

    test("exposes what NATS uses internally: it is warned of", async () => {
      const said = (subjects: string[]) => warningOf("internals_exposed", { subjects });
      expect(await said(["a.>", "_INBOX.>", "$JS.API.>"])).toContain("_INBOX.>, $JS.API.>");
      expect(await said([">", "$KV.settings.>", "$JS.EVENT.>"])).toBeUndefined();
    });
  });
});
