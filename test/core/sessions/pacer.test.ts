import { describe, expect, test } from "bun:test";
import { Ledger } from "../../../src/core/metering/ledger.ts";
import { Pacer } from "../../../src/core/sessions/pacer.ts";
import { TurnShare } from "../../../src/core/timing/turn-share.ts";
import type { Envelope } from "../../../src/core/wire/envelope.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { endOf, messageOf } from "../support/messages.ts";
import { turnsOf } from "../support/turns.ts";

function pace(maxRate: number, maxQueueMessages = 1000, maxQueueBytes = 1_000_000) {
  const clock = new ManualClock();
  const ledger = new Ledger();
  /** When what was released: number, and what it superseded; what came at the same time stands together. */
  const released: [atMs: number, ...items: string[]][] = [];
  const bounds = { maxQueueMessages, maxQueueBytes, maxQueueAgeMs: 0 };
  const release = ({ sequence, superseded }: Envelope): void => {
    const item = `${sequence}+${superseded}`;
    if (clock.nowMs() === released.at(-1)?.[0]) released.at(-1)?.push(item);
    else released.push([clock.nowMs(), item]);
  };
  const turnShare = new TurnShare(turnsOf(clock));
  const pacer: Pacer = new Pacer(maxRate, bounds, clock, ledger, release, (job) =>
    turnShare.run(pacer, job),
  );
  return { clock, ledger, pacer, released };
}

describe("Pacer", () => {
  test("releases the first message at once, and then the latest of each window", () => {
    const { clock, pacer, released, ledger } = pace(10);
    for (let n = 1; n <= 25; n++) {
      pacer.add(messageOf(n));
      clock.advance(10);
    }
    expect(released).toEqual([
      [0, "1+0"],
      [100, "10+8"],
      [200, "20+9"],
    ]);
    clock.advance(100);
    expect(released.at(-1)).toEqual([300, "25+4"]);
    expect(ledger).toMatchObject({ conflated: 21, queued: 0, queuedBytes: 0 });
    expect(clock.timers).toBe(0);
  });

  test("releases each subject once in a window, in the order of their last messages", () => {
    const { clock, pacer, released } = pace(10);
    for (const [n, subject] of ["a", "b", "c", "a"].entries()) pacer.add(messageOf(n, subject));
    clock.advance(0);
    expect(released).toEqual([[0, "1+0", "2+0", "3+1"]]);
  });

  test("releases very many subjects in several turns, each once in a window", () => {
    const { clock, pacer, released } = pace(10, 20_000);
    for (let n = 1; n <= 10_000; n++) pacer.add(messageOf(n, `s.${n}`));
    const counts: number[] = [];
    let before = 0;
    for (let turn = 0; turn < 4; turn++) {
      clock.turn();
      const { length } = released.flatMap(([, ...items]) => items);
      counts.push(length - before);
      before = length;
      // One of those that were released changes, and waits for the next window.
      if (turn === 0) pacer.add(messageOf(10_001, "s.1"));
    }
    expect(counts).toEqual([4096, 4096, 1808, 0]);
    clock.advance(99);
    expect(released.flatMap(([, ...items]) => items)).toHaveLength(10_000);
    clock.advance(1);
    expect(released.at(-1)).toEqual([100, "10001+0"]);
    expect(clock.timers).toBe(0);
  });

  test("counts what waits as queued, and what is taken from it not", () => {
    const { clock, ledger, pacer } = pace(10);
    const both = [messageOf(1, "a"), messageOf(2, "b")];
    for (const message of both) pacer.add(message);
    expect(ledger.queued).toBe(2);
    expect(ledger.queuedBytes).toBe(pacer.bytes);
    expect([...pacer.drain()]).toEqual(both);
    expect(ledger).toMatchObject({ queued: 0, queuedBytes: 0 });
    expect(clock.timers).toBe(0);
  });

  test("is quiet while nothing comes, and then begins at once again", () => {
    const { clock, pacer, released } = pace(10);
    pacer.add(messageOf(1));
    clock.advance(1000);
    expect(clock.timers).toBe(0);
    pacer.add(messageOf(2));
    clock.advance(0);
    expect(released).toEqual([
      [0, "1+0"],
      [1000, "2+0"],
    ]);
  });

  test("holds back no more than a queue: what does not fit opens the window", () => {
    const { clock, pacer, released, ledger } = pace(0.001, 3);
    for (let n = 1; n <= 7; n++) {
      clock.pause(1);
      pacer.add(messageOf(n, `s${n}`));
    }
    expect(released).toEqual([
      [4, "1+0", "2+0", "3+0"],
      [7, "4+0", "5+0", "6+0"],
    ]);
    expect(ledger.queued).toBe(1);
  });

  test("holds back no more bytes than a queue", () => {
    const { pacer } = pace(0.001, 1000, 2000);
    for (let n = 1; n <= 100; n++) {
      pacer.add(messageOf(n, `s${n}`, 300));
      expect(pacer.bytes).toBeLessThanOrEqual(2000);
    }
  });

  test("of the smallest rate sets a timer that a runtime can keep", () => {
    const { clock, pacer, released } = pace(Number.MIN_VALUE);
    pacer.add(messageOf(1));
    clock.advance(0);
    pacer.add(messageOf(2));
    clock.advance(2 ** 31 - 2);
    expect(released).toHaveLength(1);
    clock.advance(1);
    expect(released).toHaveLength(2);
  });

  test("opens early when told to, and then waits for a whole window", () => {
    const { clock, pacer, released } = pace(10);
    pacer.add(messageOf(1));
    pacer.open();
    pacer.open();
    clock.advance(50);
    pacer.add(messageOf(2));
    clock.advance(49);
    expect(released).toEqual([[0, "1+0"]]);
    clock.advance(1);
    expect(released).toHaveLength(2);
  });

  test("still holds what it has not released yet, and what was superseded, while it releases", () => {
    const held: unknown[] = [];
    const bounds = { maxQueueMessages: 9, maxQueueBytes: 9999, maxQueueAgeMs: 0 };
    const clock = new ManualClock();
    const turnShare = new TurnShare(turnsOf(clock));
    const pacer: Pacer = new Pacer(
      1,
      bounds,
      clock,
      new Ledger(),
      () => held.push(pacer.oldest?.sequence),
      (job) => turnShare.run(pacer, job),
    );
    for (const [n, subject] of ["a", "b", "c", "b"].entries()) pacer.add(messageOf(n + 1, subject));
    expect(pacer.oldest?.sequence).toBe(1);
    pacer.open();
    expect(held).toEqual([2, 2, undefined]);
  });

  test("releases the end of a subject at once if nothing else waits, and begins a window", () => {
    const { clock, pacer, released } = pace(10);
    pacer.add(messageOf(1, "a"));
    clock.advance(10);
    for (const message of [messageOf(2, "a"), endOf(3, "a"), messageOf(4, "b")]) pacer.add(message);
    clock.advance(100);
    expect(released).toEqual([
      [0, "1+0"],
      [10, "3+1"],
      [110, "4+0"],
    ]);
  });

  test("keeps the rate of subjects that stay, however many others end", () => {
    const { clock, pacer, released } = pace(10);
    for (let n = 0; n < 1000; n += 2) {
      pacer.add(messageOf(n, "stays"));
      pacer.add(endOf(n + 1, `run.${n}`));
      clock.advance(1);
    }
    clock.advance(100);
    const sequences = released.map(([atMs, ...items]) => [
      atMs,
      items.map((item) => Number(item.split("+")[0])),
    ]) as [number, number[]][];
    const stays = sequences.filter(([, all]) => all.some((n) => n % 2 === 0));
    expect(stays.map(([atMs]) => atMs)).toEqual([0, 100, 200, 300, 400, 500]);
    const all = sequences.flatMap(([, some]) => some);
    expect(all).toEqual(all.toSorted((one, two) => one - two));
    expect(all.filter((n) => n % 2 === 1)).toHaveLength(500);
  });

  test("releases the end of a subject before a later message of it, behind all that waits", () => {
    const { clock, ledger, pacer, released } = pace(10);
    pacer.add(messageOf(1, "a"));
    clock.advance(10);
    for (const message of [messageOf(2, "b"), messageOf(3, "a"), endOf(4, "a")]) pacer.add(message);
    pacer.add(messageOf(5, "a"));
    clock.advance(99);
    expect(released).toEqual([
      [0, "1+0"],
      [10, "2+0", "4+1"],
    ]);
    clock.advance(1);
    expect(released.at(-1)).toEqual([110, "5+0"]);
    expect(ledger).toMatchObject({ conflated: 1, queued: 0, queuedBytes: 0 });
  });

  test("passes on every end among replayed messages, in order", () => {
    const { ledger, pacer } = pace(10);
    const page = [messageOf(1, "b"), messageOf(2, "a"), endOf(3, "a"), messageOf(4, "a")];
    const due = pacer.passLatest(page, false, 1);
    expect(due.map(({ sequence, superseded }) => [sequence, superseded])).toEqual([
      [1, 0],
      [3, 1],
    ]);
    const rest = pacer.passLatest([endOf(5, "a"), messageOf(6, "a"), messageOf(7, "b")], true, 1);
    expect(rest.map(({ sequence, superseded }) => [sequence, superseded])).toEqual([
      [5, 1],
      [6, 0],
    ]);
    expect(pacer.messages).toBe(1);
    pacer.clear();
    expect(ledger).toMatchObject({ queued: 0, queuedBytes: 0 });
  });
});
