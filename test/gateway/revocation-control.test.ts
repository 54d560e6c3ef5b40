import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { NatsConnection } from "nats";
import type { Claims } from "../../src/access/claims.ts";
import type { ConfigInput } from "../../src/config/input.generated.ts";
import { parseConfig } from "../../src/config/parse.ts";
import { Grant } from "../../src/core/access/grant.ts";
import { createGateway, type Gateway } from "../../src/gateway/gateway.ts";
import { RevocationControl } from "../../src/gateway/revocation-control.ts";
import type { CreateRuntime } from "../../src/runtime/runtime.ts";
import { grantOf } from "../core/support/auth-harness.ts";
import { ManualClock } from "../core/support/manual-clock.ts";
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

describe("A revocation is known as long as a token that it revokes may count", () => {
  const DAY_MS = 86_400_000;
  const issuers = [{ issuer: "https://i", audience: "gw", jwks_url: "https://i/keys" }];

  /** Whether a token of the last moment is revoked so much later. */
  function isRevokedAfter(config: ConfigInput, hasHook: boolean, laterMs: number): boolean {
    const clock = new ManualClock();
    const control = new RevocationControl(parseConfig(config), hasHook, clock, SILENT);
    control.list.add({ claim: "sub", value: "ann", issuedBeforeMs: clock.wallMs() });
    const issuedAtMs = clock.wallMs() - 1;
    clock.pause(laterMs);
    // Entries that are of no use are forgotten when others come.
    for (let n = 0; n < 2000; n++) {
      control.list.add({ claim: "jti", value: `${n}`, issuedBeforeMs: clock.wallMs() });
    }
    const { terms } = grantOf({ sub: "ann" });
    const token = { id: undefined, issuedAtMs, expiresAtMs: Number.POSITIVE_INFINITY };
    return control.isRevoked(new Grant([">"], { ...terms, token }));
  }

  test.each<[string, ConfigInput, boolean, number, boolean]>([
    ["max_token_age and clock_tolerance", { issuers }, false, DAY_MS + 9000, true],
    ["max_token_age and clock_tolerance, no longer", { issuers }, false, DAY_MS + 11_000, false],
    [
      "an issuer's own age",
      { issuers: [{ ...issuers[0]!, max_token_age: "48h" }] },
      ...([false, 2 * DAY_MS, true] as const),
    ],
    ["tokens in a file, without end", { tokens_file: "t" }, false, 1000 * DAY_MS, true],
    ["a hook's claims, without end", {}, true, 1000 * DAY_MS, true],
  ])("%s", (_, config, hasHook, laterMs, expected) => {
    expect(isRevokedAfter(config, hasHook, laterMs)).toBe(expected);
  });

  test("claims of a service, without end", () => {
    const config = { authorizer_subject: "_AUTH", nats_url: "nats://localhost:4222" };
    expect(isRevokedAfter(config, false, 1000 * DAY_MS)).toBe(true);
  });
});

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
    ["a time in the future", { sub: "x", issuedBefore: new Date(Date.now() + 3_600_000) }],
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
      const { status, body } = await events(other, "j/1.ann");
      expect(status).toBe(200);
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

    test("is not lost silently: a bucket's TTL that is too short is said, until it is mended", async () => {
      const jsm = await connection.jetstreamManager();
      await connection.jetstream().views.kv("brief", { history: 1, ttl: 8000 });
      const gateway = await begin({ revocation_bucket: "brief", subjects: ["a.>"] }, connection);
      const problem = async () => gateway.stats().revocation?.problem;
      await until("problem", problem, (text) => text?.includes("brief") === true);
      const ready = async () => gateway.stats().readiness.ready;
      await until("ready gateway", ready, (isReady) => isReady);
      await jsm.streams.update("KV_brief", { max_age: 0 });
      await until("no problem", problem, (text) => text === undefined);
      await gateway.stop(0);
    });

    test("has effect on its own gateway, and says so, if there is no such bucket", async () => {
      const gateway = await begin({ revocation_bucket: "none", subjects: ["a.>"] }, connection);
      const reasons = async () => gateway.stats().readiness.reasons;
      await until("reason", reasons, (all) => all.some((one) => one.includes("KV_none")));
      expect(await reasons()).toContainEqual(expect.stringContaining("no token is accepted"));
      const error = await failure(() => gateway.revoke({ sub: "ann" }));
      expect(error).toMatchObject({ code: "REVOKE_FAILED", class: "transient" });
      expect((await events(gateway, "1.ann")).status).toBe(503);
      await gateway.stop(0);
    });
  });
});
