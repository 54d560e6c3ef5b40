import { describe, expect, test } from "bun:test";
import { MemorySource } from "../../src/source/memory.ts";
import { Recorder } from "./recorder.ts";

/** A source that is subscribed to patterns. */
function subscribed(...patterns: string[]): MemorySource {
  const source = new MemorySource();
  for (const pattern of patterns) source.subscribe(pattern);
  return source;
}

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

describe("MemorySource", () => {
  test("delivers what is published, before publish returns", () => {
    const recorder = new Recorder();
    const source = subscribed("orders.>");
    source.start(recorder);
    const headers = new Map([["Nats-Msg-Id", ["1"]]]);
    source.publish({ subject: "orders.eu", data: bytes("hello"), headers });
    expect(recorder.messages.entries).toEqual([
      { subject: "orders.eu", data: bytes("hello"), headers: { "Nats-Msg-Id": ["1"] } },
    ]);
  });

  test("forgets what no pattern matches", () => {
    const recorder = new Recorder();
    const source = subscribed("orders.*");
    source.start(recorder);
    source.publish({ subject: "stock", data: bytes("") });
    expect(recorder.subjects).toEqual([]);
  });

  test("delivers once what several patterns match", () => {
    const recorder = new Recorder();
    const source = subscribed("*.b", "a.*", ">");
    source.start(recorder);
    source.publish({ subject: "a.b", data: bytes("") });
    expect(recorder.subjects).toEqual(["a.b"]);
  });

  test("carries reserved subjects only where a pattern names them", () => {
    const recorder = new Recorder();
    const source = subscribed(">", "$KV.>");
    source.start(recorder);
    for (const subject of ["$SYS.x", "$KV.x", "_INBOX.x"]) {
      source.publish({ subject, data: bytes("") });
    }
    expect(recorder.subjects).toEqual(["$KV.x"]);
  });

  test("delivers nothing before start and after stop, and can be started again", async () => {
    const recorder = new Recorder();
    const source = subscribed(">");
    await source.stop(0);
    source.publish({ subject: "early", data: bytes("") });
    source.start(recorder);
    await source.stop(0);
    await source.stop(0);
    source.publish({ subject: "late", data: bytes("") });
    expect(source.status).toEqual({ state: "idle" });
    source.start(recorder);
    source.publish({ subject: "again", data: bytes("") });
    expect(recorder.subjects).toEqual(["again"]);
    expect(recorder.states).toEqual(["connected", "idle", "connected"]);
  });

  test("says that its connection was lost for a moment if it missed messages, and nothing while it is stopped", () => {
    const recorder = new Recorder();
    const source = subscribed("a", "b");
    source.missed();
    source.start(recorder);
    source.missed();
    expect(recorder.states).toEqual(["connected", "connecting", "connected"]);
    expect(recorder.arrivals.entries).toEqual(["a", "b", "a", "b"]);
  });

  test("says at once that a pattern arrives when it is started, and at its start otherwise", () => {
    const recorder = new Recorder();
    const source = subscribed("before");
    expect(recorder.arrivals.entries).toEqual([]);
    source.start(recorder);
    source.subscribe("after");
    source.subscribe("after");
    expect(recorder.arrivals.entries).toEqual(["before", "after"]);
  });

  test("delivers nothing more that only an unsubscribed pattern matches", () => {
    const recorder = new Recorder();
    const source = subscribed("a.*", "*.b");
    source.start(recorder);
    source.unsubscribe("a.*");
    source.unsubscribe("never");
    for (const subject of ["a.x", "a.b"]) source.publish({ subject, data: bytes("") });
    expect(recorder.subjects).toEqual(["a.b"]);
  });

  test("confirms what clients publish while it is started, and knows nobody who answers requests", async () => {
    const recorder = new Recorder();
    const source = subscribed(">");
    const message = { subject: "a", data: bytes("1"), headers: new Map() };
    const { signal } = new AbortController();
    const publish = () => source.clientPublisher.publish(message, signal);
    expect(await publish()).toMatchObject({ code: "unavailable", retryable: true });
    source.start(recorder);
    expect(await publish()).toEqual({ kind: "published" });
    expect(recorder.subjects).toEqual(["a"]);
    expect(await source.clientPublisher.request(message, signal)).toMatchObject({
      code: "no_responders",
    });
    await source.drain(0);
    expect(await publish()).toMatchObject({ code: "unavailable" });
  });

  test("refuses to be started twice", () => {
    const source = subscribed(">");
    source.start(new Recorder());
    expect(() => source.start(new Recorder())).toThrow("Cannot start a source that is started");
  });

  test("refuses subjects that NATS would refuse", () => {
    const source = subscribed(">");
    expect(() => source.publish({ subject: "a..b", data: bytes("") })).toThrow(
      'Cannot publish to "a..b" as a subject must not contain an empty token',
    );
    expect(() => source.publish({ subject: "a.*", data: bytes("") })).toThrow("wildcard");
    expect(() => subscribed("a.>.b")).toThrow(
      'Cannot subscribe to "a.>.b" as a subject may have ">" only as its last token',
    );
  });
});
