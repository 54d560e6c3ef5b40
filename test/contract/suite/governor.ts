import { describe, expect, test } from "bun:test";
import type { Gateway } from "../../support/gateway-process.ts";
import { residentBytes } from "../../support/memory.ts";
import { requestUpgrade } from "../../support/raw-handshake.ts";
import type { Target } from "../../support/runtimes.ts";
import type { Said, V1Client } from "../../support/v1-client.ts";
import { subscribe, subscribeEvents, subscribeV1, useGateway } from "./gateway-stage.ts";
import { expectBalancedLedger, metric, metricsOf, untilMetric } from "./metrics.ts";
import { countTo, numbersOf, useNats } from "./nats-stage.ts";
import { expectRefusal } from "./refusal.ts";

const MiB = 1024 ** 2;
const STALLED = 60;
const MAX_TOTAL = 16 * MiB;
/** Published at a time: half a MB for each client. */
const ROUND = { count: 50, bytes: 10_000 };
/** No kernel takes so many of them for a client that does not read. */
const MOST_ROUNDS = 60;
/** After the first clients were shed, so many rounds more: without a bound it would be 10 MB for each client. */
const MORE_ROUNDS = 20;

/** However many clients lag, what waits for all of them together is bounded. */
export function governor(target: Target): void {
  describe("Governor", () => {
    const nats = useNats();
    const gateway = useGateway(target, () => ({
      config: {
        nats_url: nats.url,
        subjects: ["much.>"],
        high_water_bytes: 64 * 1024,
        low_water_bytes: 16 * 1024,
        max_queue_bytes: 256 * MiB,
        max_queue_messages: 1_000_000,
        max_total_queue_bytes: MAX_TOTAL,
        ring_messages: 0,
        write_timeout: "1h",
        read_timeout: "24h",
        ping_interval: "1h",
      },
    }));

    test("Many stalled clients: the bound is kept, the worst go, and the healthy get everything", async () => {
      const stalled = await stalledClients(gateway(), "drop-oldest");
      const healthy = await subscribe(gateway(), "?subjects=much.x");
      const before = await residentBytes(gateway().pid);
      const watched = watch(gateway());
      let rounds = 0;
      const publish = async (): Promise<void> => {
        const got = await nats.floodInStep(healthy, "much.x", ROUND.count, ROUND.bytes);
        expect(got).toEqual(countTo(ROUND.count));
        rounds++;
      };
      do {
        expect(rounds).toBeLessThan(MOST_ROUNDS);
        await publish();
      } while (!(await isPressed(gateway())));
      expect(await shedBy(gateway())).toBeGreaterThan(0);

      // Pressed for as long as those that are left don't read.
      const response = await requestUpgrade(gateway().wsUrl);
      expectRefusal(target, response, 503);
      expect(Number(response.headers.get("retry-after"))).toBeGreaterThan(0);
      const events = await gateway().get("/ws/sse");
      expect([events.status, events.headers.get("retry-after")]).toEqual([
        503,
        response.headers.get("retry-after")!,
      ]);
      const ready = await gateway().get("/readyz");
      expect(ready.status).toBe(503);
      expect(await ready.text()).toContain("max_total_queue_bytes");
      expect((await gateway().get("/livez")).status).toBe(200);

      for (let more = 0; more < MORE_ROUNDS; more++) await publish();
      const { mostQueued, mostResident } = await watched.stop();
      expect(mostQueued).toBeGreaterThan(MAX_TOTAL / 2);
      expect(mostQueued).toBeLessThanOrEqual(1.2 * MAX_TOTAL);
      // Beside the queues: sockets' buffers up to high_water_bytes, and what a runtime takes for garbage.
      if (before !== undefined) expect(mostResident - before).toBeLessThan(160 * MiB);
      const shed = await shedBy(gateway());
      expect(shed).toBeLessThan(STALLED);
      await untilMetric(
        gateway(),
        "websocket_clients_active",
        (active) => active === STALLED + 1 - shed,
      );
      await expectBalancedLedger(gateway());

      // Who was shed is told so, and where to continue; who was not gets all.
      for (const client of stalled) client.raw.resume();
      await untilMetric(gateway(), "websocket_messages_queued", (queued) => queued === 0);
      await nats.flood("much.end", 1, 20);
      const ends = await Promise.all(stalled.map(endOf));
      const cut = ends.filter((end) => end.type === "disconnect");
      const dropped = ends.filter((end) => end.type === "closed");
      expect(cut.length + dropped.length).toBe(shed);
      // Bun drops a connection some 4 s after it has closed it, whatever its peer has not read by then.
      if (target.name !== "bun-native") expect(dropped).toEqual([]);
      for (const end of dropped) expect(end).toEqual({ type: "closed", code: 1006 });
      for (const end of cut) {
        expect(end).toMatchObject({ code: 4503, reconnect: true, cursor: expect.any(String) });
      }
      const all = Array.from({ length: rounds }, () => countTo(ROUND.count)).flat();
      for (const [index, client] of stalled.entries()) {
        const numbers = numbersOf(
          client.messages.filter(({ subject }) => subject === "much.x") as never,
        );
        expect(client.notices("gap")).toEqual([]);
        const complete = ends[index]!.type === "data";
        expect(numbers).toEqual(complete ? all : all.slice(0, numbers.length));
      }
      for (const [index, client] of stalled.entries()) {
        if (ends[index]!.type === "disconnect") expect((await client.closed()).code).toBe(4503);
      }

      // Calm again.
      expect((await gateway().get("/readyz")).status).toBe(200);
      await subscribeV1(gateway());
    });

    test("Stalled readers of server-sent events are bounded with all others", async () => {
      const readers = [];
      for (let n = 0; n < 10; n++) {
        const reader = await subscribeEvents(gateway(), "?subjects=much.x");
        await reader.next("subscribed");
        reader.pause();
        readers.push(reader);
      }
      const healthy = await subscribe(gateway(), "?subjects=much.x");
      const watched = watch(gateway());
      const before = await shedBy(gateway());
      for (let round = 0; (await shedBy(gateway())) === before; round++) {
        expect(round).toBeLessThan(MOST_ROUNDS);
        const got = await nats.floodInStep(healthy, "much.x", ROUND.count, ROUND.bytes);
        expect(got).toEqual(countTo(ROUND.count));
      }
      const { mostQueued } = await watched.stop();
      expect(mostQueued).toBeLessThanOrEqual(1.2 * MAX_TOTAL);
      for (const reader of readers) reader.resume();
      await untilMetric(gateway(), "websocket_messages_queued", (queued) => queued === 0);
      const isEnd = ({ type }: { type: string }): boolean => type === "disconnect";
      await Promise.any(readers.map((reader) => reader.events.find(isEnd, "disconnect")));
      await untilMetric(gateway(), "websocket_clients_lagging", (lagging) => lagging === 0);
      const told = readers.flatMap((reader) => reader.all("disconnect"));
      for (const { data } of told) expect(JSON.parse(data)).toMatchObject({ code: 4503 });
      await expectBalancedLedger(gateway());
    });
  });
}

/** Clients that have subscribed, and read nothing more. */
async function stalledClients(gateway: Gateway, policy: string): Promise<V1Client[]> {
  const clients: V1Client[] = [];
  for (let n = 0; n < STALLED; n++) {
    const client = await subscribeV1(gateway);
    await client.subscribe("1", ["much.x", "much.end"], { policy });
    client.raw.pause();
    clients.push(client);
  }
  return clients;
}

/** How many clients were disconnected because too much waited for all of them together. */
async function shedBy(gateway: Gateway): Promise<number> {
  return await metric(gateway, "websocket_errors_total", 'error_type="overloaded"');
}

/** Whether too much waits, and none of it moves: some runtimes hand it to the kernel only a moment later. */
async function isPressed(gateway: Gateway): Promise<boolean> {
  const before = await metric(gateway, "websocket_queued_bytes");
  const { status } = await gateway.get("/readyz");
  return status === 503 && before === (await metric(gateway, "websocket_queued_bytes"));
}

/** Looks at what waits and at the process's memory, over and over until it is stopped. */
function watch(gateway: Gateway) {
  let stopped = false;
  let mostQueued = 0;
  let mostResident = 0;
  const watching = (async () => {
    while (!stopped) {
      const series = await metricsOf(gateway);
      for (const [key, value] of series) {
        if (key.startsWith("websocket_queued_bytes{")) mostQueued = Math.max(mostQueued, value);
      }
      mostResident = Math.max(mostResident, (await residentBytes(gateway.pid)) ?? 0);
    }
  })();
  // Told by `stop`; a test that has failed before does not get there.
  watching.catch(() => {});
  return {
    async stop() {
      stopped = true;
      await watching;
      return { mostQueued, mostResident };
    },
  };
}

/** The last thing that a client is told: that it is cut, or the last message; or that it was told nothing. */
async function endOf(client: V1Client): Promise<Said> {
  const told = client.until(
    ({ type, subject }) => type === "disconnect" || subject === "much.end",
    "end",
  );
  return await told.catch(async () => ({ type: "closed", code: (await client.closed()).code }));
}
