import { describe, expect, test } from "bun:test";
import { until } from "../support/event-log.ts";
import { type Gateway, startGateway } from "../support/gateway-process.ts";
import { requestUpgrade } from "../support/raw-handshake.ts";
import { contract, EVERY_RUNTIME } from "./support/contract.ts";
import { subscribe } from "./support/gateway-fixture.ts";
import { metric, untilMetric } from "./support/metrics.ts";

/** What an operator reads of those who come, go and are refused. */
contract(EVERY_RUNTIME, (target) => {
  describe("Log", () => {
    const eventsOf = ({ logs }: Gateway, event: string) =>
      logs.filter(({ properties }) => properties.event === event);

    /** Two clients come and go, and two are refused, one of them with a lot to say. */
    async function visits(gateway: Gateway): Promise<void> {
      const clients = [await subscribe(gateway, "?subjects=a.>,b"), await subscribe(gateway)];
      for (const client of clients) await client.close();
      await untilMetric(gateway, "websocket_clients_active", (active) => active === 0);
      const evil = encodeURIComponent(`${"x".repeat(3000)}\r\nforged\u001b[31m\u2028`);
      expect((await requestUpgrade(`${gateway.wsUrl}?subjects=${evil}`)).status).toBe(400);
      const headers = { Origin: "https://evil.example" };
      expect((await requestUpgrade(gateway.wsUrl, { headers })).status).toBe(403);
    }

    test("At debug, each client that comes, goes and is refused has a line", async () => {
      const gateway = await startGateway(target, { config: { log_level: "debug" } });
      await visits(gateway);
      await gateway.waitForLog(
        ({ properties }) => properties.event === "handshake_refused" && properties.status === 403,
      );
      const [first, second] = eventsOf(gateway, "client_connected");
      expect(first).toMatchObject({ level: "DEBUG", properties: { client: 1, subjects: 2 } });
      expect(second?.properties).toMatchObject({ client: 2, dialect: "plain", subjects: "all" });
      expect(String(first?.properties.address)).toContain("127.0.0.1");
      expect(eventsOf(gateway, "client_left").map(({ properties }) => properties)).toMatchObject([
        { client: 1, reason: "client", seconds: expect.any(Number) },
        { client: 2, reason: "client", seconds: expect.any(Number) },
      ]);
      const refused = eventsOf(gateway, "handshake_refused");
      expect(refused.map(({ properties }) => properties.status)).toEqual([400, 403]);
      for (const line of refused) expect(JSON.stringify(line).length).toBeLessThan(1500);
      await gateway.stop();
    });

    test("At info, all of them have one line together, the last one when it stops", async () => {
      const gateway = await startGateway(target);
      await visits(gateway);
      await gateway.stop();
      expect(eventsOf(gateway, "client_connected")).toEqual([]);
      expect(eventsOf(gateway, "handshake_refused")).toEqual([]);
      const told = eventsOf(gateway, "clients").map(({ properties }) => properties);
      const total = (key: string) => told.reduce((sum, line) => sum + Number(line[key]), 0);
      expect(["connected", "left", "refused"].map(total)).toEqual([2, 2, 2]);
      expect(told.length).toBeLessThanOrEqual(2);
    });

    test("What is refused at the door is in no error of the service", async () => {
      const gateway = await startGateway(target);
      const health = async () => (await gateway.get("/healthz")).json() as Promise<Health>;
      const headers = { Origin: "https://evil.example" };
      for (let n = 0; n < 5; n++) await requestUpgrade(gateway.wsUrl, { headers });
      const kind = 'error_type="handshake"';
      expect(await metric(gateway, "websocket_errors_total", kind)).toBe(5);
      const before = await health();
      expect(before).toMatchObject({ health: { error_count: 0 }, data_flow: { error_rate: 0 } });
      expect(before.health.last_error).toBeUndefined();
      // What is served is counted as ever.
      const client = await subscribe(gateway);
      await fetch(`${gateway.url}/publish/a`, { method: "POST", body: "1" });
      await client.next();
      const { data_flow } = await until(
        "a rate",
        health,
        (now) => now.data_flow.messages_per_second > 0,
      );
      expect(data_flow.error_rate).toBe(0);
      expect(Math.abs(Date.parse(data_flow.last_activity) - Date.now())).toBeLessThan(60_000);
      await client.close();
      await gateway.stop();
    });
  });
});

interface Health {
  readonly health: { readonly error_count: number; readonly last_error?: string };
  readonly data_flow: {
    readonly error_rate: number;
    readonly messages_per_second: number;
    readonly last_activity: string;
  };
}
