/** The configuration of a gateway for several tenants that docs/security.md shows, with that of its NATS. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SignJWT } from "jose";
import { openEvents } from "../support/event-source.ts";
import { type Gateway, startGateway } from "../support/gateway-process.ts";
import { connectLasting, flushed } from "../support/nats-connection.ts";
import { type NatsServer, startNatsServer } from "../support/nats-server.ts";
import { ROOT, TARGETS } from "../support/runtimes.ts";

setDefaultTimeout(180_000);

const NAMES = ["acme", "globex"] as const;
const SECRET = "0123456789abcdef0123456789abcdef";

describe.each(["bun", "deno", "node"] as const)("deploy/tenants.json on %s", (name) => {
  let directory: string;
  let server: NatsServer;
  let gateway: Gateway;
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), "spillway-tenants-"));
    const conf = await readFile(`${ROOT}deploy/tenants.conf`, "utf8");
    const store = `jetstream { store_dir: ${JSON.stringify(join(directory, "streams"))} }`;
    const config = conf.replace("jetstream {}", store).replace(/\$([A-Z]+)_PASSWORD/g, "of-$1");
    server = await startNatsServer({ config });
    const shown = JSON.parse(await readFile(`${ROOT}deploy/tenants.json`, "utf8"));
    const keys_file = join(directory, "key");
    await writeFile(keys_file, SECRET);
    const issuers = shown.issuers.map(({ jwks_url: _, ...issuer }: { jwks_url: string }) => {
      return { ...issuer, keys_file, algorithms: ["HS256"] };
    });
    const accounts = [];
    for (const account of shown.accounts) {
      const nats_password_file = join(directory, account.name);
      await writeFile(nats_password_file, `of-${account.name.toUpperCase()}\n`);
      accounts.push({ ...account, nats_url: server.url, nats_password_file });
    }
    gateway = await startGateway(TARGETS[name], { config: { ...shown, issuers, accounts } });
  });
  afterAll(async () => {
    expect(await gateway.stop()).toEqual({ code: 0, signal: null });
    await server.stop();
    await rm(directory, { recursive: true });
  });

  async function tokenOf(tenant: string): Promise<string> {
    const subjects = { allow: ["orders.>", "history.>"] };
    const authorization_details = [{ type: "spillway", account: "{tenant}", subjects }];
    return await new SignJWT({ tenant, authorization_details })
      .setProtectedHeader({ alg: "HS256" })
      .setIssuer("https://id.example.com")
      .setAudience("https://gw.example.com")
      .setSubject("ann")
      .setIssuedAt()
      .setExpirationTime("1h")
      .sign(new TextEncoder().encode(SECRET));
  }

  test("is ready, and gives each client what the stream of its tenant keeps, and nothing to others", async () => {
    expect((await gateway.get("/readyz")).status).toBe(200);
    for (const tenant of NAMES) {
      const login = { user: tenant, pass: `of-${tenant.toUpperCase()}` };
      const connection = await connectLasting(server.url, login);
      const manager = await connection.jetstreamManager();
      await manager.streams.add({ name: "HISTORY", subjects: ["history.>"] });
      await connection.jetstream().publish("history.x", JSON.stringify(tenant));
      await flushed(connection);
      await connection.close();
    }
    const ask = async (tenant: string) =>
      await openEvents(`${gateway.url}${gateway.path}/sse?subjects=history.x&from=all`, {
        Authorization: `Bearer ${await tokenOf(tenant)}`,
      });
    for (const tenant of NAMES) {
      const reader = await ask(tenant);
      const { data } = await reader.events.find(({ type }) => type === "message", "a message");
      expect(JSON.parse(data)).toMatchObject({ subject: "history.x", payload: tenant });
      reader.destroy();
    }
    const url = `${gateway.url}${gateway.path}/sse`;
    const headers = { Authorization: `Bearer ${await tokenOf("initech")}` };
    expect((await fetch(url, { headers })).status).toBe(403);
  });
});
