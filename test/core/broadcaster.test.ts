import { describe, expect, test } from "bun:test";
import { Harness, stateOf } from "./support/harness.ts";

describe("Broadcaster fans out", () => {
  test("a message to every client, with the same bytes and id", () => {
    const harness = new Harness();
    const clients = [harness.join(), harness.join(), harness.join()];
    harness.publish({ n: 1 });
    harness.clock.advance(0);
    const [first] = clients[0]!.socket.textFrames;
    expect(clients.map(({ socket }) => socket.textFrames)).toEqual([[first!], [first!], [first!]]);
    expect(clients[0]!.socket.payloads).toEqual([{ n: 1 }]);
    harness.expectBalance();
  });

  test("with one encoding and one write per audience and flush, however many clients there are", () => {
    const harness = new Harness();
    const clients = Array.from({ length: 1000 }, () => harness.join());
    const writesBefore = harness.fanout.writes;
    for (let n = 0; n < 10; n++) harness.publish(n);
    harness.clock.advance(0);
    expect(harness.encoder.encoded).toBe(10);
    expect(harness.fanout.writes - writesBefore).toBe(1);
    expect(clients.every(({ socket }) => socket.writes === 1)).toBe(true);
    expect(harness.meter.ledger.sent).toBe(10_000);
    harness.expectBalance();
  });

  test("no encoding when nobody listens", () => {
    const harness = new Harness();
    harness.publish(1);
    harness.join(["b.>"]);
    harness.publish(2, "a");
    expect(harness.encoder.encoded).toBe(0);
    expect(harness.meter.messagesReceived).toBe(2);
    expect(harness.meter.ledger.offered).toBe(0);
  });

  test("ids that never repeat and grow with each message", () => {
    const harness = new Harness();
    const { socket } = harness.join();
    for (let n = 0; n < 3; n++) harness.publish(n);
    harness.clock.advance(0);
    const [epochs, counters] = [0, 1].map((part) =>
      socket.frames.map(({ id }) => String(id).split(":")[part]),
    );
    expect(new Set(epochs).size).toBe(1);
    expect(counters).toEqual(["1", "2", "3"]);
  });

  test("to a client with a filter only what it wants, once however its patterns overlap", () => {
    const harness = new Harness();
    const { socket } = harness.join(["orders.>", "orders.*", "*.eu"]);
    for (const subject of ["orders.eu", "stock.eu", "stock.us"]) harness.publish(subject, subject);
    harness.clock.advance(0);
    expect(socket.payloads).toEqual(["orders.eu", "stock.eu"]);
    harness.expectBalance();
  });

  test("nothing that was published before a client came", () => {
    const harness = new Harness();
    harness.join();
    harness.publish("before");
    const late = harness.join();
    harness.publish("after");
    harness.clock.advance(0);
    expect(late.socket.payloads).toEqual(["after"]);
    harness.expectBalance();
  });
});

describe("Flush", () => {
  test("happens in the same turn when the last one is longer ago than the interval", () => {
    const harness = new Harness({ flushIntervalMs: 5 });
    const { socket } = harness.join();
    harness.publish(1);
    harness.clock.advance(0);
    expect(socket.textFrames).toHaveLength(1);
  });

  test("otherwise waits until the interval is over, and takes all that came", () => {
    const harness = new Harness({ flushIntervalMs: 5 });
    const { socket } = harness.join();
    harness.publish(1);
    harness.clock.advance(1);
    harness.publish(2);
    harness.publish(3);
    harness.clock.advance(3);
    expect(socket.textFrames).toHaveLength(1);
    harness.clock.advance(1);
    expect(socket.payloads).toEqual([1, 2, 3]);
    expect(socket.writes).toBe(2);
  });

  test("happens at once when the batch reaches its bound in bytes", () => {
    const harness = new Harness({ highWaterBytes: 10_000_000 });
    const { socket } = harness.join();
    harness.publish("x".repeat(130 * 1024));
    expect(socket.textFrames).toHaveLength(1);
  });
});

describe("Broadcaster lets in", () => {
  test("as many clients as max_clients, and closes one more with 4503", () => {
    const harness = new Harness({ maxClients: 1 });
    harness.join();
    expect(harness.clients.refusal).toBe("full");
    const { socket } = harness.join();
    expect(socket.closedWith).toBe(4503);
    expect(harness.meter.clientsActive).toBe(1);
    harness.expectBalance();
  });

  test("nobody before it is open and after it refuses", () => {
    const harness = new Harness();
    harness.clients.refuse();
    expect(harness.clients.refusal).toBe("closed");
    expect(harness.join().socket.closedWith).toBe(1001);
  });
});

describe("Drain", () => {
  test("sends what waits, closes every client with 1001 and leaves no timer", async () => {
    const harness = new Harness({ flushIntervalMs: 100 });
    const { socket } = harness.join();
    harness.publish(1);
    harness.clock.advance(0);
    harness.publish(2);
    await harness.clients.drain(1000);
    expect(socket.payloads).toEqual([1, 2]);
    expect(socket.closedWith).toBe(1001);
    expect(harness.clock.timers).toBe(0);
    harness.expectBalance();
  });

  test("gives a lagging client time to get its queue", async () => {
    const harness = new Harness();
    const { socket, session } = harness.join();
    socket.reads = false;
    harness.publish("x".repeat(1200));
    harness.clock.advance(300);
    expect(stateOf(session)).toBe("queued");
    harness.publish("queued");
    const drained = harness.clients.drain(1000);
    expect(socket.closedWith).toBeUndefined();
    socket.buffered = 0;
    harness.clock.advance(20);
    await drained;
    expect(socket.payloads.at(-1)).toBe("queued");
    expect(socket.closedWith).toBe(1001);
    expect(harness.clock.timers).toBe(0);
    harness.expectBalance();
  });

  test("gives up a client that does not close when the time is over", async () => {
    const harness = new Harness();
    const { socket, connection } = harness.join(undefined, true);
    const drained = harness.clients.drain(1000);
    harness.clock.advance(999);
    expect(socket.terminated).toBe(false);
    harness.clock.advance(20);
    await drained;
    expect(socket.terminated).toBe(true);
    expect(connection.state).toBe("closed");
    expect(harness.clock.timers).toBe(0);
  });
});

describe("An exception", () => {
  const broken = (): never => {
    throw new Error("broken");
  };

  test("while messages are sent to some clients keeps no others from theirs", () => {
    const harness = new Harness();
    const [first, second] = [harness.join(["a"]), harness.join(["b"])];
    harness.publish(1, "a");
    harness.publish(2, "b");
    first.socket.write = broken;
    expect(() => harness.clock.advance(5)).toThrow("broken");
    harness.clock.advance(5);
    expect(second.socket.payloads).toEqual([2]);
  });

  test("while clients are checked doesn't end the checks", () => {
    const harness = new Harness({ pingIntervalMs: 1000, readTimeoutMs: 3000 });
    const [first, silent] = [harness.join(), harness.join()];
    const { checkLife } = first.connection;
    first.connection.checkLife = broken;
    expect(() => harness.clock.advance(1000)).toThrow("broken");
    first.connection.checkLife = checkLife;
    harness.clock.advance(10_000);
    expect(silent.socket.closedWith).toBe(4513);
  });
});
