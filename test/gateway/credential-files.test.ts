/** A gateway with the files of its configuration: who is let in, and what is wrong with a file. */
import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { exportJWK, generateKeyPair, SignJWT } from "jose";
import { hashPassword } from "../../src/access/password-hash.ts";
import type { ConfigInput } from "../../src/config/input.generated.ts";
import type { GatewayDeps } from "../../src/gateway/deps.ts";
import { createGateway } from "../../src/mod.ts";
import { answering, KeyServer } from "../access/support/key-server.ts";
import { ManualClock } from "../core/support/manual-clock.ts";
import { EventLog } from "../support/event-log.ts";

const folder = mkdtempSync(join(tmpdir(), "spillway-files-"));
afterAll(() => rmSync(folder, { recursive: true }));

const DETAILS = [{ type: "spillway", actions: ["subscribe"], subjects: { allow: ["news.>"] } }];
const TOKEN = "0123456789abcdef0123456789abcdef";
const OTHER = "fedcba9876543210fedcba9876543210";

function write(name: string, content: unknown): string {
  const path = join(folder, name);
  writeFileSync(path, typeof content === "string" ? content : JSON.stringify(content));
  return path;
}

async function sha256(text: string): Promise<string> {
  const hash = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return Buffer.from(hash).toString("hex");
}

async function tokensFile(name: string, ...tokens: string[]): Promise<string> {
  const entries = tokens.map(async (token, n) => ({
    ...{ sha256: await sha256(token), sub: `u${n}`, authorization_details: DETAILS },
  }));
  return write(name, await Promise.all(entries));
}

type Gateway = Awaited<ReturnType<typeof createGateway>>;

/** The status of a request for events of a subject; 200 if it is let in. */
async function statusOf({ app }: Gateway, authorization?: string, subject = "news.x") {
  const headers: Record<string, string> = authorization === undefined ? {} : { authorization };
  const answer = await app.request(`/ws/sse?subjects=${subject}`, { headers });
  await answer.body?.cancel();
  return answer.status;
}

async function running(config: ConfigInput, deps: GatewayDeps = {}): Promise<Gateway> {
  const gateway = await createGateway(config, deps);
  await gateway.start();
  return gateway;
}

describe("A gateway with", () => {
  test("tokens_file lets in clients with its tokens, to what they may have", async () => {
    const gateway = await running({ tokens_file: await tokensFile("tokens", TOKEN) });
    expect(await statusOf(gateway, `Bearer ${TOKEN}`)).toBe(200);
    expect(await statusOf(gateway, `Bearer ${TOKEN}`, "secret.x")).toBe(403);
    expect(await statusOf(gateway, `Bearer ${OTHER}`)).toBe(401);
    expect(await statusOf(gateway)).toBe(401);
    await gateway.stop();
  });

  test("tokens_file reads it again while it runs, and keeps what it had if it is broken", async () => {
    const clock = new ManualClock();
    const path = await tokensFile("changing", TOKEN);
    const events = new EventLog<unknown>("events");
    const say = (_: string, properties: Record<string, unknown> = {}) => {
      events.add(properties.event);
    };
    const log = { debug: say, info: say, warn: say, error: say };
    const gateway = await running({ tokens_file: path }, { clock, log });
    const letsIn = async (token: string, status: number): Promise<void> => {
      for (let tries = 0; (await statusOf(gateway, `Bearer ${token}`)) !== status; tries++) {
        if (tries > 100) throw new Error(`${token} is not answered with ${status}`);
        await new Promise((resolve) => setImmediate(resolve));
      }
    };
    await tokensFile("changing", OTHER);
    clock.advance(5000);
    await letsIn(OTHER, 200);
    await letsIn(TOKEN, 401);
    write("changing", "{");
    clock.advance(5000);
    await events.find((event) => event === "file_reload_failed");
    expect(await statusOf(gateway, `Bearer ${OTHER}`)).toBe(200);
    await gateway.stop(0);
  });

  test("passwords_file lets in users by HTTP Basic", async () => {
    const users = [
      { user: "ann", password_hash: await hashPassword("secret"), authorization_details: DETAILS },
    ];
    const gateway = await running({ passwords_file: write("users", users) });
    const basic = (text: string) => `Basic ${btoa(text)}`;
    expect(await statusOf(gateway, basic("ann:secret"))).toBe(200);
    expect(await statusOf(gateway, basic("ann:wrong"))).toBe(401);
    await gateway.stop();
  });

  test("issuers lets in clients with their tokens, by a file and by a URL", async () => {
    const { publicKey, privateKey } = await generateKeyPair("ES256", { extractable: true });
    const keys = {
      keys: [{ ...(await exportJWK(publicKey)), kid: "1", alg: "ES256", use: "sig" }],
    };
    const server = createServer((_, response) => {
      response.setHeader("Content-Type", "application/json").end(JSON.stringify(keys));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as { port: number };
    const gateway = await running({
      issuers: [
        { issuer: "https://file", audience: "gw", keys_file: write("keys", keys) },
        { issuer: "https://url", audience: "gw", jwks_url: `http://localhost:${port}/` },
      ],
    });
    const tokenOf = (issuer: string) =>
      new SignJWT({ authorization_details: DETAILS })
        .setProtectedHeader({ alg: "ES256", kid: "1" })
        .setIssuer(issuer)
        .setAudience("gw")
        .setSubject("ann")
        .setIssuedAt()
        .setExpirationTime("5m")
        .sign(privateKey);
    expect(await statusOf(gateway, `Bearer ${await tokenOf("https://file")}`)).toBe(200);
    expect(await statusOf(gateway, `Bearer ${await tokenOf("https://url")}`)).toBe(200);
    expect(await statusOf(gateway, `Bearer ${await tokenOf("https://other")}`)).toBe(401);
    await gateway.stop();
    server.closeAllConnections();
    server.close();
  });
});

describe("Keys at a URL are loaded", () => {
  const issuerAt = (jwks_url: string) => [{ issuer: "https://i", audience: "gw", jwks_url }];

  test("while the gateway runs, again after each start, and a stop ends the request", async () => {
    const requests = new EventLog<true>("requests");
    const ended = new EventLog<true>("ended requests");
    const server = await KeyServer.start((response) => {
      requests.add(true);
      response.once("close", () => ended.add(true));
    });
    const gateway = await createGateway({ issuers: issuerAt(server.url) });
    for (let time = 0; time < 2; time++) {
      expect(requests.entries.length).toBe(time);
      await gateway.start();
      await requests.next();
      await gateway.stop(0);
      await ended.next();
    }
    await server.stop();
  });

  test("by no gateway that can't be made", async () => {
    const server = await KeyServer.start(answering("{}"));
    const tokens_file = write("broken-tokens", "{");
    await expect(
      createGateway({ tokens_file, issuers: issuerAt(server.url) }),
    ).rejects.toMatchObject({ code: "CONFIG_INVALID" });
    expect(server.requests).toBe(0);
    await server.stop();
  });
});

describe("A file that can't be used is named:", () => {
  const issuer = { issuer: "https://i", audience: "gw" };
  test.each([
    [
      { tokens_file: join(folder, "none") },
      /"tokens_file" is ".*none", which can't be read: .*ENOENT/,
    ],
    [{ tokens_file: write("broken", "{") }, /"tokens_file" is ".*broken", which /],
    [{ passwords_file: write("no-list", {}) }, /"passwords_file" is ".*no-list", which /],
    [
      { issuers: [{ ...issuer, keys_file: write("no-keys", { keys: [] }) }] },
      /"issuers" has the keys_file ".*no-keys", which has no key/,
    ],
    [
      {
        issuers: [
          { ...issuer, jwks_url: "https://i/keys" },
          { ...issuer, jwks_url: "https://i/others" },
        ],
      },
      /"issuers": The issuer "https:\/\/i" comes twice/,
    ],
  ] as [ConfigInput, RegExp][])("%o", async (config, message) => {
    await expect(createGateway(config)).rejects.toMatchObject({
      code: "CONFIG_INVALID",
      message: expect.stringMatching(message),
    });
  });
});
