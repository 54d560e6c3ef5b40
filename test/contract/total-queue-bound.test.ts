import { describe, expect, test } from "bun:test";
import type { CountingClient } from "../support/counting-client.ts";
import type { Gateway } from "../support/gateway-process.ts";
import { INSPECTABLE, keptBytes, residentBytes } from "../support/memory.ts";
import { requestUpgrade } from "../support/raw-handshake.ts";
import type { Target } from "../support/runtimes.ts";
import type { Said, V1Client } from "../support/v1-client.ts";
import { contract, EVERY_SOCKET } from "./support/contract.ts";
import {
  subscribe,
  subscribeCounting,
  subscribeEvents,
  subscribeManyV1,
  subscribeV1,
  useGateway,
} from "./support/gateway-fixture.ts";
import { expectBalancedLedger, metric, untilMetric } from "./support/metrics.ts";
import { countTo, useNats } from "./support/nats-fixture.ts";
import { expectRefusal } from "./support/refusal.ts";

const MiB = 1024 ** 2;
const MAX_TOTAL = 96 * MiB;
const HIGH_WATER = 128 * 1024;
const BYTES = 40_000;
const STALLED = 100;
/** Every so many clients is one that is offered less than the others. */
const EVERY_LIGHT = 10;
/** It is offered a message in one of so many rounds. */
const LIGHT_ROUNDS = 8;
/** Of the others, every so many is read to its end: all would be hundreds of MB. */
const EVERY_READ = 9;
/** Three quarters more than may wait, each message for one client: nothing of it is shared. */
const ROUNDS = Math.ceil((1.75 * MAX_TOTAL) / (STALLED * BYTES));
/** Memory is looked at in one of so many rounds. */
const LOOK_ROUNDS = 4;
/** Published at a time: no healthy client lags for a moment. */
const BATCH = Math.floor(HIGH_WATER / BYTES);
/** So many messages that no kernel takes any of are enough to see that it has no room. */
const FILL_BATCH = 30;
/** No kernel takes so many messages for a client that does not read. */
const MOST_FILL = 2000;
/** Latencies are compared in so many spans of time, so that one disturbance of the machine does not count. */
const SPANS = 7;

/** However many clients lag, what waits for all of them together is bounded. */
contract(EVERY_SOCKET, (target) => {
  describe("Bound of all queues together", () => {
    const nats = useNats();
    const options = () => ({
      config: {
        nats_url: nats.url,
        subjects: ["much.>"],
        high_water_bytes: HIGH_WATER,
        low_water_bytes: 16 * 1024,
        max_queue_bytes: MAX_TOTAL,
        max_queue_messages: 1_000_000,
        max_total_queue_bytes: MAX_TOTAL,
        ring_messages: 0,
        write_timeout: "1h",
        read_timeout: "24h",
        ping_interval: "1h",
      },
      env: target.runtime === "node" ? INSPECTABLE : {},
    });
    const gateway = useGateway(target, options);
    /** The same without clients that stall: it gets the same messages at the same time. */
    const control = useGateway(target, options);

    /**
     * Publishes one message to each of these subjects.
     *
     * @returns for each client that keeps up, how long each batch took until it had all of it.
     */
    async function publishInStep(
      healthy: readonly CountingClient[],
      subjects: readonly string[],
    ): Promise<number[][]> {
      const tookMs = healthy.map((): number[] => []);
      for (let from = 0; from < subjects.length; from += BATCH) {
        const batch = subjects.slice(from, from + BATCH);
        const sentMs = performance.now();
        for (const subject of batch) nats.publish(subject, `"${"x".repeat(BYTES)}"`);
        const arrive = async (client: CountingClient, index: number): Promise<void> => {
          await client.more(batch.length);
          tookMs[index]!.push(performance.now() - sentMs);
        };
        await Promise.all(healthy.map(arrive));
      }
      return tookMs;
    }

    test(`${STALLED} stalled clients: the bound is kept, the worst go, and the healthy get everything in time`, async () => {
      const stalled = await subscribeManyV1(gateway(), STALLED);
      const stall = async (client: V1Client, index: number): Promise<void> => {
        // What fills the kernel's buffers takes no room when they are full.
        await client.subscribe("fill", ["much.fill"], { policy: "conflate" });
        const subjects = [ownSubject(index), "much.end"];
        await client.subscribe("own", subjects, { policy: "drop-oldest" });
        client.raw.pause();
      };
      await Promise.all(stalled.map(stall));
      const healthy = [await subscribeCounting(gateway()), await subscribeCounting(control())];
      for (let fill = 0, superseded = 0; superseded < FILL_BATCH * STALLED; fill += FILL_BATCH) {
        expect(fill).toBeLessThan(MOST_FILL);
        const before = await metric(gateway(), "websocket_messages_conflated_total");
        await publishInStep(healthy, new Array(FILL_BATCH).fill("much.fill"));
        const after = await metric(gateway(), "websocket_messages_conflated_total");
        superseded = after - before;
      }

      const grown = await growthOf(target, [gateway(), control()]);
      const tookMs: number[][] = [[], []];
      const grownBytes: number[] = [];
      let mostQueued = 0;
      for (let round = 0; round < ROUNDS; round++) {
        const offered = INDEXES.filter((index) => !isLight(index) || round % LIGHT_ROUNDS === 0);
        const took = await publishInStep(healthy, offered.map(ownSubject));
        for (const [index, ms] of took.entries()) tookMs[index]!.push(...ms);
        mostQueued = Math.max(mostQueued, await metric(gateway(), "websocket_queued_bytes"));
        if (round % LOOK_ROUNDS !== 0) continue;
        const [ofGoverned, ofControl] = await grown();
        grownBytes.push(ofGoverned! - ofControl!);
      }
      expect(mostQueued).toBeGreaterThan(MAX_TOTAL / 2);
      expect(mostQueued).toBeLessThanOrEqual(1.2 * MAX_TOTAL);
      // By the middle of the second half, as what is garbage comes and goes.
      const keptMore = median(grownBytes.slice(grownBytes.length / 2));
      expect(keptMore).toBeLessThanOrEqual((target.gaps.garbage ? 1.6 : 1.2) * MAX_TOTAL);
      expect(median(p99Ratios(tookMs[0]!, tookMs[1]!))).toBeLessThanOrEqual(2);
      const shed = await shedBy(gateway());
      expect(shed).toBeGreaterThan(0);
      expect(shed).toBeLessThanOrEqual(INDEXES.filter((index) => !isLight(index)).length);
      const left = STALLED + 1 - shed;
      await untilMetric(gateway(), "websocket_clients_active", (active) => active === left);
      await expectBalancedLedger(gateway());

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

      // Who was shed is told so, and where to continue; who was not gets all.
      const read = INDEXES.filter((index) => isLight(index) || index % EVERY_READ === 0);
      for (const [index, client] of stalled.entries()) {
        if (read.includes(index)) client.raw.resume();
        else client.raw.destroy();
      }
      await untilMetric(gateway(), "websocket_messages_queued", (queued) => queued === 0);
      await nats.flood("much.end", 1, 20);
      for (const index of read) {
        const client = stalled[index]!;
        const end = await endOf(client);
        const own = client.messages.filter(({ subject }) => subject === ownSubject(index));
        expect(client.notices("gap")).toEqual([]);
        if (end.type === "data") {
          expect(own).toHaveLength(isLight(index) ? Math.ceil(ROUNDS / LIGHT_ROUNDS) : ROUNDS);
        } else {
          expect(isLight(index)).toBe(false);
          await expectShed(client, end, target.gaps.unreadClose);
        }
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
      let mostQueued = 0;
      const before = await shedBy(gateway());
      for (let round = 0; (await shedBy(gateway())) === before; round++) {
        expect(round * FILL_BATCH).toBeLessThan(MOST_FILL);
        const got = await nats.floodInStep(healthy, "much.x", FILL_BATCH, BYTES);
        expect(got).toEqual(countTo(FILL_BATCH));
        mostQueued = Math.max(mostQueued, await metric(gateway(), "websocket_queued_bytes"));
      }
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
});

const INDEXES = countTo(STALLED);

function ownSubject(index: number): string {
  return `much.own.${index}`;
}

function isLight(index: number): boolean {
  return index % EVERY_LIGHT === 0;
}

/** Returns a function that says by how much the memory of gateways has grown: without garbage on Node, which tells the two apart; 0 where memory can't be known. */
async function growthOf(
  { runtime }: Target,
  gateways: readonly Gateway[],
): Promise<() => Promise<number[]>> {
  const bytesOf = async (gateway: Gateway): Promise<number> =>
    runtime === "node" ? await keptBytes(gateway) : ((await residentBytes(gateway.pid)) ?? 0);
  const look = () => Promise.all(gateways.map(bytesOf));
  const before = await look();
  return async () => (await look()).map((bytes, index) => bytes - before[index]!);
}

/** Of what was measured at the same times, span by span. */
function p99Ratios(of: readonly number[], to: readonly number[]): number[] {
  const length = Math.ceil(of.length / SPANS);
  return Array.from({ length: SPANS }, (_, span) => {
    const [one, other] = [of, to].map((values) =>
      quantile(values.slice(span * length, (span + 1) * length), 0.99),
    );
    return one! / other!;
  });
}

function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((one, other) => one - other);
  return sorted[Math.ceil(share * sorted.length) - 1]!;
}

/** Checks what a client is told that was disconnected because too much waited for all of them. */
async function expectShed(client: V1Client, end: Said, gap: string | undefined): Promise<void> {
  if (end.type === "closed") {
    expect({ gap, end }).toEqual({ gap: expect.any(String), end: { type: "closed", code: 1006 } });
    return;
  }
  expect(end).toMatchObject({ code: 4503, reconnect: true, cursor: expect.any(String) });
  expect((await client.closed()).code).toBe(4503);
}

/** How many clients were disconnected because too much waited for all of them together. */
async function shedBy(gateway: Gateway): Promise<number> {
  return await metric(gateway, "websocket_errors_total", 'error_type="overloaded"');
}

/** The last thing that a client is told: that it is cut, or the last message; or that it was told nothing. */
async function endOf(client: V1Client): Promise<Said> {
  const told = client.until(
    ({ type, subject }) => type === "disconnect" || subject === "much.end",
    "end",
  );
  return await told.catch(async () => ({ type: "closed", code: (await client.closed()).code }));
}
