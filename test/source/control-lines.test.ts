import { describe, expect, test } from "bun:test";
import { ControlLines } from "../../src/source/control-lines.ts";

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;

/** Lines, and a time that passes as the test says. */
function open() {
  let nowMs = 0;
  const lines = new ControlLines(() => nowMs);
  return {
    lines,
    pass: (ms: number) => {
      nowMs += ms;
    },
    takes: (bytes: number) => lines.reasonOf("x".repeat(bytes), 0) === undefined,
  };
}

describe("Lines of NATS' protocol", () => {
  test("have no limit until NATS ends the connection for one", () => {
    const { lines, takes } = open();
    expect(takes(4000)).toBe(true);
    lines.tooLong(1000);
    expect([takes(500), takes(501)]).toEqual([true, false]);
    expect(lines.reasonOf("x".repeat(500), 10)).toBe(
      "this NATS server accepts no subject longer than 490 bytes",
    );
  });

  test("may be as long as one that NATS took", () => {
    const { lines, takes } = open();
    lines.taken(800);
    lines.tooLong(1000);
    expect([takes(800), takes(801)]).toEqual([true, false]);
  });

  test("may be as long as the longest one that NATS took, not the last one", () => {
    const { lines, takes } = open();
    lines.taken(800);
    lines.taken(100);
    lines.tooLong(1000);
    expect([takes(800), takes(801)]).toEqual([true, false]);
  });

  test("that NATS took are too long as soon as it ends the connection for one of the same length", () => {
    const { lines, takes } = open();
    lines.taken(800);
    lines.tooLong(800);
    expect([takes(400), takes(401)]).toEqual([true, false]);
  });

  test("have a limit after two unexplained losses with a long one under way, not after one", () => {
    const { lines, takes } = open();
    lines.lost(1000);
    expect(takes(1000)).toBe(true);
    lines.lost(1000);
    expect(takes(1000)).toBe(false);
  });

  test.each([
    ["a short one", 512],
    ["one as long as NATS took before", 900],
  ])("have no limit after losses with %s under way", (_, bytes) => {
    const { lines, takes } = open();
    lines.taken(900);
    for (let time = 0; time < 3; time++) lines.lost(bytes);
    expect(takes(4000)).toBe(true);
  });

  test("have no limit after losses that are far apart, as those of restarts are", () => {
    const { lines, pass, takes } = open();
    for (let restart = 0; restart < 5; restart++) {
      lines.lost(1000);
      pass(11 * MINUTE_MS);
    }
    expect(takes(4000)).toBe(true);
  });

  test("are tried again after ten minutes, and ever more rarely while the server ends the connection for them", () => {
    const { lines, pass, takes } = open();
    let cuts = 0;
    for (let minute = 0; minute < (10 * DAY_MS) / MINUTE_MS; minute++) {
      if (takes(1000)) {
        cuts++;
        lines.tooLong(1000);
      }
      if (minute === 9) expect(cuts).toBe(1);
      if (minute === 10) expect(cuts).toBe(2);
      pass(MINUTE_MS);
    }
    // 10 min, 20 min … 21 h, then a day each.
    expect(cuts).toBe(17);
    pass(DAY_MS);
    expect(takes(4000)).toBe(true);
  });

  test("have the limit of the present server, also if another one took longer lines before", () => {
    const { lines, takes } = open();
    lines.taken(3000);
    lines.tooLong(2000);
    expect([takes(1000), takes(1001)]).toEqual([true, false]);
    lines.taken(900);
    lines.tooLong(1000);
    expect([takes(900), takes(901)]).toEqual([true, false]);
  });

  test("that the gateway needs itself are never the cause", () => {
    const { lines, takes } = open();
    lines.tooLong(0);
    lines.tooLong(200);
    expect(takes(4000)).toBe(true);
  });
});
