import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import {
  connect,
  type JetStreamManager,
  headers as makeHeaders,
  type NatsConnection,
  StorageType,
  type StreamConfig,
} from "nats";
import type { StreamPage, StreamQuery } from "../../src/core/ports/source.ts";
import { JetStreamHistory } from "../../src/source/jetstream/history.ts";
import { StreamApi } from "../../src/source/jetstream/stream-api.ts";
import { Requests } from "../../src/source/requests.ts";
import { countTo } from "../contract/support/nats-fixture.ts";
import { type NatsServer, startNatsServer } from "../support/nats-server.ts";

/** The messages of four pages. */
const MESSAGES = 5000;
const SUBJECTS = ["kept.a", "kept.b"];

let server: NatsServer;
/** The gateway's connection, and that of the test. */
let connection: NatsConnection;
let other: NatsConnection;
let manager: JetStreamManager;
let api: StreamApi;
let history: JetStreamHistory;
/** The requests that JetStream got, by the words of their subjects that tell them apart. */
const asked = { direct: 0, created: 0, next: 0 };

beforeAll(async () => {
  server = await startNatsServer({ jetstream: true });
  connection = await connect({ servers: server.url });
  other = await connect({ servers: server.url });
  manager = await other.jetstreamManager();
  const count = (subject: string, kind: keyof typeof asked) =>
    other.subscribe(subject, { callback: () => void asked[kind]++ });
  count("$JS.API.DIRECT.GET.>", "direct");
  count("$JS.API.CONSUMER.CREATE.>", "created");
  count("$JS.API.CONSUMER.MSG.NEXT.>", "next");
  await other.flush();
  const unexpected = (thrown: unknown) => {
    throw thrown;
  };
  const faults = {
    unreadable: unexpected,
    fault: unexpected,
    denied: unexpected,
    refused: unexpected,
  };
  api = new StreamApi(new Requests(connection, faults));
});

beforeEach(() => {
  history = new JetStreamHistory(() => api);
});

afterEach(async () => {
  history.close();
  for await (const { config } of manager.streams.list()) await manager.streams.delete(config.name);
});

afterAll(async () => {
  await connection.close();
  await other.close();
  await server.stop();
});

/** Makes a stream with messages on two subjects by turns. @returns the query for all of them. */
async function keep(more: Partial<StreamConfig> = {}, count = MESSAGES): Promise<StreamQuery> {
  const storage = StorageType.Memory;
  await manager.streams.add({ name: "KEPT", subjects: ["kept.*"], storage, ...more });
  const stream = other.jetstream();
  for (let from = 0; from < count; from += 500) {
    const some = countTo(Math.min(500, count - from)).map((n) =>
      stream.publish(SUBJECTS[(from + n) % 2]!, "{}"),
    );
    await Promise.all(some);
  }
  Object.assign(asked, { direct: 0, created: 0, next: 0 });
  return await queryOf(["kept.*"]);
}

async function queryOf(subjects: readonly string[]): Promise<StreamQuery> {
  const { created } = await manager.streams.info("KEPT");
  const [seconds = "", fraction = ""] = String(created).replace("Z", "").split(".");
  const nanoseconds = `${Date.parse(`${seconds}Z`) / 1000}${fraction.padEnd(9, "0").slice(0, 9)}`;
  return { origin: `KEPT:${BigInt(nanoseconds).toString(36)}`, subjects };
}

const sequencesOf = (pages: readonly StreamPage[]): number[] =>
  pages.flatMap(({ messages }) => messages.map(({ position }) => position!.sequence));

/** Reads pages after a sequence, each after the one before. */
async function read(query: StreamQuery, after: number, most: number): Promise<StreamPage[]> {
  const pages: StreamPage[] = [];
  let reached = after;
  while (pages.length < most && pages.at(-1)?.end !== true) {
    const page = await history.read(query, reached);
    pages.push(page!);
    reached = page?.messages.at(-1)?.position?.sequence ?? reached;
  }
  return pages;
}

/** Reads again if the stream went while it was read. */
async function readOrRetry(query: StreamQuery, after: number): Promise<StreamPage | undefined> {
  return await history.read(query, after).catch(() => history.read(query, after));
}

/** Waits until JetStream has got and answered all that was asked for until now. */
async function settled(): Promise<void> {
  await connection.flush();
  await other.flush();
}

const numbers = (from: number, to: number): number[] => countTo(to - from + 1).map((n) => from + n);

for (const [kind, more] of [
  ["directly", { allow_direct: true }],
  ["by a consumer", {}],
] as const) {
  describe(`What a stream keeps, read ${kind}`, () => {
    test("is read in a small page and larger ones, with one consumer at most", async () => {
      const pages = await read(await keep(more), 0, 100);
      expect(pages.map(({ messages }) => messages.length)).toEqual([512, 2048, 2048, 392]);
      expect(sequencesOf(pages)).toEqual(numbers(1, MESSAGES));
      expect(pages.at(-1)).toMatchObject({ end: true, first: 1, last: MESSAGES, removed: 0 });
      await settled();
      expect(asked.created).toBe(kind === "directly" ? 0 : 1);
      expect(asked.direct > 0).toBe(kind === "directly");
    });

    test("is the messages of the wanted subjects, with their times", async () => {
      await keep(more);
      const pages = await read(await queryOf(["kept.b"]), 0, 100);
      expect(sequencesOf(pages)).toEqual(numbers(1, MESSAGES).filter((n) => n % 2 === 0));
      const [message] = pages[0]!.messages;
      const stored = await manager.streams.getMessage("KEPT", { seq: 2 });
      expect(message).toMatchObject({ subject: "kept.b", timestampMs: stored.time.getTime() });
    });

    test("has no message that was deleted before its page was asked for", async () => {
      const query = await keep(more);
      const before = await read(query, 0, 2);
      const reached = sequencesOf(before).at(-1)!;
      // The next page is on its way, or here.
      await settled();
      expect(asked.direct + asked.next).toBe(3);
      for (const n of [1, 2, 500]) await manager.streams.deleteMessage("KEPT", reached + n);
      const [page] = await read(query, reached, 1);
      const sequences = sequencesOf([page!]);
      expect(sequences.slice(0, 2)).toEqual([reached + 3, reached + 4]);
      expect(sequences).not.toContain(reached + 500);
      expect(page).toMatchObject({ removed: 3, sparse: true });
      const rest = await read(query, sequences.at(-1)!, 100);
      expect(sequencesOf(rest).at(-1)).toBe(MESSAGES);
    });

    test("has nothing that was purged before its page was asked for", async () => {
      const query = await keep(more);
      const reached = sequencesOf(await read(query, 0, 2)).at(-1)!;
      await settled();
      await manager.streams.purge("KEPT", { seq: reached + 11 });
      const [page] = await read(query, reached, 1);
      expect(sequencesOf([page!])[0]).toBe(reached + 11);
      expect(page?.first).toBe(reached + 11);
      await manager.streams.purge("KEPT");
      const [none] = await read(query, reached, 1);
      expect(none).toMatchObject({ messages: [], end: true, first: MESSAGES + 1 });
    });

    test("is read on when older messages are removed meanwhile", async () => {
      const query = await keep(more);
      const pages = await read(query, 0, 2);
      const reached = sequencesOf(pages).at(-1)!;
      await settled();
      await manager.streams.purge("KEPT", { seq: reached - 10 });
      pages.push(...(await read(query, reached, 100)));
      expect(pages[2]).toMatchObject({ first: reached - 10, sparse: false });
      expect(sequencesOf(pages)).toEqual(numbers(1, MESSAGES));
      await settled();
      // None of it was read twice.
      expect(asked.direct + asked.next).toBe(pages.length);
    });

    test("is gone when its stream is made anew between two pages", async () => {
      const query = await keep(more);
      const reached = sequencesOf(await read(query, 0, 2)).at(-1)!;
      await settled();
      await manager.streams.delete("KEPT");
      await keep(more, 10);
      expect(await readOrRetry(query, reached)).toBeUndefined();
      expect(await history.read(query, 0)).toBeUndefined();
    });

    test("is gone when its stream is", async () => {
      const query = await keep(more);
      const reached = sequencesOf(await read(query, 0, 2)).at(-1)!;
      await settled();
      await manager.streams.delete("KEPT");
      expect(await readOrRetry(query, reached)).toBeUndefined();
    });

    test("is found by the time at which it was stored", async () => {
      const { origin } = await keep(more, 20);
      const { time } = await manager.streams.getMessage("KEPT", { seq: 1 });
      expect(await history.before(origin, time.getTime())).toBe(0);
      expect(await history.before(origin, Date.now() + 60_000)).toBe(20);
      await manager.streams.purge("KEPT", { seq: 6 });
      expect(await history.before(origin, 0)).toBe(5);
    });

    test("has long messages, and what publishers write into headers of the server's", async () => {
      const query = await keep(more, 3);
      const headers = { "Nats-Sequence": "99", "Nats-Subject": "kept.x", "Nats-Stream": "OTHER" };
      const stream = other.jetstream();
      const written = makeHeaders();
      for (const [name, value] of Object.entries(headers)) written.set(name, value);
      await stream.publish("kept.a", "{}", { headers: written });
      await stream.publish("kept.b", "", { headers: written });
      await stream.publish("kept.a", "x".repeat(700_000));
      await stream.publish("kept.b", "last");
      const pages = await read(query, 0, 100);
      expect(sequencesOf(pages)).toEqual(numbers(1, 7));
      const messages = pages.flatMap((page) => page.messages);
      expect(messages.map(({ subject }) => subject).slice(3)).toEqual([
        "kept.a",
        "kept.b",
        "kept.a",
        "kept.b",
      ]);
      expect(messages.map(({ data }) => data.length).slice(3)).toEqual([2, 0, 700_000, 4]);
      expect(messages[3]?.headers?.get("Nats-Subject")?.[0]).toBe("kept.x");
    });
  });
}

describe("What a mirror answers", () => {
  test("counts for nothing, as it may lack messages", async () => {
    const query = await keep({ allow_direct: true });
    await manager.streams.add({
      name: "MIRROR",
      storage: StorageType.Memory,
      mirror: { name: "KEPT", filter_subject: "kept.b" },
    });
    const mirrored = async () => (await manager.streams.info("MIRROR")).state.messages;
    while ((await mirrored()) < MESSAGES / 2) await other.flush();
    // Either answers, by chance.
    for (let attempt = 0; attempt < 20; attempt++) {
      expect(sequencesOf(await read(query, 0, 100))).toEqual(numbers(1, MESSAGES));
      const snapshot = await history.snapshot(query);
      if (snapshot !== undefined) expect(sequencesOf([snapshot])).toEqual([MESSAGES - 1, MESSAGES]);
    }
    await settled();
    expect(asked.created).toBeGreaterThan(0);
  });
});
