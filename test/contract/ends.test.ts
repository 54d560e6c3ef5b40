import { describe, expect, test } from "bun:test";
import { headers } from "nats";
import { startGateway } from "../support/gateway-process.ts";
import type { Said } from "../support/v1-client.ts";
import { contract, EVERY_EDGE, EVERY_SOCKET } from "./support/contract.ts";
import {
  subscribe,
  subscribeEvents,
  subscribeV1,
  untilReady,
  useGateway,
} from "./support/gateway-fixture.ts";
import { untilMetric } from "./support/metrics.ts";
import { useStreams } from "./support/stream-fixture.ts";

/** Longer than any test takes: a client that waits for it fails. */
const NEVER = "5m";

function ending() {
  const made = headers();
  made.set("Spillway-End", "");
  return { headers: made };
}

/** The messages and ends that a client was told of, in order. */
function toldOf(said: readonly Said[]): string[] {
  return said
    .filter(({ type }) => type === "data" || type === "end")
    .map(({ type, subject, payload }) => (type === "end" ? `end ${subject}` : `${payload}`));
}

/** Streams of messages that end: tokens of a model, jobs, exports. */
contract([...EVERY_SOCKET, ...EVERY_EDGE], (target) => {
  describe("End of a subject", () => {
    const nats = useStreams();
    const config = () => ({
      nats_url: nats.url,
      streams: ["RUNS:runs.>"],
      subjects: ["core.>"],
      publish_subjects: ["runs.>", "core.>"],
    });
    const gateway = useGateway(target, async () => {
      await nats.create("RUNS");
      return { config: config() };
    });

    /** Stores three tokens, of which the last one ends the run. */
    async function run(subject: string, last = "3"): Promise<void> {
      const stream = nats.connection.jetstream();
      for (const token of ["1", "2"]) await stream.publish(subject, token);
      await stream.publish(subject, last, ending());
    }

    test("Each dialect gets the last message, and v1 and events then get its end", async () => {
      const v1 = await subscribeV1(gateway());
      await v1.subscribe("1", ["runs.all"]);
      const events = await subscribeEvents(gateway(), "?subjects=runs.*");
      const plain = await subscribe(gateway(), "?subjects=runs.all");
      await run("runs.all");
      const { id, subject } = await v1.next("end");
      expect(subject).toBe("runs.all");
      expect(toldOf(v1.said.entries)).toEqual(["1", "2", "3", "end runs.all"]);
      expect(v1.messages.at(-1)?.id).toBe(id);
      expect(JSON.parse((await events.next("end")).data)).toEqual({ type: "end", subject, id });
      expect(events.all("message").map(({ data }) => JSON.parse(data).payload)).toEqual([1, 2, 3]);
      expect((await plain.take(3)).map(({ payload }) => payload)).toEqual([1, 2, 3]);
      // A later message of the subject is heard: the subscriptions stay.
      nats.connection.publish("runs.all", "4");
      expect(await v1.next("data")).toMatchObject({ payload: 4 });
      expect(await plain.next()).toMatchObject({ payload: 4 });
    });

    test.each(["all", "last", "last_per_subject"])(
      "From %s, a run that has ended ends again",
      async (from) => {
        const subject = `runs.from.${from}`;
        await run(subject, "");
        const client = await subscribeV1(gateway());
        await client.subscribe("1", [subject], { from });
        await client.next("end");
        const expected = from === "all" ? ["1", "2", "null"] : ["null"];
        expect(toldOf(client.said.entries)).toEqual([...expected, `end ${subject}`]);
        expect(client.messages.at(-1)).toMatchObject({ encoding: "empty" });
      },
    );

    test("An EventSource that resumes with the end gets 204, on any gateway, and nobody else does", async () => {
      const sse = `${gateway().path}/sse`;
      const events = await subscribeEvents(gateway(), "?subjects=runs.once&from=all");
      await run("runs.once");
      const [, , last] = await events.take(3);
      const { id } = await events.next("end");
      const other = await startGateway(target, { config: config() });
      await untilReady(other);
      for (const { url } of [gateway(), other]) {
        const ask = (query: string, init = {}) => fetch(`${url}${sse}?${query}`, init);
        const resumed = { headers: { "Last-Event-ID": id } };
        expect((await ask("subjects=runs.once", resumed)).status).toBe(204);
        expect((await ask(`subjects=runs.once&after=${id}`)).status).toBe(204);
      }
      expect(await other.stop()).toEqual({ code: 0, signal: null });
      // It had the message before, but may have lost the end.
      expect(last?.id).not.toBe(id.split("~")[0]);
      const again = await subscribeEvents(gateway(), `?subjects=runs.once&after=${last?.id}`);
      await again.next("end");
      for (const subjects of ["runs.other", "runs.*", "runs.once,runs.other"]) {
        const wider = await subscribeEvents(gateway(), `?subjects=${subjects}&after=${id}`);
        expect(wider.status).toBe(200);
        await wider.next("caught_up");
        expect(wider.all("end")).toEqual([]);
        expect(wider.all("gap")).toEqual([]);
      }
    });

    test("A client may end the subjects that it may publish to, by a frame and over HTTP", async () => {
      const client = await subscribeV1(gateway());
      await client.subscribe("1", ["runs.own", "core.own"]);
      const publish = { type: "publish", id: "p", subject: "runs.own", payload: 1 };
      client.send({ ...publish, end: true });
      expect(await client.next("end")).toMatchObject({ subject: "runs.own" });
      const post = (query: string, body = "2") =>
        fetch(`${gateway().url}/publish/core.own${query}`, { method: "POST", body });
      expect((await post("?end=true")).status).toBe(202);
      expect(await client.next("end")).toMatchObject({ subject: "core.own" });
      expect((await post("?end=1")).status).toBe(400);
      client.send({ ...publish, id: "q", end: false });
      expect(await client.next("error")).toMatchObject({ error: { code: "malformed" } });
      client.send({ ...publish, id: "r", headers: { "Spillway-End": ["1"] } });
      expect(await client.next("error")).toMatchObject({ error: { code: "forbidden" } });
      client.send({ ...publish, id: "s", subject: "other", end: true });
      expect(await client.next("error")).toMatchObject({ error: { code: "forbidden" } });
      expect((await post("", "3")).status).toBe(202);
      await client.until(({ type, payload }) => type === "data" && payload === 3, "message");
      expect(client.notices("end")).toHaveLength(2);
    });

    test("A rate doesn't hold the end back, nor the last message", async () => {
      const client = await subscribeV1(gateway());
      await client.subscribe("1", ["core.>"], { max_rate: 0.001 });
      nats.connection.publish("core.slow", "1");
      await client.next("data");
      nats.connection.publish("core.slow", "2");
      nats.connection.publish("core.slow", "3", ending());
      await client.next("end");
      expect(client.messages.at(-1)).toMatchObject({ payload: 3, superseded: 1 });
    });
  });

  describe("End of a subject in at-least-once", () => {
    const nats = useStreams();
    const gateway = useGateway(target, async () => {
      await nats.create("JOBS");
      const promise = { delivery_mode: "at-least-once", ack_timeout: NEVER, session_ttl: "0s" };
      const config = { nats_url: nats.url, streams: ["JOBS:jobs.>"], redelivery_backoff: "20ms" };
      return { config: { ...config, ...promise } };
    });

    test.each([
      ["session", {}],
      ["durable", { durable: "worker" }],
    ])(
      "In a %s, the end comes with its message each time, and one ack settles both",
      async (name, more) => {
        const subject = `jobs.${name}`;
        const client = await subscribeV1(gateway());
        await client.subscribe("1", [subject], more);
        await nats.connection.jetstream().publish(subject, "", ending());
        const { id } = await client.next("end");
        client.send({ type: "nack", id });
        expect(await client.next("end")).toEqual({ type: "end", subject, id });
        expect(client.messages.at(-1)).toMatchObject({ id, redelivery: 1, encoding: "empty" });
        client.send({ type: "ack", id });
        await untilMetric(gateway(), "websocket_messages_in_flight", (count) => count === 0);
      },
    );
  });

  describe("End of a subject on the embedded source", () => {
    const gateway = useGateway(target, () => ({ config: { subjects: ["jobs.>"] } }));

    test("is published as with NATS", async () => {
      const client = await subscribeV1(gateway());
      await client.subscribe("1", ["jobs.>"]);
      client.send({ type: "publish", id: "p", subject: "jobs.1", payload: 1, end: true });
      expect(await client.next("end")).toMatchObject({ subject: "jobs.1" });
      await fetch(`${gateway().url}/publish/jobs.2?end=true`, { method: "POST", body: "" });
      expect(await client.next("end")).toMatchObject({ subject: "jobs.2" });
      expect(toldOf(client.said.entries)).toEqual(["1", "end jobs.1", "null", "end jobs.2"]);
    });
  });
});
