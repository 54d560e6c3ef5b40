import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { NatsConnection } from "nats";
import type { Claims } from "../../src/access/claims.ts";
import type { ConfigInput } from "../../src/config/input.generated.ts";
import { createGateway, type Gateway } from "../../src/gateway/gateway.ts";
import type { CreateRuntime } from "../../src/runtime/runtime.ts";
import { until } from "../support/event-log.ts";
import { connectLasting } from "../support/nats-connection.ts";
import { type NatsServer, startNatsServer } from "../support/nats-server.ts";

const SILENT = { debug() {}, info() {}, warn() {}, error() {} };

/** Serves nothing but what `app.request` asks for. */
const runtime: CreateRuntime = () => ({
  name: "none",
  websocket: undefined,
  sockets: {
    upgrade: () => Promise.reject(new Error("no WebSocket here")),
    addressOf: () => "127.0.0.1",
    write: () => ({ grownBytes: 0, refused: 0 }),
  },
  listen: () => Promise.reject(new Error("no port here")),
  dialWebSocket: () => {
    throw new Error("no dialling here");
  },
});

/** Starts a gateway whose clients' token is the `jti` and the `sub`, parted by a comma. */
async function begin(config: ConfigInput, natsConnection?: NatsConnection): Promise<Gateway> {
  const iat = Date.now() / 1000 - 10;
  const authorize = ({ credentials }: { credentials: { kind: string; token?: string } }) => {
    const [jti = "", sub = ""] = credentials.token?.split(".") ?? [];
    const details = [{ type: "spillway", subjects: { allow: [">"] } }];
    return { jti, sub, iat, authorization_details: details } satisfies Claims;
  };
  const gateway = await createGateway(config, {
    ...{ runtime, natsConnection, log: SILENT },
    authorize: authorize as never,
  });
  await gateway.start();
  return gateway;
}

/** Asks for server-sent events; returns the status, and the whole body once it ends. */
async function events(gateway: Gateway, token: string) {
  const headers = { Authorization: `Bearer ${token}`, Host: "localhost" };
  const response = await gateway.app.request("http://localhost/ws/sse", { headers });
  return { status: response.status, body: response.text() };
}

async function failure(call: () => Promise<unknown>): Promise<unknown> {
  try {
    return await call();
  } catch (error) {
    return error;
  }
}

describe("revoke", () => {
  test("ends the clients of a sub, and refuses its tokens that were issued before", async () => {
    const gateway = await begin({});
    const { body } = await events(gateway, "1.ann");
    const { body: others } = await events(gateway, "2.bob");
    await gateway.revoke({ sub: "ann" });
    expect(await body).toContain('"code":4401');
    expect((await events(gateway, "1.ann")).status).toBe(401);
    await gateway.revoke({ sub: "bob", issuedBefore: new Date(Date.now() - 3_600_000) });
    await gateway.revoke({ jti: "9" });
    expect((await events(gateway, "2.bob")).status).toBe(200);
    await gateway.stop(5000);
    expect(await others).toContain('"code":1001');
  });

  test.each<[string, object]>([
    ["neither", {}],
    ["both", { jti: "a", sub: "b" }],
    ["an empty name", { sub: "" }],
    ["no text", { jti: 7 }],
    ["a name that is too long", { sub: "x".repeat(1025) }],
    ["no date", { sub: "x", issuedBefore: new Date(Number.NaN) }],
  ])("refuses %s", async (_, request) => {
    const gateway = await begin({});
    const error = await failure(() => gateway.revoke(request));
    expect(error).toMatchObject({ code: "REVOCATION_INVALID", class: "invalid" });
    await gateway.stop(0);
  });

  describe("with NATS", () => {
    let server: NatsServer;
    let connection: NatsConnection;
    beforeAll(async () => {
      server = await startNatsServer({ jetstream: true });
      connection = await connectLasting(server.url);
    });
    afterAll(async () => {
      await connection.close();
      await server.stop();
    });

    async function beginTwo(config: ConfigInput): Promise<[Gateway, Gateway]> {
      const gateways = [await begin(config, connection), await begin(config, connection)] as const;
      for (const gateway of gateways) {
        const ready = async () => gateway.stats().readiness.ready;
        await until("ready gateway", ready, (isReady) => isReady);
      }
      return [...gateways];
    }

    test.each<[string, ConfigInput]>([
      ["bucket", { revocation_bucket: "revoked" }],
      ["subject", { revocation_subject: "_REVOKED" }],
    ])("ends the clients of other gateways, which it tells by a %s", async (kind, config) => {
      if (kind === "bucket") await connection.jetstream().views.kv("revoked", { history: 1 });
      const [one, other] = await beginTwo({ ...config, subjects: ["a.>"] });
      const client = () => events(other, "j/1.ann");
      const { body } = await until("client", client, ({ status }) => status === 200);
      await one.revoke({ jti: "j/1" });
      expect(await body).toContain('"code":4401');
      for (const gateway of [one, other]) {
        expect((await events(gateway, "j/1.ann")).status).toBe(401);
      }
      if (kind === "bucket") {
        const kv = await connection.jetstream().views.kv("revoked");
        const entry = await kv.get("jti.ai8x");
        expect(entry?.json<object>()).toEqual({ issued_before: expect.any(Number) });
      }
      await Promise.all([one.stop(0), other.stop(0)]);
    });

    test("has effect on its own gateway, and says so, if there is no such bucket", async () => {
      const gateway = await begin({ revocation_bucket: "none", subjects: ["a.>"] }, connection);
      const reasons = async () => gateway.stats().readiness.reasons;
      await until("reason", reasons, (all) => all.some((one) => one.includes("KV_none")));
      const error = await failure(() => gateway.revoke({ sub: "ann" }));
      expect(error).toMatchObject({ code: "REVOKE_FAILED", class: "transient" });
      expect((await events(gateway, "1.ann")).status).toBe(503);
      await gateway.stop(0);
    });
  });
});
