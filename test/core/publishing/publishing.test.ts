import { describe, expect, test } from "bun:test";
import type { Grant } from "../../../src/core/access/grant.ts";
import type {
  ClientMessage,
  ClientPublisher,
  Published,
  PublishFailure,
  Reply,
} from "../../../src/core/ports/source.ts";
import type { OutgoingMessage, Tracer } from "../../../src/core/ports/tracer.ts";
import { publisherHeaders } from "../../../src/core/publishing/client-message.ts";
import { V1 } from "../../../src/core/wire/dialect.ts";
import { AuthHarness, grantOf, settled, type WantedGrant } from "../support/auth-harness.ts";
import type { HarnessOptions } from "../support/harness.ts";
import { Harness, lastOf, type TestClient } from "../support/harness.ts";

interface Call {
  readonly action: "publish" | "request";
  readonly message: ClientMessage;
  readonly signal: AbortSignal;
  answer(answer: Published | Reply | PublishFailure): void;
}

/** A publisher that answers when the test says so. */
class FakePublisher implements ClientPublisher {
  readonly calls: Call[] = [];

  publish(message: ClientMessage, signal: AbortSignal): Promise<Published | PublishFailure> {
    return this.#call("publish", message, signal);
  }

  request(message: ClientMessage, signal: AbortSignal): Promise<Reply | PublishFailure> {
    return this.#call("request", message, signal);
  }

  #call<Answer>(
    action: Call["action"],
    message: ClientMessage,
    signal: AbortSignal,
  ): Promise<Answer> {
    return new Promise((resolve) => {
      const answer = resolve as unknown as Call["answer"];
      this.calls.push({ action, message, signal, answer });
    });
  }
}

const ALL = { allow: [">"], deny: [] };
const MAY = { publishes: ALL, requests: ALL };
const ASK = { type: "request", subject: "r.a" };
const FAILED = { kind: "failed", message: "why", retryable: true } as const;
const utf8 = new TextEncoder();
const textOf = (data: Uint8Array) => new TextDecoder().decode(data);

/** A client without a connection, as of a request over HTTP. */
const senderOf = (grant: Grant, address = "192.0.2.1") => ({
  grant,
  address,
  addressGroup: address,
});
const BUSY = { error: { code: "too_many_requests", retryable: true } };

class Stage {
  readonly publisher = new FakePublisher();
  readonly harness: Harness;

  constructor(options: Partial<HarnessOptions> = {}, tracer?: Tracer) {
    const { publisher } = this;
    this.harness = new Harness({
      ...{ maxFrameBytes: 100_000, ...options, publisher },
      ...(tracer !== undefined && { tracer }),
    });
  }

  join(grant: Grant = grantOf(MAY), session?: string, address?: string): TestClient {
    return this.harness.joinWith(undefined, V1, false, session, grant, undefined, address);
  }

  /** Connects so many clients that send a message each: each one of another user, or of one. */
  crowd(size: number, message: object, sub = (n: number) => `user ${n}`): TestClient[] {
    return Array.from({ length: size }, (_, n) => {
      const peer = this.join(grantOf({ ...MAY, sub: sub(n) }));
      peer.send({ ...message, id: "p" });
      return peer;
    });
  }

  get publishing() {
    return this.harness.broadcaster.publishing;
  }

  get calls(): readonly Call[] {
    return this.publisher.calls;
  }

  get meter() {
    return this.harness.meter.publishing;
  }
}

const publish = { type: "publish", id: "p", subject: "a.b" };
const request = { type: "request", id: "r", subject: "a.b", payload: 1 };

describe("publish", () => {
  test("sends JSON on as the client wrote it, and other data decoded", () => {
    const stage = new Stage();
    const peer = stage.join();
    const sent = (frame: string): string => {
      peer.send(frame);
      return textOf(stage.calls.at(-1)!.message.data);
    };
    expect(
      sent(
        '{"payload": {"n":12345678901234567890 ,"x":[1,\n2]} ,"type":"publish","id":"1","subject":"a"}',
      ),
    ).toBe('{"n":12345678901234567890 ,"x":[1,\n2]}');
    const head = '{"type":"publish","id":"1","subject":"a"';
    expect(sent(`${head},"payload":"ü"}`)).toBe('"ü"');
    expect(sent(`${head},"encoding":"text","payload":"ü"}`)).toBe("ü");
    expect(sent(`${head},"encoding":"base64","payload":"AQI="}`)).toBe("\u0001\u0002");
    expect(sent(`${head},"encoding":"empty"}`)).toBe("");
    expect(sent(`${head},"encoding":"empty","payload":null}`)).toBe("");
    expect(stage.calls.length).toBe(6);
  });

  test("tells where the message is stored, whether it was there before, or only that it is published", async () => {
    const stage = new Stage();
    const peer = stage.join();
    const answered = async (answer: Published | PublishFailure) => {
      peer.send({ ...publish, payload: 1 });
      stage.calls.at(-1)!.answer(answer);
      await settled();
      return lastOf(peer);
    };
    const stored = { stream: "S", sequence: 7 };
    expect(await answered({ kind: "published", stored })).toEqual({
      type: "published",
      id: "p",
      stream: "S",
      seq: 7,
    });
    expect(await answered({ kind: "published", stored, isDuplicate: true })).toMatchObject({
      seq: 7,
      duplicate: true,
    });
    expect(await answered({ kind: "published" })).toEqual({ type: "published", id: "p" });
    expect(await answered({ ...FAILED, code: "unavailable" })).toEqual({
      type: "error",
      id: "p",
      error: { code: "unavailable", message: "why", retryable: true },
    });
    expect(stage.meter).toMatchObject({ published: 3, duplicates: 1, inFlight: 0 });
    expect(stage.meter.refused.unavailable).toBe(1);
  });

  test("has exactly one answer: one that comes after the time is dropped", async () => {
    const stage = new Stage();
    const peer = stage.join();
    peer.send({ ...publish, payload: 1 });
    stage.harness.clock.advance(4_999);
    expect(lastOf(peer)).toMatchObject({ type: "welcome" });
    stage.harness.clock.advance(10);
    expect(lastOf(peer)).toMatchObject({ id: "p", error: { code: "timeout", retryable: true } });
    expect(stage.calls[0]!.signal.aborted).toBe(true);
    const count = peer.socket.frames.length;
    stage.calls[0]!.answer({ kind: "published" });
    await settled();
    expect(peer.socket.frames.length).toBe(count);
    expect(stage.meter).toMatchObject({ published: 0, timeouts: 1, inFlight: 0 });
  });

  test("answers a source that throws or rejects", async () => {
    const harness = new Harness({
      publisher: {
        publish: () => Promise.reject(new Error("broken")),
        request: () => {
          throw new Error("broken");
        },
      },
    });
    const peer = harness.joinWith(undefined, V1, false, undefined, grantOf(MAY));
    for (const frame of [{ ...publish, payload: 1 }, request]) {
      peer.send(frame);
      await settled();
      expect(lastOf(peer)).toMatchObject({
        id: frame.id,
        error: { code: "unavailable", message: "broken" },
      });
    }
  });

  test("of one client has keys that no other client has, and the same for the same principal", () => {
    const stage = new Stage();
    const keyOf = (peer: TestClient, id = "p") => {
      peer.send({ ...publish, id, payload: 1 });
      return stage.calls.at(-1)!.message.key as string;
    };
    const ann = stage.join(grantOf({ ...MAY, sub: "ann" }));
    const key = keyOf(ann);
    expect(keyOf(ann)).toBe(key);
    expect(keyOf(stage.join(grantOf({ ...MAY, sub: "ann" })))).toBe(key);
    expect(keyOf(ann, "q")).not.toBe(key);
    expect(keyOf(stage.join(grantOf({ ...MAY, sub: "bob" })))).not.toBe(key);
    expect(keyOf(stage.join(grantOf({ ...MAY, sub: "ann", issuer: "other" })))).not.toBe(key);
    // Half a surrogate pair has no UTF-8 of its own.
    expect(keyOf(ann, "\ud800")).not.toMatch(/\p{Surrogate}/u);
    expect(keyOf(ann, "\ud800")).not.toBe(keyOf(ann, "\ud801"));
    expect(keyOf(ann, "\ud800")).not.toBe(keyOf(ann, "\\ud800"));
    const anonymous = () => stage.join(grantOf({ ...MAY, sub: "", issuer: "" }));
    const one = anonymous();
    expect(keyOf(one)).toBe(keyOf(one));
    expect(keyOf(one)).not.toBe(keyOf(anonymous()));
  });

  test("of an anonymous client keeps its keys in a session that is resumed, and doesn't show the session's name", () => {
    const stage = new Stage({ deliveryMode: "at-least-once" });
    const grant = grantOf({ ...MAY, sub: "", issuer: "", deliveryMode: "at-least-once" });
    const peer = stage.join(grant);
    const { session } = peer.socket.frames[0] as unknown as { session: string };
    peer.send({ ...publish, payload: 1 });
    peer.connection.closed(1006);
    const again = stage.join(grant, session);
    again.send({ ...publish, payload: 1 });
    const [first, second] = stage.calls.map(({ message }) => message.key);
    expect(second).toBe(first as string);
    expect(first).not.toContain(session);
  });

  test("has a header of its own for each name, which NATS takes as it is", () => {
    const names = ["a", " a", "a ", "%20a", "\ta", "a\u007f", "a%7F", "\ud800", "%uD800", "ü", ""];
    const values = names.map((sub) => publisherHeaders({ sub, issuer: "i" })[0]![1][0]!);
    expect(new Set(values).size).toBe(names.length);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
    for (const value of values) expect(value).not.toMatch(/[\u0000-\u001f\u007f]|^\s|\s$/);
    for (const value of values) expect(value).not.toMatch(/\p{Surrogate}/u);
    expect(publisherHeaders({ sub: "", issuer: "" })).toEqual([]);
  });

  test("says who the client is where that is configured, before all that the client says", () => {
    const stage = new Stage({ publisherHeader: true });
    stage
      .join(grantOf({ ...MAY, sub: "a\r\nX: 1%", issuer: "ü" }))
      .send({ ...publish, payload: 1, headers: { A: ["Spillway-Sub: root"] } });
    stage.join(grantOf({ ...MAY, sub: "", issuer: "" })).send({ ...publish, payload: 1 });
    const [named, anonymous] = stage.calls.map(({ message }) => [...message.headers]);
    expect(named).toEqual([
      ["Spillway-Sub", ["a%0D%0AX: 1%25"]],
      ["Spillway-Issuer", ["ü"]],
      ["A", ["Spillway-Sub: root"]],
    ]);
    expect(anonymous).toEqual([]);
  });
});

describe("request", () => {
  test.each<[string, WantedGrant, object]>([
    ["still allows it", { requests: { allow: ["a.*"], deny: [] } }, { type: "response" }],
    [
      "doesn't allow it",
      { requests: { allow: [">"], deny: ["a.b"] } },
      { type: "error", error: { code: "forbidden", retryable: false } },
    ],
  ])("is answered after a new token that %s", async (_, wanted, answer) => {
    const publisher = new FakePublisher();
    const gate = new AuthHarness({ publisher });
    const peer = gate.join(grantOf(MAY));
    peer.send(request);
    await gate.auth(peer, grantOf({ ...MAY, ...wanted }));
    publisher.calls[0]!.answer({ kind: "reply", data: utf8.encode("1") });
    await settled();
    expect(lastOf(peer)).toMatchObject({ id: "r", ...answer });
    expect(gate.harness.meter.publishing.inFlight).toBe(0);
  });

  test("gets the first answer as it is, with the headers that clients see", async () => {
    const stage = new Stage({ headers: ["trace-id"] });
    const peer = stage.join();
    peer.send(request);
    const headers = new Map([
      ["Trace-Id", ["t"]],
      ["Secret", ["s"]],
      ["Nats-Service-Error", ["no"]],
    ]);
    stage.calls[0]!.answer({
      kind: "reply",
      data: utf8.encode('{"n":12345678901234567890}'),
      headers,
    });
    await settled();
    expect(peer.socket.textFrames.at(-1)!.text).toBe(
      '{"type":"response","id":"r","headers":{"Trace-Id":["t"],"Nats-Service-Error":["no"]},"payload":{"n":12345678901234567890}}',
    );
    peer.send(request);
    stage.calls[1]!.answer({ kind: "reply", data: utf8.encode("no JSON") });
    await settled();
    expect(lastOf(peer)).toEqual({
      type: "response",
      id: "r",
      encoding: "text",
      payload: "no JSON",
    });
    expect(stage.meter).toMatchObject({ requests: 2, inFlight: 0 });
  });

  test("waits as long as it says, at most as long as is configured", () => {
    for (const [asked, allowed, waits] of [
      [undefined, 10_000, 2_000],
      [300, 10_000, 300],
      [60_000, 3_000, 3_000],
    ] as const) {
      const stage = new Stage({ maxRequestTimeoutMs: allowed });
      const peer = stage.join();
      peer.send(asked === undefined ? request : { ...request, timeout_ms: asked });
      stage.harness.clock.advance(waits - 1);
      expect(lastOf(peer)).toMatchObject({ type: "welcome" });
      stage.harness.clock.advance(10);
      expect(lastOf(peer)).toMatchObject({ id: "r", error: { code: "timeout" } });
      expect(stage.meter).toMatchObject({ timeouts: 1, inFlight: 0 });
    }
  });

  test("is cancelled when the client goes, and nobody is told of its answer", async () => {
    const stage = new Stage();
    const peer = stage.join();
    peer.send(request);
    peer.send({ ...publish, payload: 1 });
    expect(stage.meter.inFlight).toBe(2);
    peer.connection.closed(1006);
    expect(stage.calls.map(({ signal }) => signal.aborted)).toEqual([true, false]);
    const count = peer.socket.frames.length;
    for (const call of stage.calls) call.answer({ kind: "published" });
    await settled();
    expect(peer.socket.frames.length).toBe(count);
    expect(stage.meter).toMatchObject({ inFlight: 0, published: 1 });
  });

  test("leaves no timer behind when the gateway stops", async () => {
    const stage = new Stage();
    const peer = stage.join();
    peer.send(request);
    peer.send({ ...publish, payload: 1 });
    const stopped = stage.harness.clients.drain(0);
    stage.harness.clock.advance(10_000);
    await stopped;
    expect(stage.harness.clock.timers).toBe(0);
  });
});

describe("A message is refused", () => {
  const noGrant = {
    publishes: { allow: ["a.*"], deny: ["a.secret"] },
    requests: { allow: ["r.*"], deny: ["r.secret"] },
  };
  const cases: readonly [name: string, frame: object, code: string][] = [
    ["to a subject that isn't allowed", { subject: "b" }, "forbidden"],
    ["to a denied subject", { subject: "a.secret" }, "forbidden"],
    ["to what only requests may be sent to", { subject: "r.a" }, "forbidden"],
    ["to a denied subject, as a request", { type: "request", subject: "r.secret" }, "forbidden"],
    ["to what may only be published to, as a request", { ...ASK, subject: "a.b" }, "forbidden"],
    ["as a request with a header of NATS", { ...ASK, headers: { "Nats-TTL": ["1"] } }, "forbidden"],
    ["as a request that is too large", { ...ASK, payload: "x".repeat(600) }, "too_large"],
    ["as a request without a payload", { ...ASK, payload: undefined }, "malformed"],
    ["to a wildcard", { subject: "a.*" }, "invalid_subject"],
    ["to all", { subject: ">" }, "invalid_subject"],
    ["to a subject with a space", { subject: "a.b c" }, "invalid_subject"],
    ["to a subject with a line end", { subject: "a.b\r\nPUB x 0\r\n" }, "invalid_subject"],
    ["to a subject with NUL", { subject: "a.\u0000" }, "invalid_subject"],
    ["to an empty subject", { subject: "" }, "invalid_subject"],
    ["to a long subject", { subject: `a.${"x".repeat(4000)}` }, "invalid_subject"],
    ["to no subject", { subject: undefined }, "invalid_subject"],
    ["without a payload", { payload: undefined }, "malformed"],
    ["with a payload that isn't empty", { encoding: "empty" }, "malformed"],
    ["with a text that is none", { encoding: "text" }, "malformed"],
    ["with half a surrogate pair", { encoding: "text", payload: "\ud800" }, "malformed"],
    ["with base64 that is none", { encoding: "base64", payload: "a*==" }, "malformed"],
    ["with base64 that is cut off", { encoding: "base64", payload: "QUJDR" }, "malformed"],
    ["with base64 without its padding", { encoding: "base64", payload: "QQ" }, "malformed"],
    ["with base64 that begins with padding", { encoding: "base64", payload: "=QQQ" }, "malformed"],
    ["with base64 of nothing but padding", { encoding: "base64", payload: "====" }, "malformed"],
    ["with an unknown encoding", { encoding: "gzip" }, "malformed"],
    ["with a header of NATS", { headers: { "nats-Msg-Id": ["1"] } }, "forbidden"],
    ["with a header of the gateway", { headers: { "SPILLWAY-sub": ["root"] } }, "forbidden"],
    ["with a header of two lines", { headers: { A: ["1\r\nNats-Rollup: all"] } }, "malformed"],
    ["with NUL in a header", { headers: { A: ["\u0000"] } }, "malformed"],
    ["with a colon in a header's name", { headers: { "A:B": ["1"] } }, "malformed"],
    ["with a header's name of nothing", { headers: { "": ["1"] } }, "malformed"],
    ["with a header that is no list", { headers: { A: "1" } }, "malformed"],
    ["with many headers", { headers: { A: Array(65).fill("1") } }, "malformed"],
    ["with long headers", { headers: { A: ["x".repeat(17_000)] } }, "malformed"],
    ["that is too large", { payload: "x".repeat(600) }, "too_large"],
    ["with no time to wait", { type: "request", timeout_ms: 0 }, "malformed"],
  ];
  for (const [name, frame, code] of cases) {
    test(`${name}: ${code}`, () => {
      const stage = new Stage({ maxFrameBytes: 100_000 });
      const peer = stage.join(grantOf(noGrant));
      peer.send({ ...publish, payload: 1, ...frame });
      expect(lastOf(peer)).toMatchObject({
        type: "error",
        id: "p",
        error: { code, retryable: false },
      });
      expect(stage.calls).toEqual([]);
      expect(stage.meter.inFlight).toBe(0);
    });
  }

  test("to a subject of NATS itself, whatever wildcards the client may use", () => {
    const stage = new Stage();
    const peer = stage.join(grantOf(MAY));
    for (const subject of [
      "$JS.API.STREAM.DELETE.S",
      "$SYS.REQ.USER.INFO",
      "_INBOX.x",
      "$KV.b.k",
    ]) {
      for (const frame of [{ ...publish, payload: 1 }, request]) {
        peer.send({ ...frame, subject });
        expect(lastOf(peer)).toMatchObject({ id: frame.id, error: { code: "forbidden" } });
      }
    }
    expect(stage.calls).toEqual([]);
  });

  test("only for what is wrong with it: the same without that is sent", () => {
    const stage = new Stage();
    const peer = stage.join(grantOf(noGrant));
    peer.send({ ...publish, payload: 1 });
    peer.send({ ...request, ...ASK });
    peer.send({ ...publish, encoding: "base64", payload: "QQ==" });
    peer.send({ ...publish, payload: "x".repeat(498) });
    expect(stage.calls.map(({ action }) => action)).toEqual([
      "publish",
      "request",
      "publish",
      "publish",
    ]);
  });

  test("by default, and without a source that takes it", () => {
    const stage = new Stage();
    const peer = stage.harness.joinV1();
    for (const frame of [{ ...publish, payload: 1 }, request]) {
      peer.send(frame);
      expect(lastOf(peer)).toMatchObject({ id: frame.id, error: { code: "forbidden" } });
    }
    const other = new Harness().joinWith(undefined, V1, false, undefined, grantOf(MAY));
    other.send({ ...publish, payload: 1 });
    expect(lastOf(other)).toMatchObject({ error: { code: "unsupported" } });
  });

  test("in the plain dialect, like every frame that it doesn't have", () => {
    const stage = new Stage();
    stage.harness.join().send({ ...publish, payload: 1 });
    expect(stage.calls).toEqual([]);
  });

  test("if the user publishes too fast, on any connection, and taken again later", () => {
    const stage = new Stage({ maxPublishesPerSecond: 5 });
    const peer = stage.join();
    for (let n = 0; n < 10; n++) peer.send({ ...publish, payload: n });
    expect(stage.calls.length).toBe(10);
    peer.send({ ...publish, payload: 10 });
    expect(lastOf(peer)).toMatchObject(BUSY);
    peer.connection.closed(1000);
    const again = stage.join();
    again.send({ ...publish, payload: 10 });
    expect(lastOf(again)).toMatchObject(BUSY);
    expect(stage.publishing.post(senderOf(grantOf(MAY)), "a", 1)).toMatchObject({
      code: "too_many_requests",
    });
    stage.join(grantOf({ ...MAY, sub: "bob" })).send({ ...publish, payload: 1 });
    expect(stage.calls.length).toBe(11);
    stage.harness.clock.advance(200);
    again.send({ ...publish, payload: 11 });
    expect(stage.calls.length).toBe(12);
  });

  test("if anonymous clients of an address publish too fast, and not those of another one", () => {
    const stage = new Stage({ maxPublishesPerSecond: 1 });
    const anonymous = grantOf({ ...MAY, sub: "", issuer: "" });
    const send = (address: string) => {
      stage.join(anonymous, undefined, address).send({ ...publish, payload: 1 });
    };
    for (let n = 0; n < 5; n++) send("192.0.2.1");
    expect(stage.calls.length).toBe(2);
    send("192.0.2.2");
    expect(stage.calls.length).toBe(3);
  });

  test("if too many of the client's messages wait, and taken once one has its answer", async () => {
    const stage = new Stage();
    const peer = stage.join();
    for (let n = 0; n < 129; n++) peer.send({ ...publish, payload: n });
    expect(stage.calls.length).toBe(128);
    expect(lastOf(peer)).toMatchObject(BUSY);
    stage.calls[0]!.answer({ kind: "published" });
    await settled();
    peer.send({ ...publish, payload: 1 });
    expect(stage.calls.length).toBe(129);
  });

  test("if too many messages of all wait; one user never has all places", async () => {
    const stage = new Stage({ maxPublishesPerSecond: 100_000 });
    const greedy = (n: number) => {
      const peer = stage.join(grantOf({ ...MAY, sub: `user ${n}` }));
      for (let sent = 0; sent < 128; sent++) peer.send({ ...publish, payload: 1 });
      return peer;
    };
    // A quarter of what is left: 2,000 of 10,000.
    for (let connections = 0; connections < 80; connections++) greedy(0);
    expect(stage.calls.length).toBe(2_000);
    const other = greedy(1);
    expect(stage.calls.length).toBe(2_128);
    expect(lastOf(other)).toMatchObject({ type: "welcome" });
    for (let n = 2; stage.calls.length < 10_000; n++) greedy(n);
    const late = stage.join(grantOf({ ...MAY, sub: "late" }));
    late.send({ ...publish, payload: 1 });
    expect(lastOf(late)).toMatchObject(BUSY);
    expect(stage.meter.inFlight).toBe(10_000);
    for (const { answer } of stage.calls) answer({ kind: "published" });
    await settled();
    expect(stage.meter.inFlight).toBe(0);
    late.send({ ...publish, payload: 1 });
    expect(stage.calls.length).toBe(10_001);
  });

  test("if the messages that wait have too many bytes, and taken once one has its answer", async () => {
    const payload = "x".repeat(1024 ** 2 - 2);
    const stage = new Stage({
      maxPublishBytes: 1024 ** 2,
      maxFrameBytes: 2 * 1024 ** 2,
      maxFramesPerSecond: 1e6,
    });
    const peer = stage.join();
    // A quarter of what is left of 64 MiB.
    for (let n = 0; n < 20; n++) peer.send({ ...publish, payload });
    expect(stage.calls.length).toBe(13);
    expect(lastOf(peer)).toMatchObject(BUSY);
    stage.crowd(60, { ...publish, payload });
    expect(stage.calls.length).toBe(64);
    stage.calls[0]!.answer({ kind: "published" });
    await settled();
    stage.crowd(2, { ...publish, payload }, () => "late");
    expect(stage.calls.length).toBe(65);
  });

  test("if it is a request while the answers that may come are too large", async () => {
    const stage = new Stage();
    const ask = (sub: string, count: number, subject = "a.b") => {
      const peer = stage.join(grantOf({ ...MAY, sub }));
      for (let n = 0; n < count; n++) peer.send({ ...request, subject });
      return peer;
    };
    // An answer may have 1 MiB: one user may get a quarter of what is left of 48 MiB.
    const peer = ask("ann", 20);
    expect(stage.calls.length).toBe(9);
    expect(lastOf(peer)).toMatchObject(BUSY);
    for (let n = 0; n < 60; n++) ask(`user ${n}`, 1);
    expect(stage.calls.length).toBe(48);
    for (const { answer } of stage.calls) answer({ kind: "reply", data: utf8.encode("1") });
    await settled();
    // Answers of this subject are small, as far as anybody knows; but 32 MiB are the most for one user.
    ask("bob", 50);
    expect(stage.calls.length).toBe(48 + 32);
    ask("carl", 50);
    expect(stage.calls.length).toBe(48 + 64);
    // The answer of another subject isn't known.
    ask("dan", 20, "a.other");
    expect(stage.calls.length).toBe(48 + 64 + 9);
  });

  test("if it is a request, and the user has not read the answers on other connections", async () => {
    const stage = new Stage();
    const peer = stage.join();
    peer.send(request);
    peer.socket.buffered = 31.5 * 1024 ** 2;
    peer.socket.reads = false;
    stage.calls[0]!.answer({ kind: "reply", data: utf8.encode("1") });
    await settled();
    const other = stage.join();
    other.send(request);
    expect(lastOf(other)).toMatchObject(BUSY);
    stage.join(grantOf({ ...MAY, sub: "bob" })).send(request);
    expect(stage.calls.length).toBe(2);
    peer.socket.buffered = 0;
    other.send(request);
    expect(stage.calls.length).toBe(3);
  });

  /** Returns the client of a connection that was lost with an answer. */
  async function lostWithAnswer(stage: Stage) {
    const peer = stage.join();
    peer.send(request);
    peer.socket.buffered = 40 * 1024 ** 2;
    peer.socket.reads = false;
    stage.calls[0]!.answer({ kind: "reply", data: utf8.encode("1") });
    await settled();
    peer.connection.closed(1006);
    return peer;
  }

  test("not for answers that were lost with the connection", async () => {
    const stage = new Stage();
    await lostWithAnswer(stage);
    stage.join().send(request);
    expect(stage.calls.length).toBe(2);
  });

  test("without looking at connections that have ended", async () => {
    const stage = new Stage();
    const { connection } = await lostWithAnswer(stage);
    let looks = 0;
    Object.defineProperty(connection, "isOver", { get: () => ++looks > 0 });
    stage.join().send(request);
    expect([stage.calls.length, looks]).toEqual([2, 0]);
  });

  test("not for unread answers of a client that was anonymous and has a name now", async () => {
    const publisher = new FakePublisher();
    const gate = new AuthHarness({ publisher });
    const anonymous = grantOf({ ...MAY, sub: "", issuer: "" });
    const peer = gate.join(anonymous);
    peer.send(request);
    peer.send(request);
    const answer = async (call: number) => {
      peer.socket.reads = false;
      peer.socket.buffered = 40 * 1024 ** 2;
      publisher.calls[call]!.answer({ kind: "reply", data: utf8.encode("1") });
      await settled();
    };
    const sent = () => {
      gate.join(anonymous).send(request);
      return publisher.calls.length;
    };
    await answer(0);
    expect(sent()).toBe(2);
    peer.socket.reads = true;
    await gate.auth(peer, grantOf({ ...MAY, sub: "ann" }));
    await answer(1);
    expect(sent()).toBe(3);
  });

  test("if the client doesn't read its answers", () => {
    const stage = new Stage();
    const peer = stage.join();
    peer.socket.reads = false;
    peer.socket.buffered = 1001;
    peer.send(request);
    expect(stage.calls).toEqual([]);
    expect(stage.meter.refused.too_many_requests).toBe(1);
  });

  test("in the log once in a while, with how many others there were", () => {
    const stage = new Stage();
    const peer = stage.join(grantOf({ sub: "ann" }));
    const lines = () => stage.harness.infos.filter(({ event }) => event === "publish_refused");
    for (let n = 0; n < 5; n++) peer.send({ ...publish, payload: n });
    expect(lines()).toEqual([
      expect.objectContaining({ client: 1, sub: "ann", code: "forbidden", others: 0 }),
    ]);
    stage.harness.clock.advance(10_000);
    peer.send({ ...publish, payload: 1 });
    expect(lines()[1]).toMatchObject({ others: 4 });
    expect(stage.meter.refused.forbidden).toBe(6);
  });
});

describe("A message that is posted", () => {
  const post = (
    stage: Stage,
    grant = grantOf(MAY),
    data: Uint8Array = utf8.encode("1"),
    subject = "a.b",
  ) => {
    const posting = stage.publishing.post(senderOf(grant), subject, data.length);
    return "code" in posting ? posting : posting.publish(data);
  };

  test("is published without a key, with the headers that say who the client is", async () => {
    const stage = new Stage({ publisherHeader: true });
    const answer = post(stage, grantOf({ ...MAY, sub: "ann", issuer: "i" }));
    const [{ message }] = stage.calls as [Call];
    expect(message).toEqual({
      subject: "a.b",
      data: utf8.encode("1"),
      headers: new Map([
        ["Spillway-Sub", ["ann"]],
        ["Spillway-Issuer", ["i"]],
      ]),
      key: undefined,
    });
    stage.calls[0]!.answer({ kind: "published", isDuplicate: true });
    expect(await answer).toEqual({ kind: "published", isDuplicate: true });
    expect(stage.meter).toMatchObject({ published: 1, duplicates: 1, inFlight: 0 });
  });

  test("is refused by the same rules as a frame, and counted", async () => {
    const stage = new Stage({ maxPublishBytes: 500, maxPublishesPerSecond: 1 });
    const codeOf = async (...given: [Grant?, Uint8Array?, string?]) => {
      const answer = await post(stage, ...given);
      return "code" in answer ? answer.code : answer.kind;
    };
    expect(await codeOf(grantOf({ requests: ALL }))).toBe("forbidden");
    expect(await codeOf(grantOf(MAY), new Uint8Array(501))).toBe("too_large");
    const answers = [codeOf(), codeOf()];
    expect(await codeOf()).toBe("too_many_requests");
    expect(stage.calls.length).toBe(2);
    stage.calls[0]!.answer({ ...FAILED, code: "unavailable" });
    stage.calls[1]!.answer({ kind: "published" });
    expect(await Promise.all(answers)).toEqual(["unavailable", "published"]);
    const { forbidden, too_large, too_many_requests, unavailable } = stage.meter.refused;
    expect([forbidden, too_large, too_many_requests, unavailable]).toEqual([1, 1, 1, 1]);
    const [line] = stage.harness.infos.filter(({ event }) => event === "publish_refused");
    expect(line).toMatchObject({ address: "192.0.2.1", sub: "ann", action: "publish" });
    expect(line).not.toHaveProperty("client");
  });

  test("has its place from before its body is read until it is published or given up", async () => {
    const stage = new Stage({ maxPublishBytes: 1024 ** 2 });
    const open = (sub: string) =>
      stage.publishing.post(senderOf(grantOf({ ...MAY, sub })), "a", 1024 ** 2);
    const postings = Array.from({ length: 100 }, (_, n) => open(`user ${n}`));
    const held = postings.flatMap((posting) => ("code" in posting ? [] : [posting]));
    expect(held.length).toBe(64);
    expect(stage.meter.inFlight).toBe(64);
    held[0]!.release();
    const answer = held[1]!.publish(utf8.encode("1"));
    stage.calls[0]!.answer({ kind: "published" });
    await answer;
    for (const posting of held.slice(0, 2)) posting.release();
    expect(stage.meter.inFlight).toBe(62);
    for (const sub of ["a", "b", "c"]) open(sub);
    expect(stage.meter.inFlight).toBe(64);
  });

  test("is answered when the gateway stops, like all that wait", async () => {
    const stage = new Stage();
    const answer = post(stage);
    stage.publishing.stop();
    expect(await answer).toMatchObject({ kind: "failed", code: "unavailable", retryable: true });
    expect(stage.calls[0]!.signal.aborted).toBe(true);
    expect(stage.meter.inFlight).toBe(0);
    expect(stage.harness.clock.timers).toBe(0);
  });
});

describe("A trace", () => {
  /** Writes down the messages, and how each ended. */
  function recorder() {
    const sent: OutgoingMessage[] = [];
    const ends: (string | undefined)[] = [];
    const tracer: Tracer = {
      arrived: () => undefined,
      sending(message) {
        sent.push(message);
        const headers = new Map([["traceparent", ["ours"]]]);
        return { headers, end: (failure) => void ends.push(failure) };
      },
    };
    return { sent, ends, stage: new Stage({}, tracer) };
  }

  test("continues that of the client, whose headers of a trace are replaced", () => {
    const { sent, stage } = recorder();
    const headers = { Traceparent: ["theirs"], TraceState: ["a=1"], "X-Kept": ["x"] };
    stage.join().send({ ...publish, payload: 1, headers });
    const [message] = sent;
    expect(message).toMatchObject({ action: "publish", subject: "a.b", bytes: 1 });
    expect([...message!.headers]).toEqual(Object.entries(headers));
    expect([...stage.calls[0]!.message.headers]).toEqual([
      ["X-Kept", ["x"]],
      ["traceparent", ["ours"]],
    ]);
  });

  test("ends once, with the answer, with the failure, and when the client leaves", async () => {
    const { ends, stage } = recorder();
    const [first, second, third] = [stage.join(), stage.join(), stage.join()];
    first.send({ ...publish, payload: 1 });
    second.send(request);
    third.send(request);
    stage.calls[0]!.answer({ kind: "published" });
    stage.calls[1]!.answer({ ...FAILED, code: "no_responders" });
    await settled();
    expect(ends).toEqual([undefined, "no_responders"]);
    third.connection.closed(1006);
    expect(ends).toEqual([undefined, "no_responders", "cancelled"]);
    stage.harness.broadcaster.stop();
    expect(ends).toHaveLength(3);
  });
});
