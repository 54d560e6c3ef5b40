import { describe, expect, test } from "bun:test";
import { Audience, type AudienceMember } from "../../../src/core/fanout/audience.ts";
import { Marks } from "../../../src/core/fanout/marks.ts";
import { Ledger } from "../../../src/core/metering/ledger.ts";
import { PingFrame } from "../../../src/core/ports/ping-frame.ts";
import { SocketWriter } from "../../../src/core/sessions/socket-writer.ts";
import { DenyList } from "../../../src/core/subject/deny-list.ts";
import { PLAIN } from "../../../src/core/wire/dialect.ts";
import { FakeFanout, FakeSocket } from "../support/fake-sockets.ts";
import { Harness } from "../support/harness.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { messageOf } from "../support/messages.ts";

const LIMITS = {
  ...{ markBytes: 1, markIntervalMs: 1000, maxLagMs: 2000, targetLagMs: 250 },
  ...{ highWaterBytes: 100_000, lowWaterBytes: 20_000 },
};

/** A socket that has joined an audience in which each flush has a mark. */
function joined() {
  const clock = new ManualClock();
  const fanout = new FakeFanout();
  const key = { dialect: PLAIN, compresses: false, acked: false, lists: "everything" } as const;
  const audience = new Audience("topic", { ...key, denied: DenyList.NOTHING }, fanout, {
    ...{ options: LIMITS, clock, ledger: new Ledger() },
  });
  audience.live.add({} as AudienceMember);
  const socket = new FakeSocket(fanout);
  const pings: number[] = [];
  Object.assign(socket, { ping: (content: string) => void pings.push(Number(content)) });
  const writer = new SocketWriter(socket, LIMITS, 0);
  writer.join(audience);
  let sequence = 0;
  return {
    clock,
    audience,
    writer,
    /** Writes a message to the audience. @returns the number of the mark behind it. */
    share: (): number => {
      // Marks of an audience follow each other by 200 ms at least.
      clock.pause(210);
      audience.add(messageOf(++sequence));
      audience.flush();
      return audience.marks.last;
    },
    /** Pings this socket alone. @returns the number of the mark. */
    ping: (): number => {
      clock.pause(10);
      writer.pingUnlessSince(clock.nowMs(), clock.nowMs());
      return pings.at(-1) as number;
    },
    confirm: (number: number) => writer.confirm(number, clock.nowMs())?.number,
    unconfirmedMs: () => writer.unconfirmedMs(clock.nowMs()),
  };
}

describe("A pong of a mark of the socket alone", () => {
  test("confirms the marks of the audience before it, and none behind it", () => {
    const { writer, share, ping, confirm, unconfirmedMs } = joined();
    const [first, own, last] = [share(), ping(), share()];
    const bytes = writer.unconfirmedBytes;
    expect(confirm(own)).toBe(own);
    expect(writer.unconfirmedBytes).toBe(bytes / 2);
    expect(unconfirmedMs()).toBe(0);
    expect(confirm(first)).toBeUndefined();
    expect(confirm(last)).toBe(last);
    expect(writer.unconfirmedBytes).toBe(0);
  });

  test("confirms the earlier ones of that socket", () => {
    const { ping, confirm, unconfirmedMs } = joined();
    const [first, second, third] = [ping(), ping(), ping()];
    expect(confirm(second)).toBe(second);
    expect(confirm(first)).toBeUndefined();
    expect(confirm(third)).toBe(third);
    expect(unconfirmedMs()).toBe(0);
  });
});

describe("A pong of a mark of the audience", () => {
  test("confirms the marks of the socket alone before it, and none behind it", () => {
    const { clock, writer, share, ping, confirm, unconfirmedMs } = joined();
    const [before, shared, next, behind] = [ping(), share(), share(), ping()];
    clock.pause(100);
    expect(unconfirmedMs()).toBe(530);
    expect(confirm(shared)).toBe(shared);
    expect(unconfirmedMs()).toBe(110);
    expect(confirm(before)).toBeUndefined();
    expect(confirm(behind)).toBe(behind);
    expect(confirm(next)).toBeUndefined();
    expect(unconfirmedMs()).toBe(0);
    expect(writer.unconfirmedBytes).toBe(0);
  });

  test("confirms nothing of what came before the socket joined, and all of that after it left", () => {
    const { audience, writer, share, confirm, unconfirmedMs } = joined();
    const [first, second] = [share(), share()];
    writer.leave();
    share();
    const bytes = writer.unconfirmedBytes;
    expect(confirm(first)).toBe(first);
    expect(writer.unconfirmedBytes).toBe(bytes / 2);
    writer.join(audience);
    expect(confirm(audience.marks.last)).toBeUndefined();
    expect(confirm(second)).toBe(second);
    expect([writer.unconfirmedBytes, unconfirmedMs()]).toEqual([0, 0]);
  });
});

test("Messages that a member doesn't get with the others aren't in flight to it", () => {
  const harness = new Harness({
    ...LIMITS,
    ...{ deliveryMode: "at-least-once", maxInflightMessages: 2, maxQueueBytes: 100_000 },
  });
  const { socket, connection } = harness.join();
  socket.readsOnDemand();
  for (let n = 0; n < 5; n++) harness.publish("x".repeat(1000));
  harness.clock.advance(1);
  const pings = socket.lists.flat().filter((frame) => frame instanceof PingFrame);
  const pingBytes = pings.reduce((sum, { byteLength }) => sum + byteLength, 0);
  expect(pings.length).toBe(1);
  expect(connection.writer.unconfirmedBytes).toBe(socket.unreadBytes - pingBytes);
  socket.read();
  harness.clock.advance(1);
  expect(connection.writer.unconfirmedBytes).toBe(0);
});

test("Marks are remembered for twice max_lag", () => {
  const marks = new Marks(LIMITS);
  const numbers = Array.from({ length: 1000 }, (_, n) => marks.add(n, n * 100, n * 100).number);
  const first = numbers.at(-41) as number;
  expect(marks.after(0).map(({ number }) => number)).toEqual(numbers.slice(-41));
  expect(marks.find(first)?.bytes).toBe(959);
  expect(marks.find(first - 1)).toBeUndefined();
  expect(marks.next(numbers[0] as number)?.number).toBe(first);
  expect(marks.next(numbers.at(-1) as number)).toBeUndefined();
});
