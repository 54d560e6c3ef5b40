import { afterEach, beforeEach, describe, expect, spyOn, test } from "bun:test";
import { PageReader } from "../../src/source/jetstream/page-reader.ts";
import type { StreamApi } from "../../src/source/jetstream/stream-api.ts";
import { WaitingReaders } from "../../src/source/jetstream/waiting-readers.ts";

/** The most readers that wait. */
const MOST = 32;
const QUERY = { origin: "KEPT:1", subjects: ["kept.a", "kept.b"] };

const api = {} as StreamApi;
let readers: WaitingReaders;

beforeEach(() => {
  readers = new WaitingReaders(api);
});

afterEach(() => readers.close());

/** Makes a reader that is at a place, and counts how often it is closed. */
function readerAt(after: number, query = QUERY) {
  const reader = new PageReader(api, query, after);
  return { reader, closed: spyOn(reader, "close") };
}

describe("A reader whose next page nobody has asked for yet", () => {
  test("waits for the first that asks for its query and its place", () => {
    const { reader, closed } = readerAt(7);
    readers.add(reader);
    const others = [
      readers.take(QUERY, 6),
      readers.take({ ...QUERY, origin: "KEPT:2" }, 7),
      readers.take({ ...QUERY, subjects: ["kept.a"] }, 7),
    ];
    expect(others).not.toContain(reader);
    expect(others.map(({ reached }) => reached)).toEqual([6, 7, 7]);
    expect(readers.take(QUERY, 7)).toBe(reader);
    expect(readers.take(QUERY, 7)).not.toBe(reader);
    expect(closed).not.toHaveBeenCalled();
  });

  test("is closed if another one waits at its place", () => {
    const [first, second] = [readerAt(7), readerAt(7)];
    readers.add(first.reader);
    readers.add(second.reader);
    expect(second.closed).toHaveBeenCalledTimes(1);
    expect(readers.take(QUERY, 7)).toBe(first.reader);
  });

  test("is closed if as many wait as may, until one of them is taken", () => {
    for (let after = 0; after < MOST; after++) {
      expect(readers.hasRoom).toBe(true);
      readers.add(readerAt(after).reader);
    }
    expect(readers.hasRoom).toBe(false);
    const late = readerAt(MOST);
    readers.add(late.reader);
    expect(late.closed).toHaveBeenCalledTimes(1);
    readers.take(QUERY, 3);
    expect(readers.hasRoom).toBe(true);
  });

  test("is closed with its connection, also if it would wait after that", () => {
    const [before, after] = [readerAt(1), readerAt(2)];
    readers.add(before.reader);
    readers.close();
    expect(before.closed).toHaveBeenCalledTimes(1);
    expect(readers.hasRoom).toBe(false);
    readers.add(after.reader);
    expect(after.closed).toHaveBeenCalledTimes(1);
    expect(readers.take(QUERY, 1)).not.toBe(before.reader);
  });

  test("is closed when JetStream would delete its consumer soon", () => {
    const timers: { call: () => void; ms: number }[] = [];
    const setting = spyOn(globalThis, "setTimeout").mockImplementation(((
      call: () => void,
      ms: number,
    ) => timers.push({ call, ms })) as unknown as typeof setTimeout);
    const { reader, closed } = readerAt(7);
    readers.add(reader);
    setting.mockRestore();
    expect(timers).toMatchObject([{ ms: 5000 }]);
    expect(closed).not.toHaveBeenCalled();
    timers[0]!.call();
    expect(closed).toHaveBeenCalledTimes(1);
    expect(readers.take(QUERY, 7)).not.toBe(reader);
  });
});
