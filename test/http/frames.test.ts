/** What the core writes and reads, compared with the published schemas. */

import { describe, expect, test } from "bun:test";
import { Ajv } from "ajv";
import formats from "ajv-formats";
import fc from "fast-check";
import { farewell } from "../../src/core/sessions/close-cause.ts";
import { readClientFrame } from "../../src/core/wire/client-frame.ts";
import { SSE } from "../../src/core/wire/dialect.ts";
import { EnvelopeEncoder, type PayloadFormat } from "../../src/core/wire/envelope.ts";
import { CLIENT_FRAMES } from "../../src/protocol/client-frames.ts";
import { CLOSE_CAUSES } from "../../src/protocol/close-codes.ts";
import { MAX_ID_LENGTH, MAX_PATTERNS, subjectPattern } from "../../src/protocol/fields.ts";
import { copier, type Frame, objectSchema } from "../../src/protocol/schema.ts";
import { DATA_FRAME, SERVER_FRAMES } from "../../src/protocol/server-frames.ts";
import { subjectFault } from "../../src/protocol/subject.ts";
import { AuthHarness, grantOf, settled } from "../core/support/auth-harness.ts";
import type { TestClient } from "../core/support/harness.ts";

const ajv = new Ajv({ strict: false });
formats.default(ajv);

/** The JSON Schema of a frame, checked by a validator that is not ours. */
function schemaOf({ type, fields }: Frame) {
  const json = objectSchema({ type: { json: { const: type } }, ...fields });
  return { json, isValid: ajv.compile(json) };
}

const SENT = new Map(
  [DATA_FRAME, ...Object.values(SERVER_FRAMES)].map((frame: Frame) => [
    frame.type,
    schemaOf(frame),
  ]),
);

/** That the protocol has a frame, and everything that is in it. */
function expectKnown(frame: unknown): void {
  const { json, isValid } = SENT.get((frame as { type: string }).type)!;
  isValid(frame);
  expect(isValid.errors ?? []).toEqual([]);
  expect(copier(json)(frame)).toEqual(frame);
}

/** What server-sent events say, as their lines of data. */
function eventsOf({ socket }: TestClient): unknown[] {
  return socket.textFrames.flatMap(({ text }) =>
    [...text.matchAll(/^data: (.*)$/gm)].map(([, json]) => JSON.parse(json!) as unknown),
  );
}

describe("Frames of the server", () => {
  test("of every type are known by the schemas, as a client gets them", async () => {
    const bounds = { ringMessages: 2, ringBytes: 10_000, maxQueueMessages: 3 };
    const publisher = {
      publish: async () => ({ kind: "published", stored: { stream: "S", sequence: 1 } }) as const,
      request: async () => ({ kind: "reply", data: new Uint8Array(0) }) as const,
    };
    const presenceBucket = { put() {}, delete() {} };
    const gate = new AuthHarness({ ...bounds, publisher, presenceBucket });
    const { harness } = gate;
    const events = harness.joinWith({ id: "", subjects: "everything", after: "old:1" }, SSE);
    const all = { allow: [">"], deny: [] };
    const peer = gate.join(grantOf({ publishes: all, requests: all, presence: all }));
    peer.send({ type: "publish", id: "p", subject: "a", payload: 1 });
    peer.send({ type: "request", id: "r", subject: "a", payload: 1 });
    peer.send({ type: "presence", id: "w", subject: "a", want: "list" });
    peer.send({ type: "presence", id: "w", stop: true });
    await settled();
    const subscribe = { type: "subscribe", subjects: ["a"] };
    peer.send({ type: "ping", id: "x" });
    peer.send({ type: "ping" });
    peer.send("no frame");
    peer.send({ ...subscribe, id: "1", policy: "drop-oldest" });
    peer.send({ ...subscribe, id: "1" });
    peer.send({ ...subscribe, id: "2", subjects: ["a..b"] });
    peer.send({ type: "unsubscribe", sub: "3" });
    const conflating = harness.joinV1();
    conflating.send({ ...subscribe, id: "1", policy: "conflate" });
    for (const { socket } of [peer, conflating]) socket.reads = false;
    harness.publish("x".repeat(2000));
    harness.clock.advance(300);
    for (let n = 0; n < 9; n++) harness.publish(n);
    harness.broadcaster.message({ subject: "a", data: new Uint8Array(0), ends: true });
    for (const { socket } of [peer, conflating]) {
      socket.reads = true;
      socket.buffered = 0;
    }
    harness.clock.advance(300);
    harness.disconnect();
    harness.connect();
    peer.send({ ...subscribe, id: "4", subjects: ["b"], from: { after: "old:1" } });
    peer.send({ type: "unsubscribe", sub: "1" });
    await gate.auth(peer, grantOf({ allow: ["none"], expiresMs: 60_000 }));
    harness.clock.advance(59_000);
    for (let n = 0; n < 3; n++) peer.send("no frame");

    const said = [...peer.socket.frames, ...conflating.socket.frames, ...eventsOf(events)];
    for (const frame of said) expectKnown(frame);
    const types = new Set(peer.socket.frames.map(({ type }) => type));
    expect([...types].sort()).toEqual([...Object.keys(SERVER_FRAMES), "data"].sort());
    expect(conflating.socket.envelopes.some((frame) => "superseded" in frame)).toBe(true);
  });

  test("that say farewell are known for each cause", () => {
    for (const cause of CLOSE_CAUSES) {
      expectKnown(farewell(cause, undefined));
      expectKnown(farewell(cause, { origin: "o", sequence: 7 }));
    }
  });

  test("with a message are known, whatever is in it", () => {
    const data = fc.oneof(
      fc.uint8Array({ maxLength: 40 }),
      fc.oneof(fc.string(), fc.json()).map((text) => new TextEncoder().encode(text)),
    );
    const values = fc.array(fc.string(), { minLength: 1, maxLength: 3 });
    const headers = fc.option(
      fc.array(fc.tuple(fc.constantFrom("Trace", "trace", "Other", "Secret"), values), {
        maxLength: 3,
      }),
      { nil: undefined },
    );
    fc.assert(
      fc.property(
        fc.string({ unit: "binary" }),
        data,
        headers,
        fc.constantFrom<PayloadFormat>("raw", "annotated"),
        fc.nat(3),
        (subject, data, headers, payloadFormat, superseded) => {
          const encoder = new EnvelopeEncoder({ payloadFormat, headers: ["trace", "other"] });
          const message = { subject, data, headers: headers && new Map(headers) };
          const envelope = encoder.encode(message, { origin: "o", sequence: 7 }, 1_732_300_000_000);
          const sent = superseded === 0 ? envelope : envelope.with("superseded", superseded);
          expectKnown(JSON.parse(sent.text));
        },
      ),
      { numRuns: 2000 },
    );
  });
});

describe("Frames of a client", () => {
  const long = [MAX_ID_LENGTH, MAX_ID_LENGTH + 1].map((length) => "x".repeat(length));
  const name = fc.constantFrom<unknown>("1", "", "é😀", ...long, 1, null, {});
  const token = fc.constantFrom(
    "a",
    "*",
    ">",
    "",
    "b>",
    ">b",
    "a b",
    "\u007f",
    "é",
    "\ud800",
    "\n",
  );
  const subject = fc.oneof(
    { weight: 5, arbitrary: fc.array(token, { maxLength: 4 }).map((tokens) => tokens.join(".")) },
    { weight: 5, arbitrary: fc.constantFrom("a", "a.>", "*.b") },
    {
      weight: 1,
      arbitrary: fc.constantFrom(
        ..."x€".split("").flatMap((unit) => [unit.repeat(3072), unit.repeat(3073)]),
        ...[64, 65].map((count) => Array(count).fill("a").join(".")),
      ),
    },
    { weight: 1, arbitrary: fc.constantFrom<unknown>(1, null, ["a"], {}) },
  );
  const subjects = fc.oneof(
    { weight: 8, arbitrary: fc.array(subject, { maxLength: 3 }) },
    {
      weight: 1,
      arbitrary: fc.constantFrom<unknown>(
        "a",
        null,
        { length: 1, 0: "a" },
        Array(MAX_PATTERNS).fill("a"),
        Array(MAX_PATTERNS + 1).fill("a"),
      ),
    },
  );
  const type = fc.constantFrom<unknown>(
    ...[
      "subscribe",
      "subscribe",
      "subscribe",
      "unsubscribe",
      "ping",
      "ack",
      "nack",
      "slow",
      "ok",
      "auth",
    ],
    ...["data", "", 1, null, ["ok"], "toString"],
  );
  const policy = fc.constantFrom<unknown>("conflate", "drop-oldest", "none", "", null, 1);
  const rate = fc.oneof(
    fc.constantFrom<unknown>(0, -0, -1, 0.5, 1000, 1000.5, 5e-324, "1", null, [1]),
    fc.double(),
  );
  const from = fc.oneof(
    fc.constantFrom<unknown>(
      "new",
      "all",
      "first",
      null,
      [],
      {},
      { seq: 1 },
      { seq: 0.5 },
      { time: "2026-01-01T00:00:00Z" },
      { time: "2026" },
      ["after"],
      true,
    ),
    name.map((after) => ({ after, more: 1 })),
  );
  const mode = fc.constantFrom<unknown>("at-most-once", "at-least-once", null, "");
  const fields = {
    type,
    id: name,
    token: name,
    sub: name,
    subjects,
    policy,
    max_rate: rate,
    from,
    mode,
  };
  const near = fc.record(
    { ...fields, upto: name, more: fc.jsonValue() },
    { requiredKeys: ["type"] },
  );
  /** Right but for what is put over it. */
  const nearer = fc
    .tuple(
      fc.constantFrom(
        { type: "subscribe", id: "1", subjects: ["a.>"] },
        { type: "unsubscribe", sub: "1" },
        { type: "ping" },
        { type: "ack", upto: "o:1" },
      ),
      fc.record({ ...fields, upto: name }, { requiredKeys: [] }),
      fc.subarray(Object.keys({ ...fields, upto: name }), { maxLength: 2 }),
    )
    .map(([right, over, keys]) => ({
      ...right,
      ...Object.fromEntries(Object.entries(over).filter(([key]) => keys.includes(key))),
    }));
  const frame = fc.oneof(
    { weight: 5, arbitrary: near },
    { weight: 5, arbitrary: nearer },
    { weight: 1, arbitrary: fc.jsonValue() },
  );

  test.each(["plain", "v1"] as const)(
    "of %s are read by the core exactly where the published schema has them",
    (dialect) => {
      const schemas = Object.values<Frame>(CLIENT_FRAMES)
        .filter(({ dialects }) => dialects.includes(dialect))
        .map((definition) => ({ definition, ...schemaOf(definition) }));
      const counts = { accepted: 0, refused: 0 };
      fc.assert(
        fc.property(frame, (value) => {
          const json = JSON.stringify(value);
          const given = JSON.parse(json);
          const read = readClientFrame(json, dialect);
          const schema = schemas.find(({ isValid }) => isValid(given));
          // Bytes of UTF-8, and halves of surrogate pairs, are beyond JSON Schema.
          const isSubject = (text: string): boolean => subjectFault(text, true) === undefined;
          const isValid =
            schema !== undefined &&
            (schema.definition.type !== "subscribe" || given.subjects.every(isSubject));
          counts[isValid ? "accepted" : "refused"]++;
          if (!isValid) {
            expect(read).toMatchObject({ type: "fault" });
            return;
          }
          const { fields } = schema.definition;
          const has = (name: string) => name === "type" || (name in fields && name in given);
          expect(Object.keys(read).sort()).toEqual(Object.keys(given).filter(has).sort());
          expect(given).toMatchObject(read);
        }),
        { numRuns: 10_000 },
      );
      // Both happen often, or nothing would be said.
      expect(Math.min(counts.accepted, counts.refused)).toBeGreaterThan(500);
    },
  );

  const isPattern = ajv.compile(subjectPattern.json);

  test("name subjects that the core knows as such", () => {
    const text = fc.oneof(
      fc.string({ unit: "binary", maxLength: 12 }),
      fc.string({ unit: fc.constantFrom("a", ".", ">", "*", " ", "\n", "\u007f", "é") }),
    );
    fc.assert(
      fc.property(text, (subject) => {
        // The published pattern refuses nothing that is valid; what it can't say is in the text.
        if (subjectFault(subject, true) === undefined) expect(isPattern(subject)).toBe(true);
        else if (isPattern(subject)) expect(subjectFault(subject, true)).toMatch(/bytes|surrogate/);
      }),
      { numRuns: 10_000 },
    );
  });
});
