/** Programs that close their connection while it tells them something, and listeners that throw. */
import { expect, spyOn, test } from "bun:test";
import { type ConnectionState, connect, presence } from "spillway/client";
import { FakePlatform, settled } from "./support/fake-platform.ts";

const WELCOME = {
  ...{ type: "welcome", session: "s", version: "0", server_time: 0, ping_interval_ms: 30_000 },
  ...{ upstream: "connected", delivery_mode: "at-most-once" },
  limits: { max_frame_bytes: 65_536, max_subscriptions: 64 },
};

async function opened(fake: FakePlatform): Promise<void> {
  await settled();
  fake.last.open();
  fake.last.say(WELCOME);
  await settled();
}

test.each<ConnectionState["type"]>(["connecting", "open", "waiting", "idle"])(
  "A connection that is closed as it tells that it is %s never comes back",
  async (type) => {
    const fake = new FakePlatform();
    const connection = connect("ws://gateway", { platform: fake.platform });
    await opened(fake);
    connection.on("state", (state) => {
      if (state.type === type) void connection.close();
    });
    if (type === "idle") fake.live("hidden");
    fake.last.end();
    await fake.advance(1000);
    if (type === "open") await opened(fake);
    expect(connection.state.type).toBe("closed");
    const sockets = fake.sockets.length;
    for (const event of ["visible", "online", "pageshow"] as const) fake.live(event);
    await fake.advance(600_000);
    expect([connection.state.type, fake.sockets.length]).toEqual(["closed", sockets]);
    expect([fake.timers.size, fake.listeners.size]).toEqual([0, 0]);
  },
);

test("A connection that is closed as it tells an error never comes back", async () => {
  const fake = new FakePlatform();
  const connection = connect("ws://gateway", { platform: fake.platform });
  await opened(fake);
  connection.on("error", () => void connection.close());
  fake.last.end();
  await fake.advance(600_000);
  expect([connection.state.type, fake.sockets.length]).toEqual(["closed", 1]);
  expect([fake.timers.size, fake.listeners.size]).toEqual([0, 0]);
});

test("A connection that is closed as it tells that its token is refused wants no other one", async () => {
  const fake = new FakePlatform();
  let asked = 0;
  const connection = connect("ws://gateway", {
    platform: fake.platform,
    token: () => `t${++asked}`,
  });
  await settled();
  fake.last.open();
  fake.last.say({ ...WELCOME, session: "" });
  await settled();
  connection.on("error", () => void connection.close());
  const before = asked;
  const { id } = fake.last.sent.at(-1) ?? {};
  const error = { code: "unauthenticated", message: "wrong", retryable: false };
  fake.last.say({ type: "error", id, error });
  await fake.advance(600_000);
  expect([connection.state.type, asked]).toEqual(["closed", before]);
  expect([fake.timers.size, fake.listeners.size]).toEqual([0, 0]);
});

test("Listeners that throw stop neither the messages behind them nor the next connection", async () => {
  const thrown: unknown[] = [];
  // The runtime would end the test.
  using _ = spyOn(Promise, "reject").mockImplementation((error) => {
    thrown.push(error);
    return new Promise(() => {});
  });
  const fake = new FakePlatform();
  const connection = connect("ws://gateway", { platform: fake.platform });
  const broken = (): never => {
    throw new Error("broken");
  };
  for (const name of ["state", "error", "upstream"] as const) connection.on(name, broken);
  const watch = presence(connection, "a.b");
  watch.subscribe(broken);
  const seen: unknown[] = [];
  const subscription = connection.subscribe("a.b", { from: "new" });
  const latest = connection
    .subscribe<number>("a.b", { from: "new" })
    .snapshot((last, item) => (item.type === "data" ? item.payload : last), 0);
  let shown = 0;
  latest.subscribe(broken);
  latest.subscribe(() => shown++);
  void (async () => {
    for await (const item of subscription) if (item.type === "data") seen.push(item.payload);
  })().catch(() => {});
  await opened(fake);
  const namesOf = (type: string): unknown[] =>
    fake.last.sent.filter((frame) => frame.type === type).map(({ id }) => id);
  const [id] = namesOf("presence");
  const subject = "a.b";
  const data = (n: number) => {
    return { type: "data", id: `S:e:${n}`, timestamp: 0, subject, payload: n };
  };
  fake.last.say(
    ...namesOf("subscribe").map((sub) => {
      const terms = { subjects: [subject], policy: "conflate", from: "S:e:0" };
      return { type: "subscribed", id: sub, sub, ...terms };
    }),
    { type: "presence", id, subject, count: 2 },
    data(1),
    { type: "upstream", state: "connected" },
    data(2),
  );
  await settled();
  expect([seen, watch.getSnapshot().count]).toEqual([[1, 2], 2]);
  await fake.advance(100);
  expect([latest.getSnapshot(), shown]).toEqual([2, 1]);
  fake.last.end();
  await fake.advance(2000);
  expect(fake.sockets.length).toBe(2);
  expect(new Set(thrown.map(String))).toEqual(new Set(["Error: broken"]));
  await connection.close();
});

test("A fold that throws ends its subscription, and its error is reported; a refusal isn't, as `ready` tells it", async () => {
  const thrown: unknown[] = [];
  const reject = spyOn(Promise, "reject").mockImplementation((error) => {
    thrown.push(error);
    return new Promise(() => {});
  });
  try {
    const fake = new FakePlatform();
    const connection = connect("ws://gateway", { platform: fake.platform });
    const [broken, refused] = [connection.subscribe("a.b"), connection.subscribe("secret")];
    broken.snapshot(() => {
      throw new Error("broken");
    }, 0);
    refused.snapshot((last) => last, 0);
    await opened(fake);
    const [first, second] = fake.last.sent.map(({ id }) => id);
    const terms = { subjects: ["a.b"], policy: "drop-oldest", from: "S:e:0" };
    fake.last.say({ type: "subscribed", id: first, sub: first, ...terms });
    const error = { code: "forbidden", message: "no", retryable: false };
    fake.last.say({ type: "error", id: second, error });
    fake.last.say({ type: "data", id: "S:e:1", timestamp: 0, subject: "a.b", payload: 1 });
    await settled();
    expect(thrown).toEqual([new Error("broken")]);
    expect([broken.isOver, refused.isOver]).toEqual([true, true]);
    await expect(refused.ready).rejects.toMatchObject({ code: "forbidden" });
    await connection.close();
  } finally {
    reject.mockRestore();
  }
});
