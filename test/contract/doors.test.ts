import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DEADLINE_MS, until } from "../support/event-log.ts";
import { openEvents } from "../support/event-source.ts";
import { type Gateway, runToExit, startGateway } from "../support/gateway-process.ts";
import { requestUpgrade } from "../support/raw-handshake.ts";
import { openRaw } from "../support/raw-websocket.ts";
import { V1Client } from "../support/v1-client.ts";
import { contract, EVERY_SOCKET } from "./support/contract.ts";
import { asOperator } from "./support/gateway-fixture.ts";
import { metric } from "./support/metrics.ts";

const READER = "reader-6b1f5d0c9e8a47b2a1c3d4e5f60718";
const WRITER = "writer-93aa0f1e2d3c4b5a69788796a5b/+=";
const WRONG = "nobody-77c2b1a0f9e8d7c6b5a4938271605f";
const PAGE = "https://app.example";

const entry = (token: string, sub: string, actions: string[], subjects: object) => ({
  sha256: createHash("sha256").update(token).digest("hex"),
  sub,
  authorization_details: [{ type: "spillway", actions, subjects }],
});
const TOKENS = [
  entry(READER, "reader", ["subscribe"], { allow: ["a.>"] }),
  entry(WRITER, "writer", ["publish"], { allow: ["a.>"], deny: ["a.secret"] }),
];

const offer = (token: string): string =>
  `spillway-token.${Buffer.from(token).toString("base64url")}`;

type Headers = Readonly<Record<string, string>>;
interface Shown {
  readonly headers: Headers;
  readonly query: string;
}

/** The places where a token may be shown. */
const PLACES: Readonly<Record<string, (token: string) => Shown>> = {
  Authorization: (token) => ({ headers: { Authorization: `Bearer ${token}` }, query: "" }),
  "a subprotocol": (token) => ({ headers: { "Sec-WebSocket-Protocol": offer(token) }, query: "" }),
  "a cookie of an allowed page": (token) => ({
    headers: { Cookie: `x=1; __Host-token=${token}`, Origin: PAGE },
    query: "",
  }),
  "a cookie of an own page": (token) => ({
    headers: { Cookie: `__Host-token=${token}`, "Sec-Fetch-Site": "same-origin" },
    query: "",
  }),
  "the query": (token) => ({ headers: {}, query: `access_token=${encodeURIComponent(token)}` }),
  "all of them": (token) => ({
    headers: {
      Authorization: `bearer ${token}`,
      "Sec-WebSocket-Protocol": offer(token),
      Cookie: `__Host-token=${token}`,
      Origin: PAGE,
    },
    query: `access_token=${encodeURIComponent(token)}`,
  }),
};

/** Where and how clients show who they are, on real sockets. */
contract(EVERY_SOCKET, (target) => {
  describe("Doors", () => {
    let directory: string;
    let gateway: Gateway;
    let operator: Gateway;

    beforeAll(async () => {
      directory = await mkdtemp(join(tmpdir(), "spillway-doors-"));
      const tokens_file = join(directory, "tokens.json");
      await writeFile(tokens_file, JSON.stringify(TOKENS));
      const config = {
        tokens_file,
        token_cookie: "__Host-token",
        allow_query_token: true,
        allowed_origins: [PAGE],
        log_level: "debug",
        admin_port: 0,
      };
      gateway = await startGateway(target, { config });
      operator = await asOperator(gateway);
    });
    afterAll(async () => {
      expect(await gateway.stop()).toEqual({ code: 0, signal: null });
      await rm(directory, { recursive: true });
      // Neither a token, nor what it looks like in a subprotocol or a URL.
      for (const token of [READER, WRITER, WRONG]) {
        for (const text of [token, offer(token).slice(15), encodeURIComponent(token)]) {
          expect(gateway.output).not.toContain(text);
        }
      }
    });

    const clients = (): Promise<number> => metric(operator, "websocket_clients_total");

    /** Opens a client, and returns it when the gateway has taken it in. */
    async function takenIn<T>(open: () => Promise<T>): Promise<T> {
      const before = await clients();
      const client = await open();
      await until("one more client", clients, (count) => count > before);
      return client;
    }

    const urlOf = (query: string): string => `${gateway.wsUrl}?${query}`;

    async function post(subject: string, { headers, query }: Shown): Promise<Response> {
      return await fetch(`${gateway.url}/publish/${subject}?${query}`, {
        method: "POST",
        body: "1",
        headers,
        signal: AbortSignal.timeout(DEADLINE_MS),
      });
    }

    async function publish(subject: string): Promise<void> {
      const shown = PLACES.Authorization!(WRITER);
      expect((await post(subject, shown)).status).toBe(202);
    }

    for (const [place, show] of Object.entries(PLACES)) {
      describe(`A token in ${place}`, () => {
        test("lets a plain client in, which gets what it may have", async () => {
          const { headers, query } = show(READER);
          const client = await takenIn(() => openRaw(urlOf(query), { headers }));
          expect(client.response.headers.has("sec-websocket-protocol")).toBe(false);
          await publish("a.plain");
          expect(JSON.parse(await client.nextText()).subject).toBe("a.plain");
          client.destroy();
        });

        test("lets a client of v1 in, and is never the chosen subprotocol", async () => {
          const { headers, query } = show(READER);
          const offered = headers["Sec-WebSocket-Protocol"];
          const protocols = [offered, "spillway.v1.json"].filter((one) => one !== undefined);
          const raw = await takenIn(() =>
            openRaw(urlOf(query), {
              headers: { ...headers, "Sec-WebSocket-Protocol": protocols.join(", ") },
            }),
          );
          expect(raw.response.headers.get("sec-websocket-protocol")).toBe("spillway.v1.json");
          const client = new V1Client(raw);
          await client.subscribe("s", ["a.v1"]);
          await publish("a.v1");
          expect(await client.next("data")).toMatchObject({ subject: "a.v1" });
          client.send({ type: "subscribe", id: "other", subjects: ["b"] });
          expect(await client.next("error")).toMatchObject({
            id: "other",
            error: { code: "forbidden" },
          });
          raw.destroy();
        });

        test("lets a reader of events in", async () => {
          const { headers, query } = show(READER);
          const url = `${gateway.url}${gateway.path}/sse?${query}`;
          const reader = await takenIn(() => openEvents(url, headers));
          await publish("a.sse");
          const event = await reader.events.find(({ type }) => type === "message", "message");
          expect(JSON.parse(event.data).subject).toBe("a.sse");
          reader.destroy();
        });

        test("lets a client publish what it may", async () => {
          expect((await post("a.x", show(WRITER))).status).toBe(202);
          expect((await post("a.secret", show(WRITER))).status).toBe(403);
          expect((await post("b", show(WRITER))).status).toBe(403);
          expect((await post("a.x", show(READER))).status).toBe(403);
        });

        test("that nobody knows is refused", async () => {
          const { headers, query } = show(WRONG);
          const answer = await requestUpgrade(urlOf(query), { headers });
          expect(answer.status).toBe(401);
          expect(answer.headers.get("www-authenticate")).toContain('error="invalid_token"');
          expect(answer.body).not.toContain(WRONG);
          const url = `${gateway.url}${gateway.path}/sse?${query}`;
          await expect(openEvents(url, headers)).rejects.toThrow("refused with 401");
          expect((await post("a.x", show(WRONG))).status).toBe(401);
        });
      });
    }

    test("A plain client of a browser is answered with the subprotocol that it offers", async () => {
      const headers = { "Sec-WebSocket-Protocol": `spillway.plain.json,${offer(READER)}` };
      const client = await takenIn(() => openRaw(gateway.wsUrl, { headers }));
      expect(client.response.headers.get("sec-websocket-protocol")).toBe("spillway.plain.json");
      await publish("a.browser");
      expect(JSON.parse(await client.nextText()).subject).toBe("a.browser");
      client.destroy();
    });

    test("A client that shows nothing is told how to", async () => {
      const answer = await requestUpgrade(gateway.wsUrl);
      expect(answer.status).toBe(401);
      expect(answer.headers.get("www-authenticate")).toBe('Bearer realm="Spillway"');
      expect((await post("a.x", { headers: {}, query: "" })).status).toBe(401);
      await expect(openEvents(`${gateway.url}${gateway.path}/sse`)).rejects.toThrow("401");
    });

    const bearer = (token: string): string => `Bearer ${token}`;
    const cookie = (token: string): string => `__Host-token=${token}`;
    test.each<[string, number, Headers, string]>([
      ["Two tokens in two places", 400, { Authorization: bearer(READER) }, `access_token=${WRONG}`],
      ["Two tokens in the query", 400, {}, `access_token=${READER}&access_token=${WRONG}`],
      ["Two cookies", 400, { Cookie: `${cookie(READER)}; ${cookie(WRONG)}`, Origin: PAGE }, ""],
      [
        "Two Cookie headers",
        400,
        { Cookie: `${cookie(READER)}\r\nCookie: ${cookie(WRONG)}`, Origin: PAGE },
        "",
      ],
      ["Two offers", 400, { "Sec-WebSocket-Protocol": `${offer(READER)}, ${offer(WRONG)}` }, ""],
      ["A token with a space", 400, { Authorization: bearer(`${READER} ${WRONG}`) }, ""],
      ["A token of 9 kB", 400, { Authorization: bearer(WRONG.repeat(250)) }, ""],
      [
        "An offer that is no base64url",
        400,
        { "Sec-WebSocket-Protocol": `spillway-token.${READER}=` },
        "",
      ],
      ["Another scheme", 401, { Authorization: `Digest ${READER}` }, ""],
      ["A user and a password", 401, { Authorization: `Basic ${btoa(`u:${READER}`)}` }, ""],
      ["A cookie of a program", 401, { Cookie: cookie(READER) }, ""],
      ["A cookie of a link", 401, { Cookie: cookie(READER), "Sec-Fetch-Site": "none" }, ""],
      [
        "A cookie of a foreign page",
        403,
        { Cookie: cookie(READER), Origin: "https://evil.example" },
        "",
      ],
      ["A cookie of another name", 401, { Cookie: `token=${READER}`, Origin: PAGE }, ""],
    ])("%s: %i", async (_, status, headers, query) => {
      expect((await requestUpgrade(urlOf(query), { headers })).status).toBe(status);
    });

    test("Two Authorization headers are refused, whichever comes first", async () => {
      for (const [one, two] of [
        [WRONG, READER],
        [READER, WRONG],
        [READER, READER],
      ] as const) {
        const headers = { Authorization: `${bearer(one)}\r\nAuthorization: ${bearer(two)}` };
        expect((await requestUpgrade(gateway.wsUrl, { headers })).status).toBe(400);
      }
    });

    test("A token of 100 kB is refused", async () => {
      const headers = { Authorization: bearer(WRONG.repeat(2700)) };
      const answer = requestUpgrade(gateway.wsUrl, { headers });
      // A server may also close the connection at once.
      const status = await answer.then(
        (response) => response.status,
        () => 431,
      );
      expect([400, 401, 431]).toContain(status);
    });

    test("A page of an allowed origin may send its cookies", async () => {
      const { headers } = await post("a.x", PLACES["a cookie of an allowed page"]!(WRITER));
      expect(headers.get("access-control-allow-origin")).toBe(PAGE);
      expect(headers.get("access-control-allow-credentials")).toBe("true");
    });

    test("Only the stream, publishing, probes and the client are public", async () => {
      for (const path of ["/livez", "/readyz", "/client.js"])
        expect((await gateway.get(path)).status).toBe(200);
      for (const path of ["/", "/healthz", "/metrics", "/schema.json", "/asyncapi.json"]) {
        expect([path, (await gateway.get(path)).status]).toEqual([path, 403]);
      }
    });
  });

  describe("The file of tokens", () => {
    let directory: string;
    let tokens_file: string;

    beforeAll(async () => {
      directory = await mkdtemp(join(tmpdir(), "spillway-tokens-"));
      tokens_file = join(directory, "tokens.json");
    });
    afterAll(() => rm(directory, { recursive: true }));

    test("must be right before a port is opened", async () => {
      for (const [content, rule] of [
        [undefined, /"tokens_file" is ".*", which can't be read: /],
        ["{", /"tokens_file" is ".*", which /],
        [
          `[{"sha256":"${WRONG}"}]`,
          /"tokens_file" is ".*", which has \[0\]\.sha256, which must be /,
        ],
      ] as const) {
        await rm(tokens_file, { force: true });
        if (content !== undefined) await writeFile(tokens_file, content);
        const { code, stdout, stderr } = await runToExit(target, { config: { tokens_file } });
        expect([code, stdout]).toEqual([1, ""]);
        expect(stderr).toMatch(rule);
        expect(stderr).not.toContain(WRONG);
      }
    });

    test("doesn't make tokens in the query count", async () => {
      await writeFile(tokens_file, JSON.stringify(TOKENS));
      const gateway = await startGateway(target, { config: { tokens_file } });
      const answer = await gateway.get(`${gateway.path}/sse?access_token=${READER}`);
      const text = await answer.text();
      expect([answer.status, text]).toEqual([401, expect.stringContaining("in the URL")]);
      expect(text).not.toContain(READER);
      expect(await gateway.stop()).toEqual({ code: 0, signal: null });
      expect(gateway.output).not.toContain(READER);
    });

    test("is read again when it changes, and stays in force when it breaks", async () => {
      await writeFile(tokens_file, JSON.stringify(TOKENS.slice(1)));
      const gateway = await startGateway(target, { config: { tokens_file } });
      const status = async (): Promise<number> => {
        const headers = { Authorization: `Bearer ${READER}` };
        const answer = await requestUpgrade(gateway.wsUrl, { headers });
        answer.socket.destroy();
        return answer.status;
      };
      expect(await status()).toBe(401);
      await writeFile(tokens_file, JSON.stringify(TOKENS));
      await until("new token", status, (now) => now === 101);
      await writeFile(tokens_file, "{");
      await gateway.waitForLog(({ properties }) => properties.event === "file_reload_failed");
      expect(await status()).toBe(101);
      expect(await gateway.stop()).toEqual({ code: 0, signal: null });
      expect(gateway.output).not.toContain(READER);
    });
  });
});
