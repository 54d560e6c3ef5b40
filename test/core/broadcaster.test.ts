import { describe, expect, spyOn, test } from "bun:test";
import { Stage } from "./support/harness.ts";

describe("Broadcaster fans out", () => {
  test("a message to every client, with the same bytes and id", () => {
    const stage = new Stage();
    const clients = [stage.join(), stage.join(), stage.join()];
    stage.publish({ n: 1 });
    stage.clock.advance(0);
    const [first] = clients[0]!.socket.received;
    expect(clients.map(({ socket }) => socket.received)).toEqual([[first!], [first!], [first!]]);
    expect(clients[0]!.socket.payloads).toEqual([{ n: 1 }]);
    stage.expectBalance();
  });

  test("with one encoding and one write per audience and flush, however many clients there are", () => {
    const stage = new Stage();
    const encode = spyOn(stage.encoder, "encode");
    const clients = Array.from({ length: 1000 }, () => stage.join());
    const writesBefore = stage.fanout.writes;
    for (let n = 0; n < 10; n++) stage.publish(n);
    stage.clock.advance(0);
    expect(encode).toHaveBeenCalledTimes(10);
    expect(stage.fanout.writes - writesBefore).toBe(1);
    expect(clients.every(({ socket }) => socket.writes === 1)).toBe(true);
    expect(stage.meter.sent).toBe(10_000);
    stage.expectBalance();
  });

  test("no encoding when nobody listens", () => {
    const stage = new Stage();
    const encode = spyOn(stage.encoder, "encode");
    stage.publish(1);
    stage.join(["b.>"]);
    stage.publish(2, "a");
    expect(encode).not.toHaveBeenCalled();
    expect(stage.meter.messagesReceived).toBe(2);
    expect(stage.meter.offered).toBe(0);
  });

  test("ids that never repeat and grow with each message", () => {
    const stage = new Stage();
    const { socket } = stage.join();
    for (let n = 0; n < 3; n++) stage.publish(n);
    stage.clock.advance(0);
    const [epochs, counters] = [0, 1].map((part) =>
      socket.said.map(({ id }) => String(id).split(":")[part]),
    );
    expect(new Set(epochs).size).toBe(1);
    expect(counters).toEqual(["1", "2", "3"]);
  });

  test("to a client with a filter only what it wants, once however its patterns overlap", () => {
    const stage = new Stage();
    const { socket } = stage.join(["orders.>", "orders.*", "*.eu"]);
    for (const subject of ["orders.eu", "stock.eu", "stock.us"]) stage.publish(subject, subject);
    stage.clock.advance(0);
    expect(socket.payloads).toEqual(["orders.eu", "stock.eu"]);
    stage.expectBalance();
  });

  test("nothing that was published before a client came", () => {
    const stage = new Stage();
    stage.join();
    stage.publish("before");
    const late = stage.join();
    stage.publish("after");
    stage.clock.advance(0);
    expect(late.socket.payloads).toEqual(["after"]);
    stage.expectBalance();
  });
});

describe("Flush", () => {
  test("happens in the same turn when the last one is longer ago than the interval", () => {
    const stage = new Stage({ flushIntervalMs: 5 });
    const { socket } = stage.join();
    stage.publish(1);
    stage.clock.advance(0);
    expect(socket.received).toHaveLength(1);
  });

  test("otherwise waits until the interval is over, and takes all that came", () => {
    const stage = new Stage({ flushIntervalMs: 5 });
    const { socket } = stage.join();
    stage.publish(1);
    stage.clock.advance(1);
    stage.publish(2);
    stage.publish(3);
    stage.clock.advance(3);
    expect(socket.received).toHaveLength(1);
    stage.clock.advance(1);
    expect(socket.payloads).toEqual([1, 2, 3]);
    expect(socket.writes).toBe(2);
  });

  test("happens at once when the batch reaches its bound in bytes", () => {
    const stage = new Stage({ highWaterBytes: 10_000_000 });
    const { socket } = stage.join();
    stage.publish("x".repeat(130 * 1024));
    expect(socket.received).toHaveLength(1);
  });
});

describe("Broadcaster lets in", () => {
  test("as many clients as max_clients, and closes one more with 4503", () => {
    const stage = new Stage({ maxClients: 1 });
    stage.join();
    expect(stage.broadcaster.refusal).toBe("full");
    const { socket } = stage.join();
    expect(socket.closedWith).toBe(4503);
    expect(stage.meter.clientsActive).toBe(1);
    stage.expectBalance();
  });

  test("nobody before it is open and after it refuses", () => {
    const stage = new Stage();
    stage.broadcaster.refuse();
    expect(stage.broadcaster.refusal).toBe("closed");
    expect(stage.join().socket.closedWith).toBe(1001);
  });
});

describe("Drain", () => {
  test("sends what waits, closes every client with 1001 and leaves no timer", async () => {
    const stage = new Stage({ flushIntervalMs: 100 });
    const { socket } = stage.join();
    stage.publish(1);
    stage.clock.advance(0);
    stage.publish(2);
    await stage.broadcaster.drain(1000);
    expect(socket.payloads).toEqual([1, 2]);
    expect(socket.closedWith).toBe(1001);
    expect(stage.clock.timers).toBe(0);
    stage.expectBalance();
  });

  test("gives a lagging client time to get its queue", async () => {
    const stage = new Stage();
    const { socket, client } = stage.join();
    socket.reads = false;
    stage.publish("x".repeat(1200));
    stage.clock.advance(300);
    expect(client.state).toBe("queued");
    stage.publish("queued");
    const drained = stage.broadcaster.drain(1000);
    expect(socket.closedWith).toBeUndefined();
    socket.buffered = 0;
    stage.clock.advance(20);
    await drained;
    expect(socket.payloads.at(-1)).toBe("queued");
    expect(socket.closedWith).toBe(1001);
    expect(stage.clock.timers).toBe(0);
    stage.expectBalance();
  });

  test("gives up a client that does not close when the time is over", async () => {
    const stage = new Stage();
    const { socket, client } = stage.join(undefined, true);
    const drained = stage.broadcaster.drain(1000);
    stage.clock.advance(999);
    expect(socket.terminated).toBe(false);
    stage.clock.advance(20);
    await drained;
    expect(socket.terminated).toBe(true);
    expect(client.state).toBe("closed");
    expect(stage.clock.timers).toBe(0);
  });
});
