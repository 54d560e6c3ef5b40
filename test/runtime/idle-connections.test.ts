import { expect, test } from "bun:test";
import { PassThrough } from "node:stream";
import { IdleConnections } from "../../src/runtime/idle-connections.ts";

let nowMs = 0;

function makeIdle(count: number): { idle: IdleConnections; sockets: PassThrough[] } {
  nowMs = 0;
  const idle = new IdleConnections(() => nowMs);
  const sockets = Array.from({ length: count }, () => new PassThrough());
  for (const socket of sockets) {
    nowMs += 1000;
    idle.add(socket);
  }
  return { idle, sockets };
}

const ended = (sockets: PassThrough[]): number[] =>
  sockets.flatMap(({ destroyed }, index) => (destroyed ? [index] : []));

test("Connections that have waited the longest end first, no more than asked for", () => {
  const { idle, sockets } = makeIdle(4);
  nowMs = 60_000;
  expect(idle.end(2)).toBe(2);
  expect(ended(sockets)).toEqual([0, 1]);
  expect(idle.end(9)).toBe(2);
  expect(idle.end(9)).toBe(0);
});

test("A connection that had a request less than five seconds ago stays", () => {
  const { idle, sockets } = makeIdle(4);
  nowMs = 7500;
  expect(idle.end(9)).toBe(2);
  expect(ended(sockets)).toEqual([0, 1]);
});

test("A connection that has a request, or ended by itself, is not among them", async () => {
  const { idle, sockets } = makeIdle(3);
  idle.remove(sockets[0]!);
  sockets[1]!.destroy();
  await new Promise((resolve) => sockets[1]!.once("close", resolve));
  nowMs = 60_000;
  expect(idle.end(9)).toBe(1);
  expect(ended(sockets)).toEqual([1, 2]);
  expect(sockets[0]!.listenerCount("close")).toBe(0);
});
