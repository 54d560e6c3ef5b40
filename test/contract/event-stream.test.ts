import { describe, expect, test } from "bun:test";
import { startProcess } from "../support/child-process.ts";
import type { ServerEvent } from "../support/event-parser.ts";
import type { EventReader } from "../support/event-source.ts";
import { type Gateway, startGateway } from "../support/gateway-process.ts";
import { residentBytes } from "../support/memory.ts";
import { contract, EVERY_EDGE, EVERY_SOCKET } from "./support/contract.ts";
import { subscribe, subscribeEvents, untilReady, useGateway } from "./support/gateway-fixture.ts";
import { expectBalancedLedger, metric, untilMetric } from "./support/metrics.ts";
import { countTo, type NatsFixture, useNats } from "./support/nats-fixture.ts";
import { expectProblem } from "./support/refusal.ts";

/** More than the kernel's buffers of one connection take, and the queue on top of that. */
const FLOOD = { count: 3000, bytes: 10_000 };
const MiB = 1024 ** 2;

/** The stream for whom no WebSocket passes. */
contract([...EVERY_SOCKET, ...EVERY_EDGE], (target) => {
  describe("Event stream", () => {
    const nats = useNats();
    const gateway = useGateway(target, () => ({
      config: {
        nats_url: nats.url,
        subjects: ["sse.>"],
        allowed_origins: ["https://app.example.com"],
        ping_interval: "200ms",
        read_timeout: "1s",
      },
    }));

    test("Stream begins with welcome and subscribed, and each message has its cursor as id", async () => {
      const reader = await subscribeEvents(gateway());
      expect(reader.headers.get("content-type")).toBe("text/event-stream; charset=utf-8");
      expect(reader.headers.get("cache-control")).toContain("no-cache");
      nats.publish("sse.a", '{"line":"one\\ntwo"}');
      nats.publish("sse.b", "no JSON\r\n\nid: 7");
      const types = ["welcome", "subscribed", "message", "message"];
      const events = await reader.events.take(types.length);
      expect(events.map(({ type }) => type)).toEqual(types);
      expect(JSON.parse(events[0]!.data)).toMatchObject({ upstream: "connected" });
      expect(JSON.parse(events[1]!.data)).toMatchObject({ subjects: ["sse.>"] });
      for (const event of events.slice(2)) expect(envelopeOf(event).id).toBe(event.id);
      expect(envelopeOf(events[2]!)).toMatchObject({
        subject: "sse.a",
        payload: { line: "one\ntwo" },
      });
      expect(envelopeOf(events[3]!)).toMatchObject({
        subject: "sse.b",
        encoding: "text",
        payload: "no JSON\r\n\nid: 7",
      });
    });

    test("A message is the same object as a plain client gets", async () => {
      const plain = await subscribe(gateway());
      const reader = await subscribeEvents(gateway());
      nats.publish("sse.same", '{ "n" : 1.0 }');
      expect((await reader.next("message")).data).toBe(await plain.nextText());
    });

    test("?subjects= narrows it", async () => {
      const reader = await subscribeEvents(gateway(), "?subjects=sse.a.*,sse.b");
      for (const subject of ["sse.a.x", "sse.a", "sse.b", "sse.c", "sse.a.end"]) {
        nats.publish(subject, "1");
      }
      const subjects = (await reader.take(3)).map((event) => envelopeOf(event).subject);
      expect(subjects).toEqual(["sse.a.x", "sse.b", "sse.a.end"]);
    });

    test("Last-Event-ID continues without a hole, again and again while messages flow", async () => {
      const total = 1000;
      const pace = await subscribe(gateway(), "?subjects=sse.back");
      const numbers: number[] = [];
      let last = "";
      let published: Promise<number[]> | undefined;
      while ((numbers.at(-1) ?? -1) < total - 1) {
        // The header is newer than the query, as with a browser that reconnects.
        const headers: Record<string, string> = last === "" ? {} : { "Last-Event-ID": last };
        const query = last === "" ? "?subjects=sse.back" : "?subjects=sse.back&after=old:1";
        const reader = await subscribeEvents(gateway(), query, headers);
        published ??= nats.floodInStep(pace, "sse.back", total, 100);
        const left = total - numbers.length;
        const messages = await reader.take(Math.min(170, left));
        reader.destroy();
        expect(reader.all("gap")).toEqual([]);
        numbers.push(...messages.map(numberOf));
        last = messages.at(-1)!.id;
      }
      expect(numbers).toEqual(countTo(total));
      await published;
    });

    test("What was kept is followed by caught_up, and then by what comes", async () => {
      const first = await subscribeEvents(gateway(), "?subjects=sse.kept");
      await nats.flood("sse.kept", 20, 100);
      const [one] = await first.take(20);
      const again = await subscribeEvents(gateway(), `?subjects=sse.kept&after=${one!.id}`);
      await again.next("caught_up");
      await nats.flood("sse.kept", 1, 100);
      expect(numberOf(await again.next("message"))).toBe(0);
      const told = again.events.entries.filter(({ type }) =>
        ["message", "caught_up"].includes(type),
      );
      expect(
        told.map((event) => (event.type === "message" ? numberOf(event) : event.type)),
      ).toEqual([...countTo(20).slice(1), "caught_up", 0]);
    });

    test("Cut before its first message, it goes on where it was subscribed", async () => {
      const query = "?subjects=sse.cut";
      const pace = await subscribe(gateway(), query);
      const first = await subscribeEvents(gateway(), query);
      const { id, data } = await first.next("subscribed");
      expect(id).toBe(JSON.parse(data).from);
      first.destroy();
      await nats.floodInStep(pace, "sse.cut", 5, 100);
      const again = await subscribeEvents(gateway(), query, { "Last-Event-ID": id });
      expect((await again.take(5)).map(numberOf)).toEqual(countTo(5));
    });

    test("A notice without a place to go on leaves the last id as it was", async () => {
      const headers = { "Last-Event-ID": "0123456789ab:7" };
      const reader = await subscribeEvents(gateway(), "", headers);
      // What was before the gap is of another gateway: who is cut now must not ask for it again.
      expect((await reader.next("subscribed")).id).toBe("");
      const { id, data } = await reader.next("gap");
      expect(id).toBe(JSON.parse(data).to);
      expect((await reader.next("caught_up")).id).toBe(id);
    });

    test("Each reader is told how long to wait before it connects again, not all the same", async () => {
      const readers = await Promise.all(
        Array.from({ length: 20 }, () => subscribeEvents(gateway(), "?subjects=sse.retry")),
      );
      const waits: number[] = [];
      for (const reader of readers) {
        await reader.next("subscribed");
        waits.push(reader.retryMs ?? 0);
      }
      expect(Math.min(...waits)).toBeGreaterThanOrEqual(1000);
      expect(Math.max(...waits)).toBeLessThan(5000);
      expect(new Set(waits).size).toBeGreaterThan(5);
    });

    test("A cursor of another gateway is a gap of unknown size", async () => {
      const headers = { "Last-Event-ID": "0123456789ab:7" };
      const reader = await subscribeEvents(gateway(), "", headers);
      expect(JSON.parse((await reader.next("gap")).data)).toMatchObject({
        type: "gap",
        reason: "stream_reset",
        exact: false,
      });
    });

    test("Comments come every ping_interval, and a reader that says nothing lives on", async () => {
      const reader = await subscribeEvents(gateway());
      // Twice as long as a silent WebSocket lives.
      await reader.comments.take(10, "comments");
      nats.publish("sse.still", "1");
      expect(envelopeOf(await reader.next("message")).subject).toBe("sse.still");
    });

    test("Reader that goes away is forgotten", async () => {
      const reader = await subscribeEvents(gateway());
      expect(await metric(gateway(), "websocket_clients_active")).toBe(1);
      reader.destroy();
      await untilMetric(gateway(), "websocket_clients_active", (active) => active === 0);
    });

    for (const [what, query, headers, status] of [
      ["A subject that is none", "?subjects=sse..a", {}, 400],
      ["A policy that there is not", "?policy=hope", {}, 400],
      ["A subject that is not exposed", "?subjects=other.>", {}, 403],
      ["A Last-Event-ID that can be none", "", { "Last-Event-ID": "x".repeat(513) }, 400],
      ["A foreign Origin", "", { Origin: "https://evil.example" }, 403],
    ] as const) {
      test(`${what} is refused with ${status}`, async () => {
        const response = await fetch(`${gateway().url}/ws/sse${query}`, { headers });
        expect(response.status).toBe(status);
        expectProblem(status, response.headers.get("content-type"), await response.text());
      });
    }

    test("Origin of allowed_origins is let in, and its page may read", async () => {
      const headers = { Origin: "https://app.example.com" };
      const reader = await subscribeEvents(gateway(), "", headers);
      expect(reader.status).toBe(200);
    });

    for (const method of ["POST", "PUT", "HEAD"]) {
      test(`${method} is refused with 405`, async () => {
        const response = await fetch(`${gateway().url}/ws/sse`, { method });
        expect(response.status).toBe(405);
        expect(response.headers.get("allow")).toBe("GET");
      });
    }

    test("curl -N shows a stream", async () => {
      const url = `${gateway().url}/ws/sse?subjects=sse.curl`;
      if (Bun.which("curl") === null) return;
      const curl = await startProcess("curl", ["curl", "-sN", url]);
      await curl.lines.find(({ text }) => text === "event: subscribed", "event: subscribed");
      nats.publish("sse.curl", '"shown"');
      const line = await curl.lines.find(({ text }) => text.includes("shown"), "message");
      expect(line.text).toMatch(/^data: \{"type":"data",.*"payload":"shown"\}$/);
      expect(curl.lines.entries.some(({ text }) => /^id: \w+:\d+$/.test(text))).toBe(true);
      await curl.stop();
    });
  });

  describe("Event stream with room for one", () => {
    const gateway = useGateway(target, () => ({ config: { max_clients: 1 } }));

    test("One reader too many is refused with 503 and Retry-After", async () => {
      await subscribeEvents(gateway());
      const response = await gateway().get("/ws/sse");
      expect(response.status).toBe(503);
      expect(Number(response.headers.get("retry-after"))).toBeGreaterThan(0);
      expectProblem(503, response.headers.get("content-type"), await response.text());
    });
  });

  describe.skipIf(target.gaps.farewell !== undefined)(
    "Event stream of a gateway that stops",
    () => {
      const nats = useNats();

      test("ends with all that was published, and a disconnect that says where to continue", async () => {
        const config = { nats_url: nats.url, subjects: ["sse.>"] };
        const gateway = await startGateway(target, { config });
        await untilReady(gateway);
        const reader = await subscribeEvents(gateway);
        await nats.flood("sse.last", 10, 100);
        const messages = await reader.take(10);
        const others = await Promise.all(
          Array.from({ length: 20 }, () => subscribeEvents(gateway, "?subjects=sse.other")),
        );
        gateway.signal("SIGTERM");
        const { data, id } = await reader.next("disconnect");
        expect(id).toBe(messages.at(-1)!.id);
        expect(reader.retryMs).toBe(JSON.parse(data).retry_after_ms);
        const waits = await Promise.all(
          others.map(async (other) => JSON.parse((await other.next("disconnect")).data)),
        );
        expect(new Set(waits.map((said) => said.retry_after_ms)).size).toBeGreaterThan(5);
        expect(JSON.parse(data)).toMatchObject({
          code: 1001,
          reconnect: true,
          cursor: messages.at(-1)!.id,
        });
        expect(await reader.ended()).toBe("whole");
        expect(await gateway.exited).toEqual({ code: 0, signal: null });
      });
    },
  );

  describe.skipIf(target.gaps.stalledEnd !== undefined)("Event stream for stalled readers", () => {
    const nats = useNats();
    const gateway = useGateway(target, () => ({
      config: {
        nats_url: nats.url,
        subjects: ["sse.>"],
        max_queue_bytes: 1024 ** 2,
        write_timeout: "1h",
        ping_interval: "1h",
        read_timeout: "24h",
      },
    }));

    test("drop-oldest: what is missing is declared exactly, and the rest comes in order", async () => {
      const reader = await stalledReader(gateway(), "drop-oldest");
      await floodPast(gateway(), nats);
      expect(await metric(gateway(), "websocket_clients_lagging")).toBe(1);
      await catchUp(gateway(), nats, reader);
      const messages = reader.all("message").filter((event) => numberOf(event) >= 0);
      const delivered = messages.map(numberOf);
      expect(delivered).toEqual(delivered.toSorted((one, other) => one - other));
      const offset = sequenceOf(messages[0]!.id) - delivered[0]!;
      const declared = reader.all("gap").flatMap(({ data }) => {
        const { from, to, count, reason } = JSON.parse(data);
        expect(reason).toBe("slow");
        expect(sequenceOf(to) - sequenceOf(from) + 1).toBe(count);
        return Array.from({ length: count }, (_, n) => sequenceOf(from) - offset + n);
      });
      expect(declared.length).toBeGreaterThan(0);
      expect([...delivered, ...declared].sort((one, other) => one - other)).toEqual(
        countTo(FLOOD.count),
      );
      expect(reader.all("slow")).toHaveLength(1);
      await reader.next("ok");
      await expectBalancedLedger(gateway());
    });

    test("conflate: the latest comes, and says how many it stands for", async () => {
      const reader = await stalledReader(gateway(), "conflate");
      await floodPast(gateway(), nats);
      await catchUp(gateway(), nats, reader);
      const messages = reader.all("message").filter((event) => numberOf(event) >= 0);
      expect(numberOf(messages.at(-1)!)).toBe(FLOOD.count - 1);
      const superseded = messages.map((event) => envelopeOf(event).superseded ?? 0);
      const sum = superseded.reduce((total, count) => total + count, 0);
      expect(sum).toBeGreaterThan(0);
      expect(messages.length + sum).toBe(FLOOD.count);
      expect(reader.all("gap")).toEqual([]);
      await expectBalancedLedger(gateway());
    });

    test("disconnect: the stream ends with where to continue", async () => {
      const reader = await stalledReader(gateway(), "disconnect");
      await floodPast(gateway(), nats);
      // The one that keeps up is left.
      await untilMetric(gateway(), "websocket_clients_active", (active) => active === 1);
      reader.resume();
      const { data } = await reader.next("disconnect");
      const messages = reader.all("message");
      expect(JSON.parse(data)).toMatchObject({ code: 4510, cursor: messages.at(-1)!.id });
      expect(await reader.ended()).toBe("whole");
      expect(messages.map(numberOf)).toEqual(countTo(messages.length));
    });

    test("Memory is that of the queues, not that of what was published", async () => {
      const readers = 8;
      for (let n = 0; n < readers; n++) await stalledReader(gateway(), "drop-oldest");
      const before = await residentBytes(gateway().pid);
      await floodPast(gateway(), nats);
      const after = await residentBytes(gateway().pid);
      await untilMetric(gateway(), "websocket_clients_lagging", (lagging) => lagging === readers);
      const queued = await metric(gateway(), "websocket_queued_bytes");
      expect(queued).toBeLessThanOrEqual(readers * MiB);
      // Without bounds it would be 8 × (30 MB - what the kernel takes), and all of that at once.
      if (before !== undefined) expect(after! - before).toBeLessThan(100 * MiB);
    });
  });

  describe("Event stream past write_timeout", () => {
    const nats = useNats();
    const gateway = useGateway(target, () => ({
      config: {
        nats_url: nats.url,
        subjects: ["sse.>"],
        policy: "drop-oldest",
        max_queue_bytes: 1024 ** 2,
        write_timeout: "300ms",
      },
    }));

    test("Reader that takes no byte for write_timeout is cut, and the others lose nothing", async () => {
      const reader = await stalledReader(gateway(), "drop-oldest");
      await floodPast(gateway(), nats);
      await untilMetric(gateway(), "websocket_clients_active", (active) => active === 1);
      const errors = () =>
        metric(gateway(), "websocket_errors_total", 'error_type="write_timeout"');
      expect(await errors()).toBe(1);
      // What the kernel had taken is still there to read, and no proper end behind it.
      reader.resume();
      expect(await reader.ended()).toBe("cut");
      expect(reader.all("message").map(numberOf)).toEqual(countTo(reader.all("message").length));
    });
  });
});

/** A reader that has its subscription and reads nothing more. */
async function stalledReader(gateway: Gateway, policy: string): Promise<EventReader> {
  const reader = await subscribeEvents(gateway, `?subjects=sse.x,sse.end&policy=${policy}`);
  await reader.next("subscribed");
  reader.pause();
  return reader;
}

/** Publishes more than the kernel's buffers take; a client that keeps up gets it all, in order. */
async function floodPast(gateway: Gateway, nats: NatsFixture): Promise<void> {
  const healthy = await subscribe(gateway, "?subjects=sse.x");
  const got = await nats.floodInStep(healthy, "sse.x", FLOOD.count, FLOOD.bytes);
  expect(got).toEqual(countTo(FLOOD.count));
}

/** Lets a reader read again, until it has had all that came before. */
async function catchUp(gateway: Gateway, nats: NatsFixture, reader: EventReader): Promise<void> {
  reader.resume();
  await untilMetric(gateway, "websocket_messages_queued", (queued) => queued === 0);
  nats.publish("sse.end", "{}");
  const isLast = (event: ServerEvent): boolean =>
    event.type === "message" && envelopeOf(event).subject === "sse.end";
  await reader.events.find(isLast, "last message");
}

interface EventEnvelope {
  readonly id: string;
  readonly subject: string;
  readonly encoding?: string;
  readonly superseded?: number;
  readonly payload: unknown;
}

function envelopeOf({ data }: ServerEvent): EventEnvelope {
  return JSON.parse(data) as EventEnvelope;
}

/** The `n` of a flood's message; -1 of another one. */
function numberOf(event: ServerEvent): number {
  return (envelopeOf(event).payload as { n?: number }).n ?? -1;
}

function sequenceOf(cursor: string): number {
  return Number(cursor.split(":").at(-1));
}
