import { describe, expect, test } from "bun:test";
import { until, within } from "../support/event-log.ts";
import { type Gateway, runToExit, startGateway } from "../support/gateway-process.ts";
import { openV1, type Said, type V1Client } from "../support/v1-client.ts";
import { contract, EVERY_RUNTIME } from "./support/contract.ts";
import { asOperator, subscribeEvents, subscribeV1, untilReady } from "./support/gateway-fixture.ts";
import { metric } from "./support/metrics.ts";
import { countTo } from "./support/nats-fixture.ts";
import { numberOf, useStreams } from "./support/stream-fixture.ts";

const CLIENTS = 200;
/** Over which they leave: 100 of them per second. */
const WINDOW_MS = 2000;
const CLEAN = { code: 0, signal: null };

/** A client that goes to another gateway when it is told to, with its cursor and in its time. */
class Resumer {
  readonly numbers: number[] = [];
  gaps = 0;
  farewell: Said | undefined;
  closedMs = 0;
  readonly #next: Gateway;
  readonly #returned = Promise.withResolvers<V1Client>();

  constructor(next: Gateway) {
    this.#next = next;
  }

  async follow(first: Gateway): Promise<void> {
    const client = await openV1(first.wsUrl);
    await client.subscribe("1", ["drain.>"], { from: "all" });
    this.#resume(client).then(this.#returned.resolve, this.#returned.reject);
  }

  async #resume(client: V1Client): Promise<V1Client> {
    const { code } = await client.closed();
    this.closedMs = performance.now();
    expect(code).toBe(1001);
    this.farewell = await client.until(({ type }) => type === "disconnect", "disconnect");
    this.#note(client);
    await Bun.sleep(Number(this.farewell?.retry_after_ms));
    const again = await openV1(this.#next.wsUrl);
    await again.subscribe("1", ["drain.>"], { from: { after: this.farewell?.cursor } });
    return again;
  }

  /** Waits for the last message, on whichever gateway, and takes note of all. */
  async until(last: number): Promise<void> {
    const client = await this.#returned.promise;
    await client.until((said) => numberOf(said) === last, `message ${last}`);
    this.#note(client);
    client.raw.destroy();
  }

  #note(client: V1Client): void {
    this.numbers.push(...client.messages.map(numberOf));
    this.gaps += client.notices("gap").length;
  }
}

/** Returns which part of some times lies in each quarter between the first and the last one. */
function quarters(times: readonly number[]): number[] {
  const [first, last] = [Math.min(...times), Math.max(...times)];
  const quarterOf = (ms: number) => Math.min(3, Math.floor(((ms - first) / (last - first)) * 4));
  return [0, 1, 2, 3].map((at) => times.filter((ms) => quarterOf(ms) === at).length / times.length);
}

contract(EVERY_RUNTIME, (target) => {
  describe("Drain", () => {
    const nats = useStreams();

    test("SIGTERM: clients come to the next gateway evenly, and miss nothing", async () => {
      await nats.create("DRAIN");
      const config = { nats_url: nats.url, streams: ["DRAIN:drain.>"], drain_delay: "1s" };
      const [first, next] = await Promise.all([
        startGateway(target, { config }),
        startGateway(target, { config }),
      ]);
      await Promise.all([untilReady(first), untilReady(next)]);
      const clients = Array.from({ length: CLIENTS }, () => new Resumer(next));
      await Promise.all(clients.map((client) => client.follow(first)));
      let published = 0;
      const publish = async (): Promise<void> => {
        await nats.connection.jetstream().publish("drain.x", `{"n":${published}}`);
        published++;
      };
      await publish();
      first.signal("SIGTERM");
      await until(
        "503 from /readyz",
        async () => (await first.get("/readyz")).status,
        (status) => status === 503,
      );
      let isOver = false;
      const exited = within(first.exited, "end after SIGTERM", 60_000).finally(() => {
        isOver = true;
      });
      while (!isOver) {
        await publish();
        await Bun.sleep(5);
      }
      expect(await exited).toEqual(CLEAN);
      await publish();
      await Promise.all(clients.map((client) => client.until(published - 1)));
      for (const { numbers, gaps, farewell } of clients) {
        expect(numbers).toEqual(countTo(published));
        expect(gaps).toBe(0);
        expect(farewell).toMatchObject({ code: 1001, reconnect: true, cursor: expect.any(String) });
      }
      const times = clients.map(({ closedMs }) => closedMs);
      // On a busy machine, those of a second or more may be noticed together, and the last one later.
      expect(Math.max(...quarters(times))).toBeLessThan(0.8);
      expect(Math.max(...times) - Math.min(...times)).toBeGreaterThan(WINDOW_MS / 2);
      // Each has a time of its own.
      const waits = clients.map(({ farewell }) => Number(farewell?.retry_after_ms));
      expect(new Set(waits).size).toBeGreaterThan(CLIENTS / 4);
      expect(await next.stop()).toEqual(CLEAN);
    });

    test("POST /admin/drain: not ready at once, then new clients are refused, then the process ends with 0, also if SIGTERM comes meanwhile", async () => {
      const gateway = await startGateway(target, {
        config: { admin_port: 0, drain_delay: "3s", drain_window: "1s" },
      });
      const operator = await asOperator(gateway);
      const client = await subscribeV1({ ...gateway, get: operator.get });
      const events = await subscribeEvents({ ...gateway, get: operator.get });
      const { port } = (
        await gateway.waitForLog(({ properties }) => properties.event === "admin_listening")
      ).properties;
      const drain = () => fetch(`http://127.0.0.1:${port}/admin/drain`, { method: "POST" });
      expect((await drain()).status).toBe(202);
      const readiness = await operator.get("/readyz");
      expect(readiness.status).toBe(503);
      expect(await readiness.json()).toEqual({
        ready: false,
        reasons: ["the gateway is draining: it stops soon"],
      });
      // A load balancer that has not noticed yet may still send clients.
      const late = await openV1(gateway.wsUrl);
      // Sooner, another one would count as the first one that was passed on.
      await Bun.sleep(600);
      expect((await drain()).status).toBe(202);
      gateway.signal("SIGTERM");
      for (const one of [client, late]) {
        expect((await one.closed()).code).toBe(1001);
        const farewell = await one.until(({ type }) => type === "disconnect", "disconnect");
        expect(farewell).toMatchObject({ code: 1001, reconnect: true });
      }
      const { data } = await events.next("disconnect");
      expect(events.retryMs).toBe(JSON.parse(String(data)).retry_after_ms);
      expect(await events.ended()).toBe("whole");
      expect(await within(gateway.exited, "end after the drain")).toEqual(CLEAN);
      const draining = gateway.logs.filter(({ properties }) => properties.event === "draining");
      expect(draining).toHaveLength(1);
    });

    test("A second signal during a drain ends the process with 2", async () => {
      const gateway = await startGateway(target, { config: { drain_delay: "1h" } });
      gateway.signal("SIGTERM");
      await until(
        "503 from /readyz",
        async () => (await gateway.get("/readyz")).status,
        (status) => status === 503,
      );
      // Sooner, it would be the first one that was passed on.
      await Bun.sleep(600);
      gateway.signal("SIGTERM");
      expect(await within(gateway.exited, "end")).toEqual({ code: 2, signal: null });
    });
  });

  describe("max_connection_age", () => {
    test("clients are told to reconnect, resume without a gap, and are counted", async () => {
      const config = { max_connection_age: "3s" };
      const gateway = await startGateway(target, { config });
      await untilReady(gateway);
      const post = (n: number) =>
        fetch(`${gateway.url}/publish/age.x`, { method: "POST", body: `{"n":${n}}` });
      const client = await openV1(gateway.wsUrl);
      await client.subscribe("1", ["age.>"]);
      await post(0);
      expect(await client.closed()).toEqual({ code: 4514, reason: "connection too old" });
      const farewell = await client.until(({ type }) => type === "disconnect", "disconnect");
      expect(farewell).toMatchObject({
        code: 4514,
        reconnect: true,
        retry_after_ms: expect.any(Number),
      });
      await post(1);
      const again = await openV1(gateway.wsUrl);
      await again.subscribe("1", ["age.>"], { from: { after: farewell.cursor } });
      await again.until((said) => numberOf(said) === 1, "the message that was missed");
      expect([client, again].flatMap(({ messages }) => messages.map(numberOf))).toEqual([0, 1]);
      expect(
        await metric(
          gateway,
          "websocket_client_disconnections_total",
          'disconnect_reason="too_old"',
        ),
      ).toBeGreaterThan(0);
      expect(await gateway.stop()).toEqual(CLEAN);
    });

    test("is refused if it is too short", async () => {
      const { code, stderr } = await runToExit(target, { args: ["--max-connection-age", "10ms"] });
      expect(code).toBe(1);
      expect(stderr).toContain('"max_connection_age" is "10ms" but must be a duration from "1s"');
    });
  });
});
