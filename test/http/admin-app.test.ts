import { describe, expect, test } from "bun:test";
import { AuditLog } from "../../src/access/audit-log.ts";
import type { Operator } from "../../src/access/operator-tokens.ts";
import type { RevokeRequest } from "../../src/access/revocation-entry.ts";
import { SpillwayError } from "../../src/core/ports/errors.ts";
import { type AdminParts, createAdminApp } from "../../src/http/admin-app.ts";
import type { ReloadAnswer } from "../../src/http/reload.ts";
import { keptLog } from "../access/support/kept-log.ts";
import { ManualClock } from "../core/support/manual-clock.ts";

const OPERATORS: Readonly<Record<string, Operator>> = {
  reads: { sub: "ann", role: "viewer" },
  acts: { sub: "bob", role: "operator" },
};
const PAGES = ["/healthz", "/metrics", "/schema.json", "/asyncapi.json", "/"];

const NONE = { p50: 0, p90: 0, p99: 0, max: 0 };

function admin(parts: Partial<AdminParts> = {}) {
  const { log, lines } = keptLog();
  const clock = new ManualClock();
  const orders: RevokeRequest[] = [];
  const drains = { count: 0 };
  const reload: { answer: ReloadAnswer | undefined } = { answer: undefined };
  const app = createAdminApp(
    { host: "127.0.0.1", allowedHosts: ["*"], path: "/ws", requestTimeoutMs: 1000 },
    {
      clock,
      log,
      audit: new AuditLog(log, clock),
      listening: () => ({ address: "127.0.0.1", port: 9090 }),
      report: {
        meta: () => ({ name: "n", type: "output", description: "d", version: "1" }),
        readiness: () => ({ ready: true, reasons: [] }),
        status: () => ({
          meta: { name: "n", type: "output", description: "d", version: "1" },
          health: { healthy: true, last_check: "", error_count: 0, uptime: 0 },
          data_flow: {
            messages_per_second: 0,
            bytes_per_second: 0,
            error_rate: 0,
            last_activity: "",
          },
          lag: { seconds: NONE, bytes: NONE, furthest: [] },
          source: { name: "NATS", connected: true },
          ledger: { offered: 0, sent: 0, queued: 0, conflated: 0, dropped: 0 },
        }),
        metrics: async () => ({ contentType: "text/plain", text: "up 1\n" }),
        config: () => ({ port: 8080 }),
        schema: () => ({}),
      },
      operatorOf: async (token) => OPERATORS[token],
      addressOf: () => "192.0.2.1",
      revoke: async (order) => void orders.push(order),
      requestDrain: () => void drains.count++,
      requestReload: async () => reload.answer,
      clients: (page) => new URL(`http://${page.hostname}:8080`),
      console: {
        path: "/ws",
        subjects: [">"],
        publish: true,
        acknowledges: false,
        takesToken: false,
      },
      ...parts,
    },
  );
  const ask = async (path: string, init: RequestInit = {}, headers: Record<string, string> = {}) =>
    await app.request(`http://127.0.0.1:9090${path}`, {
      ...init,
      headers: { Host: "127.0.0.1:9090", ...headers },
    });
  return { ask, lines, orders, drains, reload };
}

const bearer = (token: string) => ({ Authorization: `Bearer ${token}` });
const basic = (token: string) => ({ Authorization: `Basic ${btoa(`me:${token}`)}` });
const post = (body: unknown) => ({ method: "POST", body: JSON.stringify(body) });

describe("Operators", () => {
  test("read with a token of either role, as bearer or as password", async () => {
    const { ask } = admin();
    for (const path of PAGES) {
      expect([path, (await ask(path, {}, bearer("reads"))).status]).toEqual([path, 200]);
      expect([path, (await ask(path, {}, basic("acts"))).status]).toEqual([path, 200]);
      expect([path, (await ask(path, { method: "HEAD" }, bearer("acts"))).status]).toEqual([
        path,
        200,
      ]);
    }
  });

  test("are told how to show a token, and only probes and the client need none", async () => {
    const { ask, lines } = admin();
    for (const path of [...PAGES, "/admin/revoke", "/nothing"]) {
      const answer = await ask(path);
      expect([path, answer.status]).toEqual([path, 401]);
      expect(answer.headers.get("www-authenticate")).toMatch(/^Bearer .*Basic /);
    }
    expect((await ask("/", {}, bearer("wrong"))).status).toBe(401);
    expect((await ask("/", {}, { Authorization: "Digest x" })).status).toBe(401);
    expect((await ask("/", {}, { Cookie: "token=reads" })).status).toBe(401);
    expect((await ask("/?access_token=reads")).status).toBe(401);
    for (const path of ["/livez", "/readyz", "/client.js"])
      expect((await ask(path)).status).toBe(200);
    expect(lines.every(({ audit, event }) => audit === true && event === "operator_refused")).toBe(
      true,
    );
    expect(JSON.stringify(lines)).not.toContain("wrong");
  });

  test("need no token where none is configured", async () => {
    const { ask, orders } = admin({ operatorOf: undefined });
    for (const path of PAGES) expect((await ask(path)).status).toBe(200);
    expect((await ask("/admin/revoke", post({ sub: "u" }))).status).toBe(204);
    expect(orders).toEqual([{ sub: "u" }]);
  });

  test("are not met by pages of other origins, whatever they show", async () => {
    const { ask, orders } = admin();
    const foreign = { Origin: "https://evil.example", ...basic("acts") };
    expect((await ask("/admin/revoke", post({ sub: "u" }), foreign)).status).toBe(403);
    const rebound = { Host: "evil.example:9090", ...basic("acts") };
    expect((await ask("/metrics", {}, rebound)).status).toBe(403);
    const image = { "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", ...basic("acts") };
    expect((await ask("/metrics", {}, image)).status).toBe(403);
    expect(orders).toEqual([]);
  });
});

describe("POST /admin/revoke", () => {
  test("revokes by jti and by sub, and the audit log says who did it", async () => {
    const { ask, orders, lines } = admin();
    const issued_before = "2027-01-31T00:00:00Z";
    expect((await ask("/admin/revoke", post({ jti: "a" }), bearer("acts"))).status).toBe(204);
    expect(
      (await ask("/admin/revoke", post({ sub: "u", issued_before }), bearer("acts"))).status,
    ).toBe(204);
    expect(
      (await ask("/admin/revoke", post({ sub: "u", issued_before: 10 }), bearer("acts"))).status,
    ).toBe(204);
    expect(orders).toEqual([
      { jti: "a" },
      { sub: "u", issuedBefore: new Date(issued_before) },
      { sub: "u", issuedBefore: new Date(10_000) },
    ]);
    expect(lines[0]).toMatchObject({
      ...{
        audit: true,
        event: "operator_revoked",
        operator: "bob",
        address: "192.0.2.1",
        jti: "a",
      },
    });
  });

  test("is not for viewers", async () => {
    const { ask, orders, lines } = admin();
    expect((await ask("/admin/revoke", post({ jti: "a" }), bearer("reads"))).status).toBe(403);
    expect(orders).toEqual([]);
    expect(lines[0]).toMatchObject({ event: "operator_refused", operator: "ann" });
  });

  test.each([
    ["no JSON", "{"],
    ["a list", "[]"],
    ["a key that comes twice", '{"sub":"u","sub":"v"}'],
    ["another field", '{"sub":"u","all":true}'],
    ["a time that is none", '{"sub":"u","issued_before":"yesterday"}'],
    ["a time out of range", '{"sub":"u","issued_before":1e300}'],
  ])("refuses %s", async (_, body) => {
    const { ask, orders } = admin();
    expect((await ask("/admin/revoke", { method: "POST", body }, bearer("acts"))).status).toBe(400);
    expect(orders).toEqual([]);
  });

  test("answers with what the gateway says", async () => {
    for (const [code, status] of [
      ["REVOCATION_INVALID", 400],
      ["REVOKE_FAILED", 503],
    ] as const) {
      const { ask } = admin({
        revoke: () => Promise.reject(new SpillwayError(code, "it says why")),
      });
      const answer = await ask("/admin/revoke", post({ jti: "a" }), bearer("acts"));
      expect(answer.status).toBe(status);
      expect(await answer.json()).toMatchObject({ detail: "it says why" });
    }
  });

  test("takes a short body, and only POST", async () => {
    const { ask } = admin();
    const long = { method: "POST", body: `{"sub":"${"u".repeat(9000)}"}` };
    expect((await ask("/admin/revoke", long, bearer("acts"))).status).toBe(413);
    expect((await ask("/admin/revoke", {}, bearer("acts"))).status).toBe(405);
    expect((await ask("/metrics", { method: "POST" }, bearer("acts"))).status).toBe(405);
  });
});

test("The console and the AsyncAPI document name the port of the clients", async () => {
  const { ask } = admin({ operatorOf: undefined });
  const page = await ask("/");
  expect(await page.text()).toContain('data-base="http://127.0.0.1:8080"');
  expect(page.headers.get("content-security-policy")).toContain(
    "connect-src 'self' http://127.0.0.1:8080 ws://127.0.0.1:8080",
  );
  expect(await (await ask("/asyncapi.json")).text()).toContain('"host": "127.0.0.1:8080"');
});

describe("POST /admin/drain", () => {
  test("asks for a drain if an operator sends it, and is audited", async () => {
    const { ask, lines, drains } = admin();
    const response = await ask("/admin/drain", { method: "POST" }, bearer("acts"));
    expect([response.status, await response.json()]).toEqual([202, { status: "draining" }]);
    expect(drains.count).toBe(1);
    expect(lines.at(-1)).toMatchObject({
      ...{ event: "operator_drained", audit: true, others: 0 },
      ...{ operator: "bob", address: "192.0.2.1" },
    });
  });

  test("is refused to a viewer, to others, and as a GET", async () => {
    const { ask, drains } = admin();
    const post = { method: "POST" };
    expect((await ask("/admin/drain", post, bearer("reads"))).status).toBe(403);
    expect((await ask("/admin/drain", post)).status).toBe(401);
    expect((await ask("/admin/drain", {}, bearer("acts"))).status).toBe(405);
    const foreign = { ...bearer("acts"), Origin: "https://evil.example" };
    expect((await ask("/admin/drain", post, foreign)).status).toBe(403);
    expect(drains.count).toBe(0);
  });
});

describe("POST /admin/reload", () => {
  const reloading = { method: "POST" };

  test("answers with what has changed or why nothing has, and the audit log says who asked", async () => {
    const { ask, lines, reload } = admin();
    reload.answer = { changes: [{ key: "max_clients", before: "5", after: undefined }] };
    const answer = await ask("/admin/reload", reloading, bearer("acts"));
    expect([answer.status, await answer.json()]).toEqual([
      200,
      { changes: [{ key: "max_clients", before: 5, after: null }] },
    ]);
    for (const [fault, status, title] of [
      ["invalid", 422, "Unprocessable Content"],
      ["restart_needed", 409, "Conflict"],
      ["unfinished", 503, "Service Unavailable"],
    ] as const) {
      reload.answer = { fault, reason: `it is ${fault}` };
      const refused = await ask("/admin/reload", reloading, bearer("acts"));
      expect([refused.status, await refused.json()]).toMatchObject([
        status,
        { title, detail: `it is ${fault}` },
      ]);
    }
    expect(lines).toMatchObject([
      { event: "operator_reloaded", operator: "bob", reason: "changed keys: max_clients" },
      { event: "operator_reloaded", operator: "bob", reason: "it is invalid" },
      { event: "operator_reloaded", operator: "bob", reason: "it is restart_needed" },
      { event: "operator_reloaded", operator: "bob", reason: "it is unfinished" },
    ]);
  });

  test("is for operators, and for gateways that read their configuration", async () => {
    const { ask, reload } = admin();
    reload.answer = { changes: [] };
    expect((await ask("/admin/reload", reloading, bearer("reads"))).status).toBe(403);
    expect((await ask("/admin/reload", {}, bearer("acts"))).status).toBe(405);
    reload.answer = undefined;
    expect((await ask("/admin/reload", reloading, bearer("acts"))).status).toBe(404);
    const shown = await ask("/admin/config", {}, bearer("reads"));
    expect([shown.status, await shown.json()]).toEqual([200, { port: 8080 }]);
  });
});
