import { describe, expect, test } from "bun:test";
import type { SourceMessage } from "../../src/core/ports/source.ts";
import { PLAIN, SSE, V1 } from "../../src/core/wire/dialect.ts";
import { saysEndOf } from "../../src/core/wire/end-cursor.ts";
import { readEvents } from "../support/event-parser.ts";
import { grantOf } from "./support/auth-harness.ts";
import { Harness, type TestClient } from "./support/harness.ts";

const data = new TextEncoder().encode("1");

function publish({ broadcaster, clock }: Harness, subject: string, more: Partial<SourceMessage>) {
  broadcaster.message({ subject, data, ...more });
  clock.advance(10);
}

/** The items that a client was told of its subjects, in order. */
function toldOf({ socket }: TestClient): unknown[] {
  return socket.frames
    .filter(({ type }) => type === "data" || type === "end")
    .map(({ type, subject }) => `${type} ${subject}`);
}

describe("End of a subject", () => {
  test.each<[string, Partial<SourceMessage>]>([
    ["as its headers say", { headers: new Map([["Spillway-End", [""]]]) }],
    ["as its source says", { ends: true }],
    ["without data", { ends: true, data: new Uint8Array(0) }],
  ])("%s follows its message, for each client of v1 that gets the message", (_, more) => {
    const harness = new Harness();
    const [one, other, neither] = ["a.1", "a.*", "b"].map((subject) => {
      const client = harness.joinV1();
      client.send({ type: "subscribe", id: "1", subjects: [subject] });
      return client;
    }) as [TestClient, TestClient, TestClient];
    const plain = harness.joinWith({ id: "", subjects: "everything" }, PLAIN);
    publish(harness, "a.1", more);
    publish(harness, "a.1", {});
    for (const client of [one, other]) {
      expect(toldOf(client)).toEqual(["data a.1", "end a.1", "data a.1"]);
    }
    expect(toldOf(neither)).toEqual([]);
    expect(plain.socket.frames.map(({ type }) => type)).toEqual(["data", "data"]);
    harness.expectBalance();
  });

  test.each<[string, Partial<SourceMessage>]>([
    ["another name", { headers: new Map([["spillway-end", ["1"]]]) }],
    ["a source that knows better", { headers: new Map([["Spillway-End", ["1"]]]), ends: false }],
  ])("isn't told with %s", (_, more) => {
    const harness = new Harness();
    const client = harness.joinV1();
    client.send({ type: "subscribe", id: "1", subjects: ["a"] });
    publish(harness, "a", more);
    expect(toldOf(client)).toEqual(["data a"]);
  });

  test("isn't told to a client that may not receive the message", () => {
    const harness = new Harness();
    const grant = grantOf({ deny: ["a.secret"] });
    const client = harness.joinWith(undefined, V1, false, undefined, grant);
    client.send({ type: "subscribe", id: "1", subjects: ["a.*"] });
    for (const subject of ["a.secret", "a.open"]) publish(harness, subject, { ends: true });
    expect(toldOf(client)).toEqual(["data a.open", "end a.open"]);
  });

  test("is told once to a client with overlapping subscriptions", () => {
    const harness = new Harness();
    const client = harness.joinV1();
    for (const [id, subject] of ["a", "*", ">"].entries()) {
      client.send({ type: "subscribe", id: `${id}`, subjects: [subject] });
    }
    publish(harness, "a", { ends: true });
    expect(toldOf(client)).toEqual(["data a", "end a"]);
  });

  test("comes from the ring again, also after the ring has grown and lost its first messages", () => {
    const harness = new Harness({ ringMessages: 400, ringBytes: 1_000_000 });
    const client = harness.joinV1();
    client.send({ type: "subscribe", id: "1", subjects: [">"] });
    for (let n = 1; n <= 600; n++) publish(harness, `s.${n}`, { ends: n % 100 === 0 });
    const after = String(client.socket.envelopes[300]!.id);
    const again = harness.joinV1();
    again.send({ type: "subscribe", id: "1", subjects: [">"], from: { after } });
    harness.clock.advance(100);
    const ends = toldOf(again).filter((told) => String(told).startsWith("end"));
    expect(ends).toEqual(["end s.400", "end s.500", "end s.600"]);
    expect(again.socket.envelopes).toHaveLength(299);
  });

  test("doesn't come again to a client that resumes after it, with the id or with the cursor of its event", () => {
    const harness = new Harness({ ringMessages: 10, ringBytes: 10_000 });
    const client = harness.joinV1();
    client.send({ type: "subscribe", id: "1", subjects: ["a"] });
    publish(harness, "a", { ends: true });
    const { id } = client.socket.frames.find(({ type }) => type === "end")!;
    for (const after of [id, `${id}~x`]) {
      const again = harness.joinV1();
      again.send({ type: "subscribe", id: "1", subjects: ["a"], from: { after } });
      harness.clock.advance(100);
      expect(again.socket.notices.filter(({ type }) => type === "gap")).toEqual([]);
      publish(harness, "a", {});
      expect(new Set(toldOf(again))).toEqual(new Set(["data a"]));
    }
  });

  test("stays with a message that is sent again until it is acknowledged", () => {
    const harness = new Harness({ deliveryMode: "at-least-once", ackTimeoutMs: 1000 });
    const client = harness.joinV1();
    client.send({ type: "subscribe", id: "1", subjects: ["a"] });
    publish(harness, "a", { ends: true, data: new Uint8Array(0) });
    harness.clock.advance(3000);
    expect(toldOf(client).slice(0, 4)).toEqual(["data a", "end a", "data a", "end a"]);
    client.send({ type: "ack", id: client.socket.envelopes[0]!.id });
    const before = toldOf(client).length;
    harness.clock.advance(60_000);
    expect(toldOf(client)).toHaveLength(before);
  });

  test("is where an EventSource resumes that is disconnected after it", async () => {
    const harness = new Harness();
    const client = harness.joinWith({ id: "", subjects: ["a"] }, SSE);
    publish(harness, "a", { ends: true });
    client.connection.end("going_away");
    const stream = client.socket.textFrames.map(({ text }) => text).join("");
    const events = readEvents(stream);
    expect(events.at(-1)?.type).toBe("disconnect");
    expect(saysEndOf("a", events.at(-1)!.id)).toBe(true);
  });
});
