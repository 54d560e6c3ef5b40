import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import fc from "fast-check";
import { connect, headers, type Msg, type NatsConnection } from "nats";
import type { ClientMessage, SourceStatus } from "../../src/core/ports/source.ts";
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
  return source.clientPublisher;
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
  test("publishes as soon as the source is connected, also if NATS answers at once", async () => {
    const recorder = new Recorder();
    // The connection of a host, whose round trip takes no time.
    const connection = new Proxy(observer, {
      get(target, name) {
        if (name === "rtt") return async () => 0;
        const value: unknown = Reflect.get(target, name);
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
    const source = new NatsSource({ log: recorder.log, nats: { connection } });
    sources.push(source);
    let answer: ReturnType<NatsPublisher["publish"]> | undefined;
    const status = (now: SourceStatus): void => {
      if (now.state === "connected")
        answer ??= source.clientPublisher.publish(messageOf("ok"), NEVER);
      recorder.status(now);
    };
    source.start(Object.assign(Object.create(recorder), { status }));
    await recorder.until("connected");
    expect(await answer).toEqual({ kind: "published" });
  });

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

  test("sends its own header first, with an id from which nobody can tell the key", async () => {
    const publisher = await publisherOf();
    const seen: Msg[] = [];
    using _ = await tap("named", (msg) => void seen.push(msg));
    const forged = new Map([["A", ["Nats-Msg-Id: forged"]]]);
    for (const key of ["ann 1", "ann 1", "ann 2", undefined]) {
      await publisher.publish(messageOf("named", { key, headers: forged }), NEVER);
    }
    await until(
      "all messages",
      async () => seen.length,
      (count) => count === 4,
    );
    const names = seen.map((msg) => [...msg.headers!.keys()]);
    expect(names).toEqual([...Array(3).fill(["Nats-Msg-Id", "A"]), ["A"]]);
    const [first, again, other] = seen.map((msg) => msg.headers!.get("Nats-Msg-Id"));
    expect(first).toMatch(/^[A-Za-z0-9_-]{43}$/);
    expect(again).toBe(first!);
    expect(other).not.toBe(first!);
  });

  test("keeps nothing of messages and requests that have their answers", async () => {
    const publisher = await publisherOf();
    using _ = await tap("echo", (msg) => void msg.respond(msg.data));
    using _mute = await tap("mute", () => {});
    const sent: WeakRef<Uint8Array>[] = [];
    const dataOfNext = (): Uint8Array => {
      const data = new Uint8Array(1000);
      sent.push(new WeakRef(data));
      return data;
    };
    for (let n = 0; n < 50; n++) {
      const abort = new AbortController();
      const muted = publisher.request(messageOf("mute", { data: dataOfNext() }), abort.signal);
      await publisher.publish(messageOf("echo", { data: dataOfNext() }), abort.signal);
      await publisher.publish(messageOf("kept.leak", { data: dataOfNext() }), abort.signal);
      await publisher.request(messageOf("echo", { data: dataOfNext() }), abort.signal);
      abort.abort();
      await muted;
    }
    await until(
      "that nothing is kept",
      async () => {
        Bun.gc(true);
        return sent.filter((data) => data.deref() !== undefined).length;
      },
      // The collector takes some values of the stack for references.
      (kept) => kept <= 10,
    );
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

/** A JetStream that says what the test wants, when the test wants it. */
describe("NatsPublisher that asks JetStream which stream takes a subject", () => {
  interface Question {
    readonly subject: string;
    answer(content: object): void;
  }
  const FORGED = JSON.stringify({ stream: "EVIL", seq: 7 });
  let own: NatsServer;
  let service: NatsConnection;
  let source: NatsSource;
  let publisher: NatsPublisher;
  let questions: Question[];
  /** Answers each question at once; `undefined`: the test does. */
  let answerOf: ((subject: string) => object) | undefined;

  beforeAll(async () => {
    own = await startNatsServer();
    service = await connect({ servers: own.url });
    service.subscribe("$JS.API.STREAM.NAMES", {
      callback: (_, msg) => {
        const { subject } = msg.json<{ subject: string }>();
        const answer = (content: object) => void msg.respond(JSON.stringify(content));
        if (answerOf !== undefined) answer(answerOf(subject));
        else questions.push({ subject, answer });
      },
    });
    await service.flush();
  });
  beforeEach(async () => {
    questions = [];
    answerOf = () => ({ streams: [] });
    const recorder = new Recorder();
    source = new NatsSource({
      log: recorder.log,
      nats: { options: { servers: [own.url], name: "test" } },
    });
    source.start(recorder);
    await recorder.until("connected");
    publisher = source.clientPublisher;
    await until("a channel", () => publisher.publish(messageOf("ok"), NEVER), isPublished);
    answerOf = undefined;
  });
  afterEach(async () => await source.stop(1_000));
  afterAll(async () => {
    await service.close();
    await own.stop();
  });

  const asked = (count: number) =>
    until(
      `${count} questions`,
      async () => questions.length,
      (now) => now >= count,
    );

  /** Answers messages of a subject, until the test is over. */
  async function answering(subject: string, ...data: readonly string[]) {
    const answered: Msg[] = [];
    const subscription = service.subscribe(subject, {
      callback: (_, msg) => {
        answered.push(msg);
        for (const text of data) msg.respond(text);
      },
    });
    await service.flush();
    const all = (count: number) =>
      until(
        "answers",
        async () => answered.length,
        (now) => now === count,
      );
    const again = (text: string) => void answered.at(-1)!.respond(text);
    return { all, again, [Symbol.dispose]: () => subscription.unsubscribe() };
  }

  test("is not fooled by subscribers that answer like a stream", async () => {
    const refusal = JSON.stringify({ error: { code: 503, description: "full" } });
    for (const data of [FORGED, refusal, "{}", "no JSON"]) {
      using subscriber = await answering("echo.*", data);
      const subject = `echo.${questions.length}`;
      const answer = publisher.publish(messageOf(subject), NEVER);
      await subscriber.all(1);
      await until(
        "the question",
        async () => questions.at(-1)?.subject,
        (last) => last === subject,
      );
      questions.at(-1)!.answer({ streams: [] });
      subscriber.again(data);
      expect(await answer).toEqual({ kind: "published" });
    }
  });

  test("believes only the stream that takes the subject", async () => {
    using both = await answering("both", FORGED, JSON.stringify({ stream: "REAL", seq: 3 }));
    const answer = publisher.publish(messageOf("both"), NEVER);
    await both.all(1);
    await asked(1);
    questions[0]!.answer({ streams: ["REAL"] });
    // The stream may have been replaced: it asks once more.
    await asked(2);
    questions[1]!.answer({ streams: ["REAL"] });
    expect(await answer).toMatchObject({ stored: { stream: "REAL", sequence: 3 } });
  });

  test("hears a stream behind any number of forged answers, before and after it knows the stream", async () => {
    const forged = (stream: string) => JSON.stringify({ stream, seq: 7 });
    const real = JSON.stringify({ stream: "REAL", seq: 3 });
    const names = Array.from({ length: 1000 }, (_, n) => forged(`EVIL${n}`));
    const many = Array.from({ length: 1000 }, () => FORGED);
    using flood = await answering("flood", ...many, ...names.slice(0, 200), real);
    const first = publisher.publish(messageOf("flood"), NEVER);
    await flood.all(1);
    for (let count = 1; count <= 2; count++) {
      await asked(count);
      questions[count - 1]!.answer({ streams: ["REAL"] });
    }
    expect(await first).toMatchObject({ stored: { stream: "REAL", sequence: 3 } });
    flood[Symbol.dispose]();
    using more = await answering("flood", ...names, real);
    const second = publisher.publish(messageOf("flood"), NEVER);
    await more.all(1);
    await asked(3);
    questions[2]!.answer({ streams: ["REAL"] });
    expect(await second).toMatchObject({ stored: { stream: "REAL", sequence: 3 } });
  });

  test("keeps 256 answers at most until it knows the stream, and hears the stream's next one", async () => {
    const forged = Array.from({ length: 256 }, (_, n) =>
      JSON.stringify({ stream: `E${n}`, seq: 7 }),
    );
    const real = JSON.stringify({ stream: "REAL", seq: 3 });
    using flood = await answering("burst", ...forged, real);
    let isSettled = false;
    const answer = publisher.publish(messageOf("burst"), NEVER);
    void answer.then(() => {
      isSettled = true;
    });
    await flood.all(1);
    for (let count = 1; count <= 2; count++) {
      await asked(count);
      questions[count - 1]!.answer({ streams: ["REAL"] });
    }
    await service.flush();
    // The second one is sent when the last answer to a question was read.
    for (let count = 0; count < 2; count++) await publisher.publish(messageOf("ok"), NEVER);
    expect(isSettled).toBe(false);
    flood.again(real);
    expect(await answer).toMatchObject({ stored: { stream: "REAL", sequence: 3 } });
  });

  test("finds the stream that has taken the place of another one", async () => {
    using renewed = await answering("renewed", JSON.stringify({ stream: "NEW", seq: 1 }));
    const answer = publisher.publish(messageOf("renewed"), NEVER);
    await renewed.all(1);
    await asked(1);
    questions[0]!.answer({ streams: ["OLD"] });
    await asked(2);
    questions[1]!.answer({ streams: ["NEW"] });
    expect(await answer).toMatchObject({ stored: { stream: "NEW", sequence: 1 } });
  });

  test("confirms that a message arrived if JetStream can't say which stream takes it", async () => {
    using subscriber = await answering("unsure", FORGED);
    const answer = publisher.publish(messageOf("unsure"), NEVER);
    await subscriber.all(1);
    await asked(1);
    questions[0]!.answer({ error: { code: 503, err_code: 10008, description: "no leader" } });
    expect(await answer).toEqual({ kind: "published" });
  });

  for (const code of [10039, 10076]) {
    test(`knows that there are no streams where JetStream is not enabled (${code})`, async () => {
      const answer = publisher.publish(messageOf("none.a"), NEVER);
      await asked(1);
      questions[0]!.answer({ error: { code: 503, err_code: code, description: "not enabled" } });
      expect(await answer).toEqual({ kind: "published" });
      // Nobody is asked about another subject soon.
      expect(await publisher.publish(messageOf("none.b"), NEVER)).toEqual({ kind: "published" });
      expect(questions.length).toBe(1);
    });
  }

  test("asks at most 256 questions at a time, and has an answer for each message", async () => {
    const answers = Array.from({ length: 700 }, (_, n) =>
      publisher.publish(messageOf(`many.${n}`), NEVER),
    );
    await asked(256);
    await service.flush();
    expect(questions.length).toBe(256);
    answerOf = () => ({ streams: [] });
    for (const { answer } of questions) answer({ streams: [] });
    expect(await Promise.all(answers)).toEqual(Array(700).fill({ kind: "published" }));
  });
});

test("A subject that is too long for the server ends the connection twice at most, and is refused from then on", async () => {
  const own = await startNatsServer({ config: "max_control_line: 512" });
  const recorder = new Recorder();
  const nats = { options: { servers: [own.url], name: "test" } };
  const source = new NatsSource({ log: recorder.log, nats });
  source.subscribe("a");
  source.start(recorder);
  await recorder.until("connected");
  const publisher = source.clientPublisher;
  const ready = () =>
    until("a channel", () => publisher.publish(messageOf("ok"), NEVER), isPublished);
  await ready();
  const long = "x".repeat(1_000);
  // NATS' error is lost now and then; the second loss tells as much.
  for (let losses = 0; losses < 2; losses++) {
    const answer = await publisher.publish(messageOf(long), NEVER);
    if (answer.kind === "failed" && answer.code === "invalid_subject") break;
    expect(answer).toMatchObject({ code: "unavailable" });
    await recorder.until("connecting");
    await recorder.until("connected");
    await ready();
  }
  const refusal = {
    kind: "failed",
    code: "invalid_subject",
    message: expect.stringMatching(/^this NATS server accepts no subject longer than \d+ bytes$/),
    retryable: false,
  };
  expect(await publisher.publish(messageOf(long), NEVER)).toEqual(refusal as never);
  expect(await publisher.request(messageOf(long), NEVER)).toEqual(refusal as never);
  // A subscription follows the same rule.
  source.subscribe(long);
  expect(await recorder.refusals.next()).toMatchObject({ pattern: long, isFinal: true });
  expect(await publisher.publish(messageOf("ok"), NEVER)).toEqual({ kind: "published" });
  expect(source.status.state).toBe("connected");
  await source.stop(1_000);
  await own.stop();
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
