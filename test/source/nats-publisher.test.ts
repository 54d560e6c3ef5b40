import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import fc from "fast-check";
import { connect, headers, type Msg, type NatsConnection } from "nats";
import type { ClientMessage } from "../../src/core/ports/source.ts";
import { dataOf, type MessageFrame } from "../../src/core/publishing/client-message.ts";
import { readClientFrame } from "../../src/core/wire/client-frame.ts";
import { NatsSource } from "../../src/source/nats.ts";
import type { NatsPublisher } from "../../src/source/nats-publisher.ts";
import { until } from "../support/event-log.ts";
import { type NatsServer, startNatsServer } from "../support/nats-server.ts";
import { Recorder } from "./recorder.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (data: Uint8Array): string => new TextDecoder().decode(data);
const messageOf = (subject: string, more: Partial<ClientMessage> = {}): ClientMessage => ({
  subject,
  data: bytes("1"),
  headers: new Map(),
  ...more,
});
const NEVER = new AbortController().signal;
const PERMISSIONS = `
  max_payload: 8192
  authorization {
    users: [
      { user: all, password: p }
      { user: some, password: p, permissions: { publish: { allow: ["ok", "$JS.API.STREAM.NAMES"] }, subscribe: ">" } }
      { user: blind, password: p, permissions: { publish: { allow: ["ok", "kept.>"] }, subscribe: ">" } }
    ]
  }`;

let server: NatsServer;
let observer: NatsConnection;
const sources: NatsSource[] = [];

beforeAll(async () => {
  server = await startNatsServer({
    jetstream: true,
    config: PERMISSIONS,
  });
  observer = await connect({ servers: server.url, user: "all", pass: "p" });
  const manager = await observer.jetstreamManager();
  await manager.streams.add({ name: "KEPT", subjects: ["kept.>"] });
});
afterAll(async () => {
  await Promise.all(sources.map((source) => source.stop(1_000)));
  await observer.close();
  await server.stop();
});

async function publisherOf(user = "all"): Promise<NatsPublisher> {
  const recorder = new Recorder();
  const servers = [server.url];
  const nats = { options: { servers, name: "test", user, password: "p" } };
  const source = new NatsSource({ log: recorder.log, nats });
  sources.push(source);
  source.start(recorder);
  await recorder.until("connected");
  const publisher = source.clientPublisher;
  await until(
    "a channel",
    () => publisher.publish(messageOf("ok"), NEVER),
    ({ kind }) => kind === "published",
  );
  return publisher;
}

/** Subscribes until the test is over. */
async function tap(
  subject: string,
  take: (msg: Msg) => void,
): Promise<{ [Symbol.dispose](): void }> {
  const subscription = observer.subscribe(subject, { callback: (_, msg) => take(msg) });
  await observer.flush();
  return { [Symbol.dispose]: () => subscription.unsubscribe() };
}

describe("NatsPublisher", () => {
  test("tells the sequence in the stream, also of the first message, and knows what it has by its key", async () => {
    const publisher = await publisherOf();
    const first = await publisher.publish(messageOf("kept.a", { key: "k" }), NEVER);
    expect(first).toMatchObject({
      kind: "published",
      stored: { stream: "KEPT" },
      isDuplicate: false,
    });
    expect(await publisher.publish(messageOf("kept.a", { key: "k" }), NEVER)).toEqual({
      ...first,
      isDuplicate: true,
    } as never);
    const other = await publisher.publish(messageOf("kept.a", { key: "other" }), NEVER);
    expect(other).toMatchObject({ isDuplicate: false });
  });

  test("confirms what no stream takes, whether anybody listens or not, without a reply subject once it knows", async () => {
    const publisher = await publisherOf();
    const seen: Msg[] = [];
    using _ = await tap("live", (msg) => seen.push(msg));
    for (const subject of ["live", "live", "nobody", "nobody"]) {
      expect(await publisher.publish(messageOf(subject), NEVER)).toEqual({ kind: "published" });
    }
    await until(
      "both messages",
      async () => seen.length,
      (count) => count === 2,
    );
    expect(seen[1]!.reply).toBeFalsy();
  });

  test("is not fooled by subscribers that answer", async () => {
    const publisher = await publisherOf();
    using _ = await tap("echo", (msg) => void msg.respond(msg.data));
    expect(await publisher.publish(messageOf("echo"), NEVER)).toEqual({ kind: "published" });
  });

  test("keeps the order of messages, of known subjects and unknown ones", async () => {
    const publisher = await publisherOf();
    const seen: string[] = [];
    using _ = await tap("order.>", (msg) => void seen.push(msg.subject));
    await publisher.publish(messageOf("order.known"), NEVER);
    const subjects = ["order.new1", "order.known", "order.new2", "order.known"];
    await Promise.all(subjects.map((subject) => publisher.publish(messageOf(subject), NEVER)));
    await until(
      "all messages",
      async () => seen.length,
      (count) => count === 5,
    );
    expect(seen.slice(1)).toEqual(subjects);
  });

  test("says what NATS refuses: permissions and sizes", async () => {
    const publisher = await publisherOf("some");
    for (const subject of ["denied", "denied"]) {
      expect(await publisher.publish(messageOf(subject), NEVER)).toMatchObject({
        kind: "failed",
        code: "forbidden",
      });
      expect(await publisher.request(messageOf(subject), NEVER)).toMatchObject({
        code: "forbidden",
      });
    }
    const large = messageOf("ok", { data: new Uint8Array(9000) });
    expect(await publisher.publish(large, NEVER)).toMatchObject({ code: "too_large" });
    expect(await publisher.request(large, NEVER)).toMatchObject({ code: "too_large" });
  });

  test("confirms what NATS has if it may not ask for streams", async () => {
    const publisher = await publisherOf("blind");
    expect(await publisher.publish(messageOf("ok"), NEVER)).toEqual({ kind: "published" });
    expect(await publisher.publish(messageOf("kept.b"), NEVER)).toMatchObject({
      kind: "published",
    });
  });

  test("hands over the first answer to a request, and tells at once that there is nobody", async () => {
    const publisher = await publisherOf();
    using _ = await tap("add", (msg) => {
      const named = headers();
      named.append("Trace", "t");
      msg.respond(`${text(msg.data)}+1`, { headers: named });
      msg.respond("late");
    });
    const reply = await publisher.request(messageOf("add"), NEVER);
    if (reply.kind !== "reply") throw new Error(reply.message);
    expect([text(reply.data), reply.headers?.get("Trace")]).toEqual(["1+1", ["t"]]);
    expect(await publisher.request(messageOf("none"), NEVER)).toMatchObject({
      code: "no_responders",
    });
  });

  test("ends a wait whose answer nobody needs", async () => {
    const publisher = await publisherOf();
    using _ = await tap("mute", () => {});
    const abort = new AbortController();
    const waiting = publisher.request(messageOf("mute"), abort.signal);
    abort.abort();
    expect(await waiting).toMatchObject({ kind: "failed", code: "timeout" });
  });

  test("says that a stream which is deleted takes nothing, and finds out that there is none", async () => {
    const publisher = await publisherOf();
    const manager = await observer.jetstreamManager();
    await manager.streams.add({ name: "GONE", subjects: ["gone"] });
    expect(await publisher.publish(messageOf("gone"), NEVER)).toHaveProperty("stored");
    await manager.streams.delete("GONE");
    // JetStream may have been asked about the subject before or after that.
    const first = await publisher.publish(messageOf("gone"), NEVER);
    if (first.kind === "failed") {
      expect(first).toMatchObject({ code: "unavailable", retryable: true });
    } else expect(first).toEqual({ kind: "published" });
    expect(await publisher.publish(messageOf("gone"), NEVER)).toEqual({ kind: "published" });
  });

  test("says what a stream refuses", async () => {
    const publisher = await publisherOf();
    const manager = await observer.jetstreamManager();
    const full = { name: "FULL", subjects: ["full"], max_msgs: 1, max_msg_size: 100 };
    await manager.streams.add({ ...full, discard: "new" as never });
    const publish = (data = bytes("1")) => publisher.publish(messageOf("full", { data }), NEVER);
    expect(await publish(new Uint8Array(200))).toMatchObject({
      code: "too_large",
      retryable: false,
    });
    expect(await publish()).toMatchObject({ kind: "published" });
    expect(await publish()).toMatchObject({ code: "unavailable", retryable: true });
    await manager.streams.update("FULL", { ...full, sealed: true } as never);
    expect(await publish()).toMatchObject({ code: "unavailable", retryable: false });
  });

  test("gives up what waits when the connection is lost, and publishes again when it is back", async () => {
    const own = await startNatsServer();
    const recorder = new Recorder();
    const nats = { options: { servers: [own.url], name: "test" } };
    const source = new NatsSource({ log: recorder.log, nats });
    const publisher = source.clientPublisher;
    expect(await publisher.publish(messageOf("a"), NEVER)).toMatchObject({ code: "unavailable" });
    source.start(recorder);
    await recorder.until("connected");
    const listener = await connect({ servers: own.url });
    const arrived = Promise.withResolvers<void>();
    listener.subscribe("mute", { callback: () => arrived.resolve() });
    await listener.flush();
    await until("a channel", () => publisher.publish(messageOf("a"), NEVER), isPublished);
    const waiting = publisher.request(messageOf("mute"), NEVER);
    await arrived.promise;
    await listener.close();
    await own.stop();
    expect(await waiting).toMatchObject({ code: "unavailable", retryable: true });
    await recorder.until("connecting");
    expect(await publisher.publish(messageOf("a"), NEVER)).toMatchObject({ code: "unavailable" });
    await own.restart();
    await recorder.until("connected");
    await until("a channel", () => publisher.publish(messageOf("a"), NEVER), isPublished);
    await source.stop(1_000);
    await own.stop();
  });
});

const isPublished = ({ kind }: { kind: string }): boolean => kind === "published";

/** Whatever a client sends, NATS gets the one message that the frame says, or none. */
test("Nothing that a client sends becomes a line of NATS' protocol", async () => {
  const publisher = await publisherOf();
  const seen: Msg[] = [];
  using _ = await tap("prop.>", (msg) => void seen.push(msg));
  const evil = fc.constantFrom(
    "\r\nPUB evil 1\r\n1\r\n",
    "\n",
    "\r",
    "\0",
    " ",
    "\t",
    "a b",
    "*",
    ">",
    "..",
    "ü",
    ":",
    "\u007f",
  );
  const part = fc.oneof(evil, fc.string({ maxLength: 6 }));
  const word = fc.array(part, { maxLength: 3 }).map((parts) => parts.join(""));
  const frames = fc.record({
    subject: word.map((end) => `prop.${end}`),
    payload: fc.oneof(fc.jsonValue(), word),
    headers: fc.dictionary(word, fc.array(word, { maxLength: 2 }), { maxKeys: 2 }),
    encoding: fc.constantFrom(undefined, "text"),
  });
  await fc.assert(
    fc.asyncProperty(frames, async (fields) => {
      const raw = JSON.stringify({ type: "publish", id: "1", ...fields });
      const frame = readClientFrame(raw, "v1");
      if (frame.type === "fault") return;
      const { subject, headers: named = {} } = frame as MessageFrame;
      const data = dataOf(frame as MessageFrame, raw);
      if (typeof data === "string") return;
      const count = seen.length;
      const message = { subject, data, headers: new Map(Object.entries(named)) };
      const answer = await publisher.publish(message, NEVER);
      expect(answer).toMatchObject({ kind: "published" });
      await observer.flush();
      expect(seen.length).toBe(count + 1);
      const msg = seen.at(-1)!;
      expect(msg.subject).toBe(fields.subject);
      expect([...msg.data]).toEqual([...data]);
      for (const [name, values] of Object.entries(fields.headers)) {
        expect(msg.headers?.values(name)).toEqual(values.map((value) => value.trim()));
      }
    }),
    { numRuns: 300 },
  );
  expect(seen.length).toBeGreaterThan(10);
});
