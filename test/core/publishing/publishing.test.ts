import { describe, expect, test } from "bun:test";
import type { Grant } from "../../../src/core/access/grant.ts";
import type {
  ClientMessage,
  ClientPublisher,
  Published,
  PublishFailure,
  Reply,
} from "../../../src/core/ports/source.ts";
import { V1 } from "../../../src/core/wire/dialect.ts";
import { grantOf, settled } from "../support/auth-harness.ts";
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
const FAILED = { kind: "failed", message: "why", retryable: true } as const;
const utf8 = new TextEncoder();
const textOf = (data: Uint8Array) => new TextDecoder().decode(data);

class Stage {
  readonly publisher = new FakePublisher();
  readonly harness: Harness;

  constructor(options: Partial<HarnessOptions> = {}) {
    this.harness = new Harness({ maxFrameBytes: 100_000, ...options, publisher: this.publisher });
  }

  join(grant: Grant = grantOf(MAY), session?: string): TestClient {
    return this.harness.joinWith(undefined, V1, false, session, grant);
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
      return stage.calls.at(-1)!.message.key;
    };
    const ann = stage.join(grantOf({ ...MAY, sub: "ann" }));
    const key = keyOf(ann);
    expect(keyOf(ann)).toBe(key);
    expect(keyOf(stage.join(grantOf({ ...MAY, sub: "ann" })))).toBe(key);
    expect(keyOf(ann, "q")).not.toBe(key);
    expect(keyOf(stage.join(grantOf({ ...MAY, sub: "bob" })))).not.toBe(key);
    expect(keyOf(stage.join(grantOf({ ...MAY, sub: "ann", issuer: "other" })))).not.toBe(key);
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

  test("says who the client is where that is configured, whatever it is called", () => {
    const stage = new Stage({ publisherHeader: true });
    stage
      .join(grantOf({ ...MAY, sub: "a\r\nX: 1%", issuer: "ü" }))
      .send({ ...publish, payload: 1 });
    stage.join(grantOf({ ...MAY, sub: "", issuer: "" })).send({ ...publish, payload: 1 });
    const [named, anonymous] = stage.calls.map(({ message }) => [...message.headers]);
    expect(named).toEqual([
      ["Spillway-Sub", ["a%0D%0AX: 1%25"]],
      ["Spillway-Issuer", ["ü"]],
    ]);
    expect(anonymous).toEqual([]);
  });
});

describe("request", () => {
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
    const stopped = stage.harness.broadcaster.drain(0);
    stage.harness.clock.advance(10_000);
    await stopped;
    expect(stage.harness.clock.timers).toBe(0);
  });
});

describe("A message is refused", () => {
  const noGrant = { publishes: { allow: ["a.*"], deny: ["a.secret"] }, requests: ALL };
  const cases: readonly [name: string, frame: object, code: string][] = [
    ["to a subject that isn't allowed", { subject: "b" }, "forbidden"],
    ["to a denied subject", { subject: "a.secret" }, "forbidden"],
    ["to a subject of NATS itself", { subject: "$JS.API.STREAM.DELETE.S" }, "forbidden"],
    ["to an inbox", { subject: "_INBOX.x" }, "forbidden"],
    ["to a request's subject of NATS itself", { type: "request", subject: "$SYS.x" }, "forbidden"],
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

  test("if the client publishes too fast, and taken again later", () => {
    const stage = new Stage({ maxPublishesPerSecond: 5 });
    const peer = stage.join();
    for (let n = 0; n < 10; n++) peer.send({ ...publish, payload: n });
    expect(stage.calls.length).toBe(10);
    peer.send({ ...publish, payload: 10 });
    expect(lastOf(peer)).toMatchObject({ error: { code: "too_many_requests", retryable: true } });
    stage.harness.clock.advance(200);
    peer.send({ ...publish, payload: 11 });
    expect(stage.calls.length).toBe(11);
    stage.join().send({ ...publish, payload: 1 });
    expect(stage.calls.length).toBe(12);
  });

  test("if too many of the client's messages wait, and taken once one has its answer", async () => {
    const stage = new Stage();
    const peer = stage.join();
    for (let n = 0; n < 129; n++) peer.send({ ...publish, payload: n });
    expect(stage.calls.length).toBe(128);
    expect(lastOf(peer)).toMatchObject({ error: { code: "too_many_requests", retryable: true } });
    stage.calls[0]!.answer({ kind: "published" });
    await settled();
    peer.send({ ...publish, payload: 1 });
    expect(stage.calls.length).toBe(129);
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
      expect.objectContaining({ sub: "ann", code: "forbidden", others: 0 }),
    ]);
    stage.harness.clock.advance(10_000);
    peer.send({ ...publish, payload: 1 });
    expect(lines()[1]).toMatchObject({ others: 4 });
    expect(stage.meter.refused.forbidden).toBe(6);
  });
});
