import { describe, expect, test } from "bun:test";
import { PostWindow } from "../../src/workers/post-window.ts";

const KB = 1024;

/** A window, whose test says when the others have taken what was sent. */
function open() {
  const flushes: (() => void)[] = [];
  const posted: string[] = [];
  const window = new PostWindow(() => new Promise<void>((resolve) => flushes.push(resolve)));
  const post = (name: string, bytes: number, signal = new AbortController().signal): void =>
    window.whenRoom(() => {
      posted.push(name);
      window.sent(bytes);
    }, signal);
  /** Answers the flush that is under way. */
  const flush = async (): Promise<void> => {
    flushes.shift()?.();
    for (let turn = 0; turn < 5; turn++) await Promise.resolve();
  };
  return { flushes, posted, post, flush };
}

describe("Posts to other workers", () => {
  test("leave at once while the others are less than 1 MiB behind, and are asked about from half of that on", () => {
    const { flushes, posted, post } = open();
    post("a", 400 * KB);
    expect(flushes).toHaveLength(0);
    post("b", 400 * KB);
    post("c", 400 * KB);
    expect(posted).toEqual(["a", "b", "c"]);
    expect(flushes).toHaveLength(1);
  });

  test("wait in their order until the others have taken enough", async () => {
    const { posted, post, flush } = open();
    for (const name of ["a", "b", "c", "d"]) post(name, 600 * KB);
    expect(posted).toEqual(["a", "b"]);
    await flush();
    expect(posted).toEqual(["a", "b", "c"]);
    // A small one doesn't overtake.
    post("e", 1);
    expect(posted).toEqual(["a", "b", "c"]);
    await flush();
    expect(posted).toEqual(["a", "b", "c", "d", "e"]);
  });

  test("are not sent if nobody waits for them any more", async () => {
    const { posted, post, flush } = open();
    post("a", 2000 * KB);
    const left = new AbortController();
    post("b", 1, left.signal);
    post("c", 1);
    left.abort();
    post("d", 1, left.signal);
    await flush();
    expect(posted).toEqual(["a", "c"]);
  });

  test("of no bytes count, too", () => {
    const { posted, post } = open();
    for (let n = 0; n < 2000; n++) post(`${n}`, 0);
    expect(posted).toHaveLength(1024);
  });
});
