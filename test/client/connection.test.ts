/** The rules of reconnecting, tokens, the page's life and slow loops, on a fake platform. */
import { describe, expect, test } from "bun:test";
import {
  type ConnectOptions,
  connect,
  GapError,
  type Item,
  MemoryCursors,
  presence,
  webStorageCursors,
} from "spillway/client";
import { FakePlatform, type FakeSocket, settled } from "./support/fake-platform.ts";

const WELCOME = {
  ...{ type: "welcome", session: "s-1", version: "0", server_time: 0, ping_interval_ms: 30_000 },
  ...{ upstream: "connected", delivery_mode: "at-most-once" },
  limits: { max_frame_bytes: 65_536, max_subscriptions: 64 },
};

function start(options: ConnectOptions = {}) {
  const fake = new FakePlatform();
  const connection = connect("https://gateway/ws", { platform: fake.platform, ...options });
  const welcome = async (more: object = {}): Promise<FakeSocket> => {
    await settled();
    fake.last.open();
    fake.last.say({ ...WELCOME, ...more });
    await settled();
    return fake.last;
  };
  return { fake, connection, welcome };
}

function data(n: number, more: object = {}): object {
  return { type: "data", id: `S:e:${n}`, timestamp: 0, subject: "a.b", payload: { n }, ...more };
}

function confirm(socket: FakeSocket, from = "S:e:0"): void {
  for (const { type, id, subjects } of [...socket.sent]) {
    if (type !== "subscribe") continue;
    socket.say({ type: "subscribed", id, sub: id, subjects, policy: "drop-oldest", from });
  }
}

describe("A connection", () => {
  test("speaks the protocol, with its token as a subprotocol", async () => {
    const { fake, welcome } = start({ token: "töken" });
    await welcome();
    expect(fake.last.url).toBe("wss://gateway/ws");
    expect(fake.last.protocols).toEqual(["spillway.v1.json", "spillway-token.dMO2a2Vu"]);
  });

  test.each([4400, 4401, 4409, 4429, 1009])("stops for good after %d", async (code) => {
    const { fake, connection, welcome } = start();
    (await welcome()).end(code, "why");
    await fake.advance(300_000);
    expect(fake.sockets.length).toBe(1);
    expect(connection.state).toMatchObject({
      type: "closed",
      error: { code: "refused", closeCode: code },
    });
    expect([fake.timers.size, fake.listeners.size]).toEqual([0, 0]);
  });

  test.each([1001, 1006, 4503, 4510, 4511, 4512, 4513])("comes back after %d", async (code) => {
    const { fake, welcome } = start();
    (await welcome()).end(code);
    await fake.advance(1000);
    expect(fake.sockets.length).toBe(2);
  });

  test("stops for good after 4512 if its token never changes", async () => {
    const { fake, connection, welcome } = start({ token: "fixed" });
    (await welcome()).end(4512, "token expired");
    await fake.advance(300_000);
    expect(fake.sockets.length).toBe(1);
    expect(connection.state).toMatchObject({
      type: "closed",
      error: { code: "refused", closeCode: 4512, message: "Disconnected: 4512 token expired" },
    });
  });

  test.each(["half a {", "null", '{"type":"data","payload":"%","encoding":"base64"}'])(
    "comes back after a gateway has sent %p",
    async (garbage) => {
      const { fake, connection, welcome } = start();
      const orders = connection.subscribe("a.>");
      const socket = await welcome();
      confirm(socket);
      expect(() => socket.onmessage?.({ data: garbage })).not.toThrow();
      expect([connection.state.type, orders.isOver]).toEqual(["waiting", false]);
      await fake.advance(1000);
      expect(fake.sockets.length).toBe(2);
      await connection.close();
    },
  );

  test("waits at least 30 s after 4403", async () => {
    const { fake, welcome } = start();
    (await welcome()).end(4403);
    await fake.advance(29_999);
    expect(fake.sockets.length).toBe(1);
    await fake.advance(16_000);
    expect(fake.sockets.length).toBe(2);
  });

  test("does what `disconnect` says, whatever the code", async () => {
    const { fake, connection, welcome } = start();
    const socket = await welcome();
    socket.say({
      type: "disconnect",
      code: 4429,
      reason: "busy",
      reconnect: true,
      retry_after_ms: 7000,
    });
    socket.end(4429);
    expect(connection.state).toMatchObject({ type: "waiting", untilMs: fake.nowMs + 7000 });
    fake.live("online");
    await fake.advance(6999);
    expect(fake.sockets.length).toBe(1);
    await fake.advance(1);
    const second = await welcome();
    second.say({ type: "disconnect", code: 4503, reason: "gone", reconnect: false });
    second.end(4503);
    expect(connection.state.type).toBe("closed");
  });

  test("doubles its waits up to 30 s, and begins anew after a stable minute", async () => {
    const { fake, connection, welcome } = start();
    const waits: number[] = [];
    for (let attempt = 0; attempt < 9; attempt++) {
      await settled();
      fake.last.end();
      if (connection.state.type !== "waiting") throw new Error(connection.state.type);
      waits.push(connection.state.untilMs - fake.nowMs);
      await fake.advance(connection.state.untilMs - fake.nowMs);
    }
    // Half of the limit, as the fake's random number is 0.5; and a second between attempts at least.
    expect(waits).toEqual([1000, 1000, 1000, 2000, 4000, 8000, 15_000, 15_000, 15_000]);
    const socket = await welcome();
    await fake.advance(20_000);
    socket.say({ type: "pong" });
    for (let minute = 0; minute < 4; minute++) {
      await fake.advance(20_000);
      socket.say({ type: "pong" });
    }
    socket.end();
    expect(connection.state).toMatchObject({ untilMs: fake.nowMs + 250 });
  });

  test("keeps its socket while the page is hidden, and connects again only when it is visible", async () => {
    const { fake, connection, welcome } = start();
    const socket = await welcome();
    fake.live("hidden");
    expect(socket.closedWith).toBeUndefined();
    socket.end();
    await fake.advance(600_000);
    expect([fake.sockets.length, connection.state.type]).toEqual([1, "idle"]);
    fake.live("visible");
    await fake.advance(0);
    expect(fake.sockets.length).toBe(2);
  });

  test("finds a dead network within seconds of `online`", async () => {
    const { fake, connection, welcome } = start();
    const socket = await welcome();
    fake.live("online");
    expect(socket.sent.at(-1)).toMatchObject({ type: "ping" });
    await fake.advance(5000);
    expect(connection.state.type).toBe("waiting");
    expect(socket.closedWith).toBe(3000);
  });

  test("waits no longer, and finds a dead network as soon, if the clock is set back", async () => {
    const { fake, connection, welcome } = start();
    const socket = await welcome();
    fake.setClock(-3_600_000);
    await fake.advance(30_000);
    expect(socket.sent.at(-1)).toMatchObject({ type: "ping" });
    await fake.advance(5000);
    expect(connection.state.type).toBe("waiting");
    await fake.advance(1000);
    const second = await welcome();
    second.say({
      type: "disconnect",
      code: 4503,
      reason: "",
      reconnect: true,
      retry_after_ms: 9000,
    });
    fake.setClock(-7_200_000);
    second.end(4503);
    fake.setClock(-10_800_000);
    fake.live("online");
    await fake.advance(8999);
    expect(fake.sockets.length).toBe(2);
    await fake.advance(1);
    expect(fake.sockets.length).toBe(3);
    await connection.close();
  });

  test("closes so that it can resume when the page is left, and comes back with it", async () => {
    const { fake, welcome } = start();
    const socket = await welcome();
    fake.live("pagehide");
    expect(socket.closedWith).toBe(3000);
    await fake.advance(100_000);
    expect(fake.sockets.length).toBe(1);
    fake.live("pageshow");
    await fake.advance(0);
    expect(fake.sockets.length).toBe(2);
  });

  test("never comes back when its owner has closed it, whatever happens", async () => {
    const { fake, connection, welcome } = start();
    const socket = await welcome();
    await connection.close();
    expect(socket.closedWith).toBe(1000);
    socket.end();
    for (const event of ["visible", "online", "pageshow"] as const) fake.live(event);
    await fake.advance(600_000);
    expect([fake.sockets.length, fake.timers.size, fake.listeners.size]).toEqual([1, 0, 0]);
    expect(() => connection.subscribe("a")).toThrow("closed");
  });

  test("drops what an older transport says", async () => {
    const { fake, connection, welcome } = start();
    const items: Item<unknown>[] = [];
    const subscription = connection.subscribe("a.>", { from: "new" });
    void (async () => {
      for await (const item of subscription) items.push(item);
    })();
    const old = await welcome();
    fake.live("online");
    await fake.advance(6000);
    const socket = await welcome();
    confirm(socket);
    old.say(data(9));
    old.end(4401);
    await settled();
    expect([items, connection.state.type]).toEqual([[], "open"]);
  });

  test("gives up an attempt that gets no welcome, and a URL that never comes", async () => {
    const fake = new FakePlatform();
    let asked = 0;
    const url = (): Promise<string> => {
      asked++;
      return new Promise(() => {});
    };
    const connection = connect(url, { platform: fake.platform });
    await fake.advance(60_000);
    expect(asked).toBeGreaterThan(2);
    await connection.close();
  });

  test("says whether it can't connect or has been lost", async () => {
    const { fake, connection, welcome } = start();
    const messages: string[] = [];
    connection.on("error", ({ message }) => messages.push(message));
    await settled();
    fake.last.end();
    await fake.advance(1000);
    const socket = await welcome();
    socket.end(1001, "going away");
    await connection.close();
    expect(messages).toEqual([
      "Cannot connect: 1006 (see the gateway's log)",
      "Disconnected: 1001 going away",
    ]);
  });

  test("fetches one token at a time, and a new one when the old one expires", async () => {
    const reasons: string[] = [];
    const token = async (why: string): Promise<string> => {
      reasons.push(why);
      return `t${reasons.length}`;
    };
    const { fake, welcome } = start({ token });
    const socket = await welcome();
    socket.say({ type: "token_expiring", expires_in_ms: 9000 });
    socket.say({ type: "token_expiring", expires_in_ms: 8000 });
    await settled();
    expect(reasons).toEqual(["connect", "expiring"]);
    expect(socket.sent.filter(({ type }) => type === "auth").at(-1)).toMatchObject({ token: "t2" });
    socket.say({
      ...{ type: "error", id: socket.sent.at(-1)?.id },
      error: { code: "unavailable", message: "later", retryable: true },
    });
    await fake.advance(1000);
    expect(socket.sent.at(-1)).toMatchObject({ type: "auth", token: "t3" });
  });

  test("says so if no token comes, asks for another one, and leaves no timer when it is closed", async () => {
    let asked = 0;
    const { fake, connection, welcome } = start({
      token: () => (++asked < 2 ? new Promise<string>(() => {}) : "late"),
    });
    const errors: string[] = [];
    connection.on("error", ({ code, message }) => errors.push(`${code}: ${message}`));
    await fake.advance(9_999);
    expect([asked, errors]).toEqual([1, []]);
    await fake.advance(1_001);
    expect(errors).toEqual([
      'token: The function "token" failed: Error: no token came within 10 s',
    ]);
    await welcome();
    expect([asked, connection.state.type]).toEqual([2, "open"]);
    await connection.close();
    const hanging = start({ token: () => new Promise<string>(() => {}) });
    await settled();
    await hanging.connection.close();
    expect([fake.timers.size, hanging.fake.timers.size]).toEqual([0, 0]);
  });

  test("ends with an error if the gateway wants a token and there is none", async () => {
    const { connection, welcome } = start();
    await welcome({ session: "" });
    expect(connection.state).toMatchObject({
      type: "closed",
      error: { code: "unauthenticated", retryable: false },
    });
  });

  test("uses a kept token again unless it expires within 30 s", async () => {
    let count = 0;
    const lives = [3600, 9999];
    const { fake, welcome } = start({
      token: () => `x.${btoa(JSON.stringify({ exp: 1000 + lives[count++]! }))}.x`,
    });
    (await welcome()).end();
    await fake.advance(1000);
    const second = await welcome();
    expect([fake.sockets.length, count]).toEqual([2, 1]);
    fake.sleep(3_580_000);
    second.end();
    await fake.advance(1000);
    expect([fake.sockets.length, count]).toEqual([3, 2]);
  });
});

describe("A subscription", () => {
  test("drops its oldest messages if its loop is slow, and a gap in their place says how many", async () => {
    const { connection, welcome } = start();
    const subscription = connection.subscribe("a.>", { from: "new", buffer: 4 });
    const socket = await welcome();
    confirm(socket);
    for (let n = 1; n <= 10; n++) socket.say(data(n));
    expect(socket.sent.at(-1)).toEqual({ type: "slow" });
    const loop = subscription[Symbol.asyncIterator]();
    expect((await loop.next()).value).toMatchObject({
      ...{ type: "gap", reason: "buffer", from: "S:e:1", to: "S:e:6", count: 6, exact: true },
    });
    for (const n of [7, 8, 9, 10])
      expect((await loop.next()).value).toMatchObject({ payload: { n } });
    expect(socket.sent.at(-1)).toEqual({ type: "ok" });
    await connection.close();
  });

  test.each(["drop-oldest", "drop-newest", "conflate"] as const)(
    "holds a bounded number of items while its loop is stalled, with %p, and none is unaccounted for",
    async (policy) => {
      const { connection, welcome } = start();
      const subscription = connection.subscribe("a.>", { from: "new", policy, buffer: 4 });
      const socket = await welcome();
      const { id, subjects } = socket.sent[0]!;
      socket.say({ type: "subscribed", id, sub: id, subjects, policy, from: "S:e:0" });
      const rounds = 2000;
      for (let n = 0; n < rounds; n++) {
        const subject = `a.${n}`;
        const gap = { type: "gap", from: `S:e:${10 * n + 2}`, to: `S:e:${10 * n + 4}` };
        socket.say(data(10 * n + 1, { subject, superseded: 1 }));
        socket.say({ type: "end", subject, id: `S:e:${10 * n + 1}` });
        socket.say({ ...gap, reason: "slow", count: 3 });
        socket.say({ ...gap, reason: "expired", count: 2, exact: false });
        socket.say({ ...gap, reason: "upstream", count: 0, exact: false });
        socket.say({ type: "caught_up", sub: id });
      }
      const items: Item<unknown>[] = [];
      // The loop still reads what waits.
      socket.say({ type: "unsubscribed", sub: id, reason: "forbidden" });
      const drained = (async () => {
        for await (const item of subscription) items.push(item);
      })();
      await expect(drained).rejects.toMatchObject({ code: "forbidden" });
      const counts: Record<string, number> = { data: 0 };
      let isExact = true;
      for (const item of items) {
        if (item.type === "data") counts.data! += 1 + item.superseded;
        if (item.type !== "gap") continue;
        counts[item.reason] = (counts[item.reason] ?? 0) + item.count;
        if (item.reason === "slow" || item.reason === "buffer") isExact &&= item.exact;
        else expect(item.exact).toBe(false);
      }
      expect(counts).toMatchObject({ slow: 3 * rounds, expired: 2 * rounds, upstream: 0 });
      expect(counts.data! + counts.buffer!).toBe(2 * rounds);
      expect(isExact).toBe(true);
      expect(items.length).toBeLessThan(4 + 5 * 150);
      await connection.close();
    },
  );

  test("tells a gap before the messages that follow it, also if it was joined with others", async () => {
    const { connection, welcome } = start();
    const subscription = connection.subscribe("a.>", { from: "new", buffer: 2 });
    const socket = await welcome();
    confirm(socket);
    const slow = (from: number, to: number): object => {
      return {
        type: "gap",
        from: `S:e:${from}`,
        to: `S:e:${to}`,
        count: 1 + to - from,
        reason: "slow",
      };
    };
    socket.say(
      data(1),
      slow(2, 3),
      slow(4, 4),
      data(5),
      slow(6, 7),
      data(8),
      data(9),
      slow(10, 10),
    );
    const loop = subscription[Symbol.asyncIterator]();
    const seen: unknown[] = [];
    for (let n = 0; n < 5; n++) seen.push((await loop.next()).value);
    expect(seen).toMatchObject([
      { type: "gap", reason: "buffer", from: "S:e:1", to: "S:e:5", count: 2 },
      { type: "gap", reason: "slow", from: "S:e:2", to: "S:e:7", count: 5 },
      { payload: { n: 8 } },
      { payload: { n: 9 } },
      { type: "gap", reason: "slow", from: "S:e:10", to: "S:e:10", count: 1 },
    ]);
    await connection.close();
  });

  test("keeps the latest message of each subject with `conflate`", async () => {
    const { connection, welcome } = start();
    const subscription = connection.subscribe("a.>", { from: "new", policy: "conflate" });
    const socket = await welcome();
    const { id, subjects } = socket.sent[0]!;
    socket.say({ type: "subscribed", id, sub: id, subjects, policy: "conflate", from: "S:e:0" });
    for (let n = 1; n <= 9; n++) socket.say(data(n, { subject: `a.${n % 2}` }));
    const loop = subscription[Symbol.asyncIterator]();
    expect((await loop.next()).value).toMatchObject({ payload: { n: 8 }, superseded: 3 });
    expect((await loop.next()).value).toMatchObject({ payload: { n: 9 }, superseded: 4 });
    await connection.close();
  });

  test("resumes after its last message, and gets none twice", async () => {
    const { fake, connection, welcome } = start();
    const subscription = connection.subscribe<{ n: number }>("a.>", { from: "all" });
    let socket = await welcome();
    confirm(socket);
    socket.say(data(1), data(2));
    socket.end();
    await fake.advance(1000);
    socket = await welcome();
    expect(socket.sent[0]).toMatchObject({ from: { after: "S:e:2" } });
    confirm(socket, "S:e:2");
    socket.say(data(2), data(3));
    const seen: number[] = [];
    for await (const { payload } of subscription.messages()) {
      seen.push(payload.n);
      if (seen.length === 3) break;
    }
    expect(seen).toEqual([1, 2, 3]);
  });

  test("gives bytes, empty and invalid payloads as what they are", async () => {
    const { connection, welcome } = start();
    const schema = {
      "~standard": {
        ...{ version: 1 as const, vendor: "test" },
        validate: (value: unknown) =>
          value === 13 ? { issues: [{ message: "unlucky" }] } : { value },
      },
    };
    const subscription = connection.subscribe("a.>", { from: "new", schema });
    const socket = await welcome();
    confirm(socket);
    socket.say(data(1, { encoding: "base64", payload: "AP8=" }));
    socket.say(data(2, { encoding: "empty", payload: null }), data(3, { payload: 13 }));
    const loop = subscription[Symbol.asyncIterator]();
    expect((await loop.next()).value).toMatchObject({ payload: new Uint8Array([0, 255]) });
    expect((await loop.next()).value).toMatchObject({ payload: null });
    const issues = [{ message: "unlucky" }];
    expect((await loop.next()).value).toMatchObject({ type: "invalid", payload: 13, issues });
    await connection.close();
  });

  test("ends if its schema throws, and the gateway hears of it", async () => {
    const { connection, welcome } = start();
    const validate = (): never => {
      throw new Error("broken schema");
    };
    const schema = { "~standard": { version: 1, vendor: "test", validate } } as const;
    const orders = connection.subscribe("a.>", { schema });
    const socket = await welcome();
    confirm(socket);
    socket.say(data(1));
    await expect(orders[Symbol.asyncIterator]().next()).rejects.toThrow("broken schema");
    expect([orders.isOver, socket.sent.at(-1)?.type]).toEqual([true, "unsubscribe"]);
    await connection.close();
  });

  test.each([0, -1, Number.NaN])("has room for at least one message, not %d", async (buffer) => {
    const { connection } = start();
    expect(() => connection.subscribe("a.>", { buffer })).toThrow(RangeError);
    await connection.close();
  });

  test("throws a GapError where only messages are wanted", async () => {
    const { connection, welcome } = start();
    const subscription = connection.subscribe("a.>", { from: "new" });
    const socket = await welcome();
    confirm(socket);
    socket.say({ type: "gap", from: "S:e:1", to: "S:e:2", count: 2, reason: "slow" });
    await expect(subscription.messages().next()).rejects.toBeInstanceOf(GapError);
  });

  test("that is refused throws in its loop, and rejects `ready`", async () => {
    const { connection, welcome } = start();
    const subscription = connection.subscribe("secret");
    const socket = await welcome();
    const error = { code: "forbidden", message: "no", retryable: false };
    socket.say({ type: "error", id: socket.sent[0]!.id, error });
    await expect(subscription.ready).rejects.toMatchObject({ code: "forbidden" });
    await expect(subscription[Symbol.asyncIterator]().next()).rejects.toMatchObject({
      code: "forbidden",
    });
  });

  test("takes the answer to an `unsubscribe` of its name, which was another one's, for no refusal", async () => {
    const { connection, welcome } = start();
    const orders = connection.subscribe("a.>");
    const socket = await welcome();
    const [{ id }] = socket.sent.filter(({ type }) => type === "subscribe") as [{ id: string }];
    const error = { code: "unknown_subscription", message: "there is none", retryable: false };
    socket.say({ type: "error", id, error });
    confirm(socket);
    await orders.ready;
    socket.say(data(1));
    expect((await orders[Symbol.asyncIterator]().next()).value).toMatchObject({ id: "S:e:1" });
    await connection.close();
  });

  test.each([
    [undefined, ["S:e:2"]],
    ["work", []],
  ])(
    "that is left acknowledges what its loop did not read, unless a durable (%p) keeps it",
    async (durable, expected) => {
      const { fake, connection, welcome } = start();
      const orders = connection.subscribe("a.>", { ...(durable !== undefined && { durable }) });
      const delivery = { ack_timeout_ms: 5000, session_ttl_ms: 60_000, resumed: false };
      const socket = await welcome({ delivery_mode: "at-least-once", delivery });
      confirm(socket);
      socket.say(data(1));
      socket.say(data(2));
      for await (const { type } of orders) if (type === "data") break;
      await fake.advance(1000);
      const acks = socket.sent.filter(({ type }) => type === "ack");
      expect(acks.flatMap(({ ids, upto }) => ids ?? [upto])).toEqual(expected);
      await connection.close();
    },
  );

  test.each(["refused", "held back"])(
    "that is left keeps no message that it has %s from being acknowledged",
    async (how) => {
      const { fake, connection, welcome } = start();
      const rest = connection.subscribe("a.>", { from: "new" });
      const left = connection.subscribe("a.b", { from: how === "refused" ? "new" : "all" });
      const delivery = { ack_timeout_ms: 5000, session_ttl_ms: 60_000, resumed: false };
      const socket = await welcome({ delivery_mode: "at-least-once", delivery });
      confirm(socket);
      const loop = rest[Symbol.asyncIterator]();
      socket.say(data(1));
      await loop.next();
      loop.next().catch(() => {});
      if (how === "refused") {
        const { value } = await left[Symbol.asyncIterator]().next();
        if (value?.type === "data") value.nack();
      }
      left.close();
      socket.say(data(1, { redelivery: 1 }));
      await fake.advance(1000);
      const acks = socket.sent.filter(({ type }) => type === "ack");
      expect(acks.flatMap(({ ids, upto }) => ids ?? [upto])).toContain("S:e:1");
      await connection.close();
    },
  );

  test("holds up no replay by what it holds back, and may refuse that later", async () => {
    const { fake, connection, welcome } = start();
    const [one, other] = [1, 2].map(() =>
      connection.subscribe("a.>", { from: "all" })[Symbol.asyncIterator](),
    );
    const delivery = { ack_timeout_ms: 5000, session_ttl_ms: 60_000, resumed: false };
    const socket = await welcome({ delivery_mode: "at-least-once", delivery });
    confirm(socket);
    socket.say(data(1));
    await fake.advance(100);
    const acked = () =>
      socket.sent.flatMap(({ type, ids, upto }) => (type === "ack" ? (ids ?? [upto]) : []));
    // The gateway sends the rest of the replay only if there is room.
    expect(acked()).toEqual(["S:e:1"]);
    for (const { id } of [...socket.sent]) socket.say({ type: "caught_up", sub: id });
    const first = await one!.next();
    expect(first.value).toMatchObject({ id: "S:e:1", redelivery: 0 });
    expect((await other!.next()).value).toMatchObject({ id: "S:e:1", redelivery: 0 });
    if (first.value?.type === "data") first.value.nack();
    expect((await one!.next()).value).toMatchObject({ type: "caught_up" });
    await fake.advance(5000);
    expect((await one!.next()).value).toMatchObject({ id: "S:e:1", redelivery: 1 });
    await connection.close();
  });

  test.each([0, 5000])(
    "gets again what it has refused, though another one had acknowledged it and %d others before",
    async (others) => {
      const { fake, connection, welcome } = start();
      const one = connection.subscribe("a.>", { from: "all" })[Symbol.asyncIterator]();
      const delivery = { ack_timeout_ms: 5000, session_ttl_ms: 60_000, resumed: false };
      const socket = await welcome({ delivery_mode: "at-least-once", delivery });
      confirm(socket);
      socket.say(data(1));
      const { value } = await one.next();
      if (value?.type === "data") value.ack();
      const other = connection.subscribe("a.b", { from: "all" })[Symbol.asyncIterator]();
      await settled();
      confirm(socket);
      // The gateway sends it again before it hears of the first one's acknowledgement.
      socket.say(data(1));
      for (const { id } of socket.sent) socket.say({ type: "caught_up", sub: id });
      const first = await other.next();
      expect(first.value).toMatchObject({ id: "S:e:1", redelivery: 0 });
      for (let n = 2; n < 2 + others; n++) {
        socket.say(data(n, { subject: "a.c" }));
        while ((await one.next()).value?.type !== "data") {}
      }
      one.next().catch(() => {});
      if (first.value?.type === "data") first.value.nack();
      await fake.advance(5000);
      let again = await other.next();
      while (again.value?.type !== "data") again = await other.next();
      expect(again.value).toMatchObject({ id: "S:e:1", redelivery: 1 });
      again.value.ack();
      await connection.close();
    },
  );

  test("acknowledges in frames that the gateway takes", async () => {
    const { fake, connection, welcome } = start();
    const orders = connection.subscribe("a.>", { durable: "work" });
    const socket = await welcome({
      ...{ delivery_mode: "at-least-once", limits: { max_frame_bytes: 1024 } },
      delivery: { ack_timeout_ms: 5000, session_ttl_ms: 60_000, resumed: false },
    });
    confirm(socket);
    const ids = Array.from({ length: 600 }, (_, n) => `ä"${n}:e:${n}`);
    for (const id of ids) socket.say(data(0, { id }));
    const loop = orders[Symbol.asyncIterator]();
    for (const _ of ids) await loop.next();
    orders[Symbol.asyncIterator]()
      .next()
      .catch(() => {});
    await fake.advance(1000);
    const acks = socket.sent.filter(({ type }) => type === "ack");
    expect(acks.flatMap((frame) => frame.ids)).toEqual(ids);
    for (const ack of acks)
      expect(Buffer.byteLength(JSON.stringify(ack))).toBeLessThanOrEqual(1024);
    expect(acks.length).toBeLessThan(20);
    await connection.close();
  });

  test("continues where the last one of its name ended on the same connection", async () => {
    const { connection, welcome } = start();
    const first = connection.subscribe("a.>", { from: "new", session: "main" });
    const socket = await welcome();
    confirm(socket);
    socket.say(data(1), data(2));
    const loop = first[Symbol.asyncIterator]();
    for (let n = 0; n < 2; n++) await loop.next();
    first.close();
    connection.subscribe("a.>", { from: "new", session: "main" });
    // The second message may not have been processed.
    expect(socket.sent.at(-1)).toMatchObject({ type: "subscribe", from: { after: "S:e:1" } });
    await connection.close();
  });

  test("gets its messages in order while another one, which was ahead, has just been closed", async () => {
    const { connection, welcome } = start();
    const behind = connection.subscribe<{ n: number }>("a.>", { from: { after: "S:e:1" } });
    const ahead = connection.subscribe<{ n: number }>("a.b", { from: { after: "S:e:4" } });
    const socket = await welcome();
    confirm(socket);
    socket.say(data(2));
    ahead.close();
    // The gateway has sent this before it knows.
    socket.say(data(5));
    socket.say({ type: "unsubscribed", sub: socket.sent[1]!.id });
    socket.say(data(3), data(4), { type: "caught_up", sub: socket.sent[0]!.id }, data(6));
    const loop = behind[Symbol.asyncIterator]();
    const seen: number[] = [];
    while (seen.length < 5) {
      const { value: item } = await loop.next();
      if (item?.type === "data") seen.push(item.payload.n);
    }
    expect(seen).toEqual([2, 3, 4, 5, 6]);
    await connection.close();
  });

  test("gets its messages in order while one that has begun again is still sent older ones", async () => {
    const { connection, welcome } = start();
    connection.subscribe("a.b", { from: "new" });
    const socket = await welcome();
    confirm(socket, "S:e:1");
    connection.subscribe("a.>", { from: "all" });
    confirm(socket);
    socket.say(data(1), data(2));
    const behind = connection.subscribe<{ n: number }>("a.b", { from: "all" });
    const ids = socket.sent.flatMap(({ type, id }) => (type === "subscribe" ? [id] : []));
    // Only one wants this: what was held back for it is older.
    socket.say(data(3, { subject: "a.c" }));
    connection.subscribe("a.c", { from: "all" });
    confirm(socket);
    socket.say(data(2), data(1), { type: "unsubscribed", sub: ids[3] });
    socket.say({ type: "caught_up", sub: ids[4] });
    const seen: unknown[] = [];
    for await (const item of behind) {
      if (item.type === "caught_up") break;
      seen.push(item.type === "data" ? item.payload.n : item.type);
    }
    expect(seen).toEqual([1, 2]);
    await connection.close();
  });

  test.each([{ after: "S:e:4" }, { seq: 5 }, { time: "2026-01-01T00:00:00Z" }])(
    "from %p gets no older messages that another one is sent",
    async (from) => {
      const { connection, welcome } = start();
      const later = connection.subscribe<{ n: number }>("a.>", { from });
      connection.subscribe("a.>", { from: "all" });
      const socket = await welcome();
      socket.say(data(1));
      confirm(socket, "S:e:4");
      socket.say(data(2), data(5));
      for (const { id } of socket.sent) socket.say({ type: "caught_up", sub: id });
      const { value } = await later[Symbol.asyncIterator]().next();
      expect(value).toMatchObject({ id: "S:e:5" });
      await connection.close();
    },
  );

  test("after a message that is no longer kept is told what it misses", async () => {
    const { connection, welcome } = start();
    const items = connection.subscribe("a.>", { from: { after: "S:e:1" } })[Symbol.asyncIterator]();
    const socket = await welcome();
    confirm(socket, "S:e:3");
    socket.say({ type: "gap", reason: "expired", from: "S:e:2", to: "S:e:3", count: 2 }, data(4));
    expect(await items.next()).toMatchObject({ value: { type: "gap", to: "S:e:3", count: 2 } });
    expect(await items.next()).toMatchObject({ value: { type: "data", id: "S:e:4" } });
    await connection.close();
  });

  test("is told its own gaps, and those that name no subscription", async () => {
    const { connection, welcome } = start();
    const live = connection.subscribe("a.>")[Symbol.asyncIterator]();
    const from = { after: "S:e:1" };
    const behind = connection.subscribe("a.>", { from })[Symbol.asyncIterator]();
    const socket = await welcome();
    confirm(socket, "S:e:3");
    const expired = { type: "gap", reason: "expired", exact: false };
    socket.say({ ...expired, from: "S:e:2", to: "S:e:3", count: 2, sub: socket.sent[1]!.id });
    socket.say({ ...expired, from: "S:e:4", to: "S:e:6", count: 3 });
    expect(await behind.next()).toMatchObject({ value: { from: "S:e:2", to: "S:e:6", count: 5 } });
    expect(await live.next()).toMatchObject({ value: { from: "S:e:4", to: "S:e:6", count: 3 } });
    await connection.close();
  });

  test("hears of a new stream for itself, if the news of another one doesn't reach as far back", async () => {
    const { fake, connection, welcome } = start();
    connection.subscribe("a.b", { from: { after: "S:e:6" } });
    connection.subscribe("a.>", { from: { after: "S:e:1" } });
    let socket = await welcome();
    confirm(socket);
    const gap = { type: "gap", reason: "stream_reset", count: 0, exact: false };
    socket.say({ ...gap, from: "S:e:6", to: "S:f:0" });
    socket.end();
    await fake.advance(1000);
    socket = await welcome();
    const asked = socket.sent.map(({ from }) => from);
    expect(asked).toEqual([{ after: "S:f:0" }, { after: "S:e:1" }]);
    await connection.close();
  });

  test("begins again if another one may need what it was sent, and only then", async () => {
    const { connection, welcome } = start();
    const socket = await welcome();
    const asked = (): unknown[] => socket.sent.splice(0).map(({ type, from }) => from ?? type);
    connection.subscribe("a.b", { from: "all" });
    connection.subscribe("a.>", { from: "all" });
    expect(asked()).toEqual(["all", "all"]);
    // The gateway sends it once, and regards both as having it.
    socket.say(data(1));
    connection.subscribe("a.*", { from: "all" });
    expect(asked()).toEqual(["unsubscribe", "unsubscribe", "all", "all", "all"]);
    await connection.close();
  });

  test("that holds back too many messages declares all that it drops, in whichever order they came", async () => {
    const { connection, welcome } = start();
    const first = connection.subscribe("a.>", { from: "all", buffer: 1 });
    connection.subscribe("a.>", { from: "all" });
    const socket = await welcome();
    confirm(socket);
    const next = first[Symbol.asyncIterator]().next();
    // Both may bring each of them. There is room for 8.
    for (let n = 11; n <= 18; n++) socket.say(data(n));
    for (let n = 1; n <= 10; n++) socket.say(data(n));
    socket.say({ type: "caught_up", sub: socket.sent[0]!.id });
    expect((await next).value).toEqual({
      ...{ type: "gap", reason: "buffer", from: "S:e:1", to: "S:e:18", count: 10, exact: true },
    });
    await connection.close();
  });

  test("gets its replay as it comes, also after one that was refused when it had been left", async () => {
    const { connection, welcome } = start();
    const all = connection.subscribe<{ n: number }>("a.>", { from: "all", buffer: 1 });
    const refused = connection.subscribe("a.b", { from: "new" });
    const socket = await welcome();
    const [first, second] = socket.sent as { id: string }[];
    refused.close();
    for (const code of ["limit_exceeded", "unknown_subscription"]) {
      socket.say({
        ...{ type: "error", id: second!.id },
        error: { code, message: "no", retryable: false },
      });
    }
    socket.say({
      type: "subscribed",
      sub: first!.id,
      subjects: ["a.>"],
      from: "S:e:0",
      start_from: "all",
    });
    const seen: unknown[] = [];
    const reading = (async () => {
      for await (const item of all) {
        if (item.type === "caught_up") break;
        seen.push(item.type === "data" ? item.payload.n : item.type);
      }
    })();
    // There is room for 8 that are held back.
    for (let n = 1; n <= 10; n++) {
      socket.say(data(n));
      await settled();
    }
    expect(seen).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    socket.say({ type: "caught_up", sub: first!.id });
    await reading;
    await connection.close();
  });

  test("gets those that were held back in the order of their streams", async () => {
    const { connection, welcome } = start();
    const first = connection.subscribe("a.>", { from: "all" });
    connection.subscribe("a.>", { from: "all" });
    const socket = await welcome();
    confirm(socket);
    for (const id of ["S:f:3", "S:e:10", "S:e:12", "S:f:2"]) socket.say(data(0, { id }));
    socket.say({ type: "caught_up", sub: socket.sent[0]!.id });
    const seen: string[] = [];
    for await (const item of first) {
      if (item.type === "caught_up") break;
      if (item.type === "data") seen.push(item.id);
    }
    expect(seen.filter((id) => id.startsWith("S:f"))).toEqual(["S:f:2", "S:f:3"]);
    expect(seen.filter((id) => id.startsWith("S:e"))).toEqual(["S:e:10", "S:e:12"]);
    await connection.close();
  });

  test("is told which messages another one lost before it was confirmed", async () => {
    const { connection, welcome } = start();
    const live = connection.subscribe("a.>", { from: "new" });
    const socket = await welcome();
    confirm(socket, "S:e:4");
    const all = connection.subscribe("a.b", { from: "all" });
    const later = connection.subscribe("a.b", { from: "new" });
    socket.say({ type: "gap", reason: "slow", from: "S:e:5", to: "S:e:5", count: 1 });
    confirm(socket, "S:e:5");
    for (const { id } of socket.sent) socket.say({ type: "caught_up", sub: id });
    const types: unknown[] = [];
    for (const one of [live, all, later]) {
      types.push((await one[Symbol.asyncIterator]().next()).value?.type);
    }
    expect(types).toEqual(["gap", "gap", "caught_up"]);
    await connection.close();
  });

  test("begins again if its session still had another one, which the client doesn't know", async () => {
    const { connection, welcome } = start({ session: "s-0" });
    connection.subscribe("a.>", { from: "all" });
    connection.subscribe("b.>", { from: "all" });
    const delivery = { ack_timeout_ms: 5000, session_ttl_ms: 60_000, resumed: true };
    const socket = await welcome({ delivery_mode: "at-least-once", delivery });
    const [{ id }] = socket.sent.splice(0) as [{ id: string }];
    const terms = { subjects: ["a.b"], policy: "drop-oldest", from: "S:e:9" };
    socket.say({ type: "subscribed", id: "old", sub: "old", ...terms });
    expect(socket.sent).toMatchObject([
      { type: "unsubscribe", sub: "old" },
      { type: "unsubscribe", sub: id },
      { type: "subscribe", subjects: ["a.>"], from: "all" },
    ]);
    await connection.close();
  });

  test.each([
    ["last_per_subject", [40, 50, 51]],
    ["last", [50, 51]],
  ] as const)(
    "of %p gets no older messages that another one is sent meanwhile",
    async (from, expected) => {
      const { connection, welcome } = start();
      const all = connection.subscribe<{ n: number }>("a.>", { from: "all" });
      const latest = connection.subscribe<{ n: number }>("a.*", { from });
      const socket = await welcome();
      socket.say(data(1), data(2, { subject: "a.c" }));
      const [first, second] = socket.sent.map(({ id }) => id);
      const terms = { subjects: ["a.>"], policy: "drop-oldest" };
      for (const [sub, at] of [[first, "S:e:0"] as const, [second, "S:e:50"] as const])
        socket.say({ type: "subscribed", id: sub, sub, ...terms, from: at });
      socket.say(data(3), data(40, { subject: "a.c" }), data(50), {
        type: "caught_up",
        sub: second,
      });
      socket.say({ type: "caught_up", sub: first }, data(51));
      const read = async (of: typeof all): Promise<number[]> => {
        const seen: number[] = [];
        for await (const item of of) {
          if (item.type === "data") seen.push(item.payload.n);
          if (seen.at(-1) === 51) return seen;
        }
        return seen;
      };
      expect(await read(latest)).toEqual([...expected]);
      expect(await read(all)).toEqual([1, 2, 3, 40, 50, 51]);
      await connection.close();
    },
  );

  test("gets messages that one of `conflate` was sent before, after a reload of the page", async () => {
    const cursors = new MemoryCursors([["main", "S:e:45-6"]]);
    const { connection, welcome } = start({ cursors });
    const subscription = connection.subscribe<{ n: number }>("a.>", { session: "main" });
    const socket = await welcome();
    confirm(socket, "S:e:39");
    socket.say(data(42), data(45), data(50));
    const loop = subscription[Symbol.asyncIterator]();
    const seen = [await loop.next(), await loop.next()];
    expect(seen.map(({ value }) => value?.type === "data" && value.payload.n)).toEqual([42, 50]);
    await connection.close();
  });

  test("continues after a reload of the page, also beside a storage that throws", async () => {
    const stored = new Map<string, string>();
    const storage = {
      getItem: (key: string) => stored.get(key) ?? null,
      setItem: (key: string, value: string) => void stored.set(key, value),
    };
    const first = start({ cursors: webStorageCursors(() => storage) });
    const subscription = first.connection.subscribe("a.>", { from: "new", session: "main" });
    const socket = await first.welcome();
    confirm(socket);
    socket.say(data(1), data(2), data(3));
    const loop = subscription[Symbol.asyncIterator]();
    for (let n = 0; n < 3; n++) await loop.next();
    first.fake.live("pagehide");
    const second = start({ cursors: webStorageCursors(() => storage) });
    second.connection.subscribe("a.>", { from: "new", session: "main" });
    // The third message may not have been processed.
    expect((await second.welcome()).sent[0]).toMatchObject({ from: { after: "S:e:2" } });
    const broken = webStorageCursors(() => {
      throw new Error("SecurityError");
    });
    const third = start({ cursors: broken });
    third.connection.subscribe("a.>", { from: "new", session: "main" });
    expect((await third.welcome()).sent[0]).toMatchObject({ from: "new" });
    for (const { connection } of [first, second, third]) await connection.close();
  });

  test("begins where `from` says if nothing is kept under its name", async () => {
    const { connection, welcome } = start({ cursors: new MemoryCursors([["main", ""]]) });
    connection.subscribe("a.>", { from: "all", session: "main" });
    expect((await welcome()).sent[0]).toMatchObject({ from: "all" });
    await connection.close();
  });

  test("of subjects that have ended ends again after a reload of the page", async () => {
    const cursors = new MemoryCursors();
    const options = { from: "all", session: "main" } as const;
    const first = start({ cursors });
    const subscription = first.connection.subscribe(["a.b", "a.c"], options);
    const socket = await first.welcome();
    confirm(socket);
    socket.say(data(1), { type: "end", subject: "a.b", id: "S:e:1" });
    for await (const { type } of subscription) if (type === "end") break;
    await first.connection.close();
    const second = start({ cursors });
    const rest = second.connection.subscribe(["a.b", "a.c"], options);
    const next = await second.welcome();
    expect(next.sent[0]).toMatchObject({ from: { after: "S:e:1" } });
    confirm(next, "S:e:1");
    next.say(data(2, { subject: "a.c" }), { type: "end", subject: "a.c", id: "S:e:2" });
    const ended: string[] = [];
    for await (const item of rest) if (item.type === "end") ended.push(item.subject);
    expect(ended).toEqual(["a.b", "a.c"]);
    await second.connection.close();
    const third = start({ cursors });
    const types: string[] = [];
    for await (const { type } of third.connection.subscribe(["a.b", "a.c"], options))
      types.push(type);
    expect(types).toEqual(["end", "end"]);
    expect((await third.welcome()).sent).toEqual([]);
    await third.connection.close();
  });

  test("folds its items into a value that changes at most once a frame", async () => {
    const { fake, connection, welcome } = start();
    const subscription = connection.subscribe<{ n: number }>("a.>", { from: "new" });
    const sum = subscription.snapshot(
      (total, item) => (item.type === "data" ? total + item.payload.n : total),
      0,
    );
    let calls = 0;
    sum.subscribe(() => calls++);
    const socket = await welcome();
    confirm(socket);
    for (let n = 1; n <= 4; n++) socket.say(data(n));
    await settled();
    expect([sum.getSnapshot(), calls]).toEqual([0, 0]);
    await fake.advance(16);
    expect([sum.getSnapshot(), calls]).toEqual([10, 1]);
    await connection.close();
  });
});

describe("Presence", () => {
  test("follows who comes and leaves, and asks again after a lost connection", async () => {
    const { fake, connection, welcome } = start();
    const watch = presence(connection, "rooms.7", { want: "list" });
    const socket = await welcome();
    const { id } = socket.sent[0]!;
    expect(socket.sent[0]).toMatchObject({ type: "presence", subject: "rooms.7", want: "list" });
    const subject = "rooms.7";
    socket.say({ type: "presence", id, subject, count: 2, members: [{ sub: "a" }, { sub: "b" }] });
    socket.say({
      type: "presence",
      id,
      subject,
      count: 2,
      joined: [{ sub: "c" }],
      left: [{ sub: "a" }],
    });
    const members = [{ sub: "b" }, { sub: "c" }];
    expect(watch.getSnapshot()).toEqual({ count: 2, members, truncated: false, stale: false });
    socket.end();
    expect(watch.getSnapshot().stale).toBe(true);
    await fake.advance(1000);
    expect((await welcome()).sent[0]).toMatchObject({ type: "presence", id });
    watch.close();
    expect(fake.last.sent.at(-1)).toEqual({ type: "presence", id, stop: true });
    await connection.close();
  });
});

test.each([
  ["its owner", "closed"],
  ["the gateway", "refused"],
])("Presence ends with an error if %s closes the connection for good", async (who, code) => {
  const { connection, welcome } = start();
  const watch = presence(connection, "rooms.7");
  let told = 0;
  watch.subscribe(() => told++);
  const socket = await welcome();
  if (who === "its owner") await connection.close();
  else socket.end(4401);
  expect(watch.getSnapshot()).toMatchObject({ stale: true, error: { code } });
  expect(told).toBeGreaterThan(0);
  expect(presence(connection, "rooms.8").getSnapshot()).toMatchObject({ error: { code } });
  const first = start();
  await first.connection.close();
  expect(presence(first.connection, "rooms.7").getSnapshot().error?.code).toBe("closed");
});

describe("Publishing", () => {
  test("repeats what has no answer after a lost connection, with the same id and in order", async () => {
    const { fake, connection, welcome } = start();
    const published = [
      connection.publish("a", 1, { id: "1" }),
      connection.publish("a", 2, { id: "2" }),
    ];
    const socket = await welcome();
    socket.say({ type: "published", id: "1", stream: "A", seq: 7 });
    expect(await published[0]).toEqual({ id: "1", stream: "A", seq: 7, duplicate: false });
    socket.end();
    await fake.advance(1000);
    const second = await welcome();
    expect(second.sent).toEqual([{ type: "publish", id: "2", subject: "a", payload: 2 }]);
    second.say({ type: "published", id: "2", stream: "A", seq: 8, duplicate: true });
    expect(await published[1]).toMatchObject({ duplicate: true });
  });

  test.each(["1", "2", "auth", "presence-1"])(
    "is refused alone, also if its `id` is %p",
    async (id) => {
      const { fake, connection, welcome } = start({ token: "t" });
      const orders = connection.subscribe("a.>");
      const watch = presence(connection, "a.b");
      const socket = await welcome();
      let refusal: unknown;
      connection.publish("secret", 1, { id }).catch((error) => {
        refusal = error;
      });
      const error = { code: "forbidden", message: "no", retryable: false };
      socket.say({ type: "error", id, error });
      confirm(socket);
      await settled();
      expect(refusal).toMatchObject({ code: "forbidden" });
      expect(orders.isOver).toBe(false);
      expect(watch.getSnapshot().error).toBeUndefined();
      await fake.advance(1000);
      expect(socket.sent.map(({ type }) => type)).not.toContain("auth");
      await connection.close();
    },
  );

  test("is refused with a payload that can't be JSON, and the connection goes on", async () => {
    const { fake, connection, welcome } = start();
    await expect(connection.publish("a", 1n)).rejects.toBeInstanceOf(TypeError);
    const socket = await welcome();
    await expect(connection.request("a", { n: 1n })).rejects.toBeInstanceOf(TypeError);
    socket.end();
    await fake.advance(1000);
    const second = await welcome();
    expect([connection.state.type, second.sent]).toEqual(["open", []]);
    await connection.close();
    expect(fake.timers.size).toBe(0);
  });

  test.each(["", "x".repeat(129)])(
    "is refused under the name %p, of which no error would tell",
    async (id) => {
      const { connection, welcome } = start();
      const socket = await welcome();
      await expect(connection.publish("a", 1, { id })).rejects.toMatchObject({ code: "malformed" });
      expect(socket.sent).toEqual([]);
      await connection.close();
    },
  );

  test("is ended by a signal that says no reason, as in React Native", async () => {
    const { connection, welcome } = start();
    await welcome();
    const signal = Object.assign(new EventTarget(), { aborted: false }) as AbortSignal;
    const waiting = connection.publish("a", 1, { signal });
    Object.assign(signal, { aborted: true });
    signal.dispatchEvent(new Event("abort"));
    await expect(waiting).rejects.toMatchObject({ code: "closed" });
    await expect(connection.publish("a", 1, { signal })).rejects.toMatchObject({ code: "closed" });
    await connection.close();
  });

  test("bounds what waits, refuses what no frame can carry, and fails requests of a lost connection", async () => {
    const { connection, welcome } = start();
    const socket = await welcome();
    await expect(connection.publish("a", "x".repeat(70_000))).rejects.toMatchObject({
      code: "too_large",
    });
    const request = connection.request("svc", 1);
    for (let n = 0; n < 127; n++) connection.publish("a", n).catch(() => {});
    await expect(connection.publish("a", 1)).rejects.toMatchObject({ code: "too_many_requests" });
    socket.end();
    await expect(request).rejects.toMatchObject({ code: "disconnected", retryable: true });
    const waiting = connection.publish("a", 1);
    await connection.close();
    await expect(waiting).rejects.toMatchObject({ code: "closed" });
  });
});
