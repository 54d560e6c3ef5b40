import { expect, test } from "bun:test";
import { readPublishAnswer } from "../../src/source/jetstream/publish-answer.ts";

const read = (value: unknown) => readPublishAnswer(new TextEncoder().encode(JSON.stringify(value)));
const refused = (code: number, errorCode: number) =>
  read({ error: { code, err_code: errorCode, description: "why" }, stream: "S", seq: 0 });

test("JetStream's answer has the stream, the sequence, and whether it was a duplicate", () => {
  expect(read({ stream: "S", seq: 7 })).toEqual({
    kind: "published",
    stored: { stream: "S", sequence: 7 },
    isDuplicate: false,
  });
  expect(read({ stream: "S", seq: 7, duplicate: true, domain: "d" })).toMatchObject({
    isDuplicate: true,
  });
});

test("A refusal is retryable if the stream may take the message later", () => {
  expect(refused(503, 10077)).toMatchObject({ code: "unavailable", retryable: true });
  expect(refused(400, 10109)).toMatchObject({ code: "unavailable", retryable: false });
  expect(refused(400, 10054)).toMatchObject({ code: "too_large", retryable: false });
  expect(refused(503, 10008)).toMatchObject({ message: "the stream refuses the message: why" });
});

test("What a subscriber answers is no answer of JetStream", () => {
  const others = [
    1,
    null,
    "x",
    [],
    {},
    { stream: "S" },
    { stream: 1, seq: 1 },
    { stream: "S".repeat(256), seq: 1 },
    { stream: "S", seq: 0 },
  ];
  for (const other of [
    ...others,
    { stream: "S", seq: "1" },
    { stream: "S", seq: 1.5 },
    { error: "no" },
  ]) {
    expect(read(other)).toBeUndefined();
  }
  for (const bytes of [[], [0xff], [0x7b]]) {
    expect(readPublishAnswer(Uint8Array.from(bytes))).toBeUndefined();
  }
});
