import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Subscription } from "nats";
import { until } from "../support/event-log.ts";
import { type Gateway, runToExit, startGateway } from "../support/gateway-process.ts";
import { openRaw } from "../support/raw-websocket.ts";
import { V1Client } from "../support/v1-client.ts";
import { contract, EVERY_RUNTIME } from "./support/contract.ts";
import { untilReady } from "./support/gateway-fixture.ts";
import { useNatsServer } from "./support/nats-server-fixture.ts";

const AUTHORIZER = "_AUTH.admin";
const VIEWER = "viewer-0123456789abcdef0123456789abcdef";
const OPERATOR = "operator-0123456789abcdef0123456789abcdef";
const OPERATORS_PAGES = ["/healthz", "/metrics", "/schema.json", "/asyncapi.json", "/"];

const hashOf = (token: string): string => createHash("sha256").update(token).digest("hex");
const bearer = (token: string) => ({ Authorization: `Bearer ${token}` });

async function openAs(gateway: Gateway, token: string): Promise<V1Client> {
  const headers = { "Sec-WebSocket-Protocol": "spillway.v1.json", ...bearer(token) };
  return new V1Client(await openRaw(gateway.wsUrl, { headers }));
}

contract(EVERY_RUNTIME, (target) => {
  let directory: string;
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), "spillway-tls-"));
  });
  afterAll(async () => {
    await rm(directory, { recursive: true });
  });
  const write = async (name: string, text: string): Promise<string> => {
    const path = join(directory, name);
    await writeFile(path, text);
    return path;
  };

  describe("The listener for operators", () => {
    const nats = useNatsServer({});
    let service: Subscription;

    beforeAll(() => {
      service = nats.connection.subscribe(AUTHORIZER, {
        callback: (_, msg) => {
          const { credentials } = msg.json<{ credentials: { token?: string } }>();
          const [, sub] = credentials.token?.split("-") ?? [];
          const details = [{ type: "spillway", subjects: { allow: [">"] } }];
          const claims = { sub, jti: credentials.token, authorization_details: details };
          msg.respond(JSON.stringify(sub === undefined ? { refused: "unknown" } : claims));
        },
      });
    });
    afterAll(() => service.unsubscribe());

    /** Starts a gateway whose clients need a token, with a listener for operators. */
    async function startBoth(more: Readonly<Record<string, unknown>> = {}) {
      const config = {
        ...{ nats_url: nats.server.url, authorizer_subject: AUTHORIZER, admin_port: 0 },
        ...more,
      };
      const gateway = await startGateway(target, { config });
      const line = await gateway.waitForLog(
        ({ properties }) => properties.event === "admin_listening",
      );
      const url = `http://127.0.0.1:${line.properties.port}`;
      await untilReady(gateway);
      return { gateway, ask: (path: string, init?: RequestInit) => fetch(url + path, init) };
    }

    async function expectClean(gateway: Gateway): Promise<void> {
      expect(await gateway.stop()).toEqual({ code: 0, signal: null });
    }

    const revoke = (body: object, headers: Record<string, string> = {}): RequestInit => ({
      method: "POST",
      headers,
      body: JSON.stringify(body),
    });

    test("has the pages that clients don't get, and revokes tokens", async () => {
      const { gateway, ask } = await startBoth();
      for (const path of OPERATORS_PAGES) {
        expect([path, (await gateway.get(path)).status]).toEqual([path, 403]);
        const answer = await ask(path);
        expect([path, answer.status]).toEqual([path, 200]);
        await answer.body?.cancel();
      }
      expect((await gateway.get("/livez")).status).toBe(200);
      expect((await ask("/ws")).status).toBe(404);
      expect((await fetch(`${gateway.url}/admin/revoke`, revoke({ sub: "ann" }))).status).toBe(404);

      const client = await openAs(gateway, "t-ann");
      const other = await openAs(gateway, "t-bob");
      expect((await ask("/admin/revoke", revoke({ sub: "ann" }))).status).toBe(204);
      expect(await client.closed()).toMatchObject({ code: 4401 });
      expect(await other.subscribe("a", [">"])).toMatchObject({ id: "a" });
      other.raw.destroy();
      await expectClean(gateway);
      expect(gateway.logs.map(({ properties }) => properties)).toContainEqual(
        expect.objectContaining({ event: "revoked", audit: true, sub: "ann" }),
      );
    });

    test("knows operators by their tokens, and reads the file again", async () => {
      const viewer = { sha256: hashOf(VIEWER), sub: "vera", role: "viewer" };
      const operator = { sha256: hashOf(OPERATOR), sub: "otto", role: "operator" };
      const path = await write("operators.json", JSON.stringify([viewer]));
      const { gateway, ask } = await startBoth({ admin_host: "0.0.0.0", admin_tokens_file: path });
      const statusOf = async (...given: Parameters<typeof ask>) => {
        const answer = await ask(...given);
        await answer.body?.cancel();
        return answer.status;
      };
      for (const page of OPERATORS_PAGES) {
        expect([page, await statusOf(page)]).toEqual([page, 401]);
        expect([page, await statusOf(page, { headers: bearer(VIEWER) })]).toEqual([page, 200]);
      }
      expect(await statusOf("/admin/revoke", revoke({ sub: "x" }, bearer(VIEWER)))).toBe(403);
      expect(await statusOf("/admin/revoke", revoke({ sub: "x" }, bearer(OPERATOR)))).toBe(401);
      await write("operators.json", JSON.stringify([viewer, operator]));
      await until(
        "the operator is known",
        () => statusOf("/admin/revoke", revoke({ sub: "x" }, bearer(OPERATOR))),
        (status) => status === 204,
      );
      await expectClean(gateway);
      expect(JSON.stringify(gateway.logs)).not.toContain(VIEWER);
      expect(JSON.stringify(gateway.logs)).not.toContain(OPERATOR);
    });

    test("is said to be missing where clients need a token", async () => {
      const config = { nats_url: nats.server.url, authorizer_subject: AUTHORIZER };
      const gateway = await startGateway(target, { config });
      const line = await gateway.waitForLog(({ properties }) => properties.event === "admin_off");
      expect(line.message).toContain("set admin_port");
      await expectClean(gateway);
    });

    test("is refused where it would be open, and with a file that can't be used", async () => {
      const open = { admin_port: 0, admin_host: "0.0.0.0" };
      const broken = { ...open, admin_tokens_file: await write("broken.json", "[{}]") };
      const missing = { ...open, admin_tokens_file: join(directory, "none.json") };
      for (const [config, says] of [
        [open, '"admin_host" is "0.0.0.0" but must be a loopback address'],
        [broken, '"admin_tokens_file" is "'],
        [missing, "which can't be read"],
      ] as const) {
        const { code, stdout, stderr } = await runToExit(target, { config });
        expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
        expect(stderr).toContain(says);
      }
    });
  });
});
