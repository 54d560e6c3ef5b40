import { describe, expect, test } from "bun:test";
import { MemorySource } from "../../src/source/memory.ts";
import { Recorder } from "./recorder.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

describe("MemorySource", () => {
  test("delivers what is published, before publish returns", () => {
    const recorder = new Recorder();
    const source = new MemorySource({ subjects: ["orders.>"] });
    source.start(recorder);
    const headers = new Map([["Nats-Msg-Id", ["1"]]]);
    source.publish({ subject: "orders.eu", data: bytes("hello"), headers });
    expect(recorder.messages.entries).toEqual([
      { subject: "orders.eu", data: bytes("hello"), headers: { "Nats-Msg-Id": ["1"] } },
    ]);
  });

  test("forgets what no subject matches", () => {
    const recorder = new Recorder();
    const source = new MemorySource({ subjects: ["orders.*"] });
    source.start(recorder);
    source.publish({ subject: "stock", data: bytes("") });
    expect(recorder.subjects).toEqual([]);
  });

  test("delivers once what several subjects match", () => {
    const recorder = new Recorder();
    const source = new MemorySource({ subjects: ["*.b", "a.*", ">"] });
    source.start(recorder);
    source.publish({ subject: "a.b", data: bytes("") });
    expect(recorder.subjects).toEqual(["a.b"]);
  });

  test("carries reserved subjects only where a subject names them", () => {
    const recorder = new Recorder();
    const source = new MemorySource({ subjects: [">", "$KV.>"] });
    source.start(recorder);
    for (const subject of ["$SYS.x", "$KV.x", "_INBOX.x"]) {
      source.publish({ subject, data: bytes("") });
    }
    expect(recorder.subjects).toEqual(["$KV.x"]);
  });

  test("delivers nothing before start and after stop, and can be started again", async () => {
    const recorder = new Recorder();
    const source = new MemorySource({ subjects: [">"] });
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

  test("refuses to be started twice", () => {
    const source = new MemorySource({ subjects: [">"] });
    source.start(new Recorder());
    expect(() => source.start(new Recorder())).toThrow("Cannot start a source that is started");
  });

  test("refuses subjects that NATS would refuse", () => {
    const source = new MemorySource({ subjects: [">"] });
    expect(() => source.publish({ subject: "a..b", data: bytes("") })).toThrow(
      'Cannot publish to "a..b" as a subject must not contain an empty token',
    );
    expect(() => source.publish({ subject: "a.*", data: bytes("") })).toThrow("wildcard");
    expect(() => new MemorySource({ subjects: ["a.>.b"] })).toThrow(
      'Cannot subscribe to "a.>.b" as a subject may have ">" only as its last token',
    );
    expect(() => new MemorySource({ subjects: [] })).toThrow("without subjects");
  });
});
