/** Tabs that share a connection, on a fake browser. */
import { describe, expect, test } from "bun:test";
import { type Connection, type ConnectOptions, connect, presence, shared } from "spillway/client";
import { FakeBrowser, type FakeTab } from "./support/fake-browser.ts";
import { FakePlatform, type FakeSocket, settled } from "./support/fake-platform.ts";

const WELCOME = {
  ...{ type: "welcome", session: "s-1", version: "0", server_time: 0, ping_interval_ms: 30_000 },
  ...{ upstream: "connected", delivery_mode: "at-most-once" },
  limits: { max_frame_bytes: 65_536, max_subscriptions: 64 },
};

interface Open {
  readonly tab: FakeTab;
  readonly connection: Connection;
  readonly seen: number[];
}

function data(n: number): object {
  return { type: "data", id: `S:e:${n}`, timestamp: 0, subject: "a.b", payload: { n } };
}

function start() {
  const fake = new FakePlatform();
  const browser = new FakeBrowser(fake);
  const open = (options: ConnectOptions = {}): Open => {
    const tab = browser.tab();
    const { platform } = tab;
    const connection = connect("https://gateway/ws", shared({ platform, ...options }));
    const seen: number[] = [];
    void (async () => {
      const subscription = connection.subscribe<{ n: number }>("a.>", { from: "all" });
      for await (const item of subscription) if (item.type === "data") seen.push(item.payload.n);
    })().catch(() => {});
    return { tab, connection, seen };
  };
  /** The sockets that are open. */
  const sockets = (): FakeSocket[] => fake.sockets.filter(({ readyState }) => readyState < 2);
  const welcome = async (more: object = {}): Promise<FakeSocket> => {
    await settled();
    const socket = fake.last;
    socket.open();
    socket.say({ ...WELCOME, ...more });
    await settled();
    return socket;
  };
  /** Confirms what is asked for, and replays messages. */
  const serve = async (socket: FakeSocket, from: number, to: number): Promise<void> => {
    await settled();
    const asked = socket.sent.filter(({ type }) => type === "subscribe");
    const gone = socket.sent.flatMap(({ type, sub }) => (type === "unsubscribe" ? [sub] : []));
    for (const { id, subjects } of asked) {
      if (gone.includes(id)) continue;
      socket.say({ type: "subscribed", id, sub: id, subjects, policy: "x", from: "S:e:0" });
    }
    for (let n = from; n <= to; n++) socket.say(data(n));
    for (const { id } of asked) if (!gone.includes(id)) socket.say({ type: "caught_up", sub: id });
    await settled();
  };
  return { fake, browser, open, sockets, welcome, serve };
}

describe("Tabs that share a connection", () => {
  test("have one socket, and each its messages and answers", async () => {
    const { fake, browser, open, sockets, welcome, serve } = start();
    let tokens = 0;
    const token = () => `token-${++tokens}`;
    const tabs = [open({ token }), open({ token }), open({ token })];
    const socket = await welcome();
    expect([sockets().length, tokens]).toEqual([1, 1]);
    expect(socket.protocols.length).toBe(2);
    expect(tabs.map(({ connection }) => connection.state.type)).toEqual(["open", "open", "open"]);
    await serve(socket, 1, 3);
    expect(tabs.map(({ seen }) => seen)).toEqual([
      [1, 2, 3],
      [1, 2, 3],
      [1, 2, 3],
    ]);
    const answers = tabs.map(({ connection }, index) => connection.request<number>(`svc.${index}`));
    const watches = tabs.map(({ connection }) => presence(connection, "room"));
    await settled();
    for (const { type, id, subject } of socket.sent) {
      if (type === "request") socket.say({ type: "response", id, payload: subject });
      if (type === "presence") socket.say({ type: "presence", id, subject, count: 7 });
    }
    await settled();
    expect((await Promise.all(answers)).map(({ payload }) => String(payload))).toEqual([
      ...["svc.0", "svc.1", "svc.2"],
    ]);
    expect(watches.map((watch) => watch.getSnapshot().count)).toEqual([7, 7, 7]);
    for (const { connection } of tabs) await connection.close();
    await fake.advance(1000);
    expect([sockets().length, fake.timers.size, browser.leftovers]).toEqual([0, 0, 0]);
    expect(tabs.map(({ tab }) => tab.listeners.size)).toEqual([0, 0, 0]);
  });

  const ENDS: readonly (readonly [string, (leader: Open) => void])[] = [
    ["is killed", ({ tab }) => tab.kill()],
    ["closes its connection", ({ connection }) => void connection.close()],
    ["is left, or frozen", ({ tab }) => tab.live("pagehide")],
  ];
  test.each(ENDS)("lose nothing if the tab that leads %s", async (_, end) => {
    const { fake, open, sockets, welcome, serve } = start();
    const leader = open();
    const others = [open(), open()];
    await serve(await welcome(), 1, 3);
    end(leader);
    await fake.advance(2000);
    expect(sockets().length).toBe(1);
    const socket = await welcome();
    const asked = socket.sent.filter(({ type }) => type === "subscribe");
    expect(asked.map(({ from }) => from)).toEqual([{ after: "S:e:3" }, { after: "S:e:3" }]);
    await serve(socket, 4, 6);
    for (const { seen } of others) expect(seen).toEqual([1, 2, 3, 4, 5, 6]);
    leader.tab.live("pageshow");
    for (const { connection } of [leader, ...others]) await connection.close();
  });

  test("end their subscriptions and presence watches at the gateway, also if they are killed", async () => {
    const { fake, open, welcome, serve } = start();
    const leader = open();
    const other = open();
    const socket = await welcome();
    await serve(socket, 1, 3);
    presence(other.connection, "room");
    await settled();
    const before = socket.sent.length;
    other.tab.kill();
    await fake.advance(1000);
    const [ended, stopped] = socket.sent.slice(before);
    const asked = socket.sent.filter(({ type }) => type === "subscribe").map(({ id }) => id);
    expect(asked).toContain(ended?.sub);
    expect(ended?.type).toBe("unsubscribe");
    const watch = socket.sent.find(({ type }) => type === "presence");
    expect(stopped).toEqual({ type: "presence", id: watch?.id, stop: true });
    socket.say(data(4));
    await settled();
    expect(leader.seen).toEqual([1, 2, 3, 4]);
    await leader.connection.close();
  });

  test("take the lead from a tab that answers nothing", async () => {
    const { fake, browser, open, sockets, welcome, serve } = start();
    const leader = open();
    const other = open();
    await serve(await welcome(), 1, 3);
    leader.tab.isFrozen = true;
    // The tab notices it when it probes its connection.
    other.tab.live("online");
    await fake.advance(15_000);
    expect(sockets().length).toBe(2);
    const socket = await welcome();
    await serve(socket, 4, 5);
    expect(other.seen).toEqual([1, 2, 3, 4, 5]);
    leader.tab.thaw();
    await fake.advance(2000);
    expect(sockets()).toEqual([socket]);
    await serve(socket, 4, 6);
    expect([leader.seen, other.seen]).toEqual([
      [1, 2, 3, 4, 5, 6],
      [1, 2, 3, 4, 5, 6],
    ]);
    for (const { connection } of [leader, other]) await connection.close();
    await fake.advance(1000);
    expect([sockets().length, fake.timers.size, browser.leftovers]).toEqual([0, 0, 0]);
  });

  test("have sockets of their own at a gateway with at-least-once", async () => {
    const { fake, browser, open, sockets, welcome } = start();
    const tabs = [open({ token: "t" }), open({ token: "t" })];
    const delivery = { ack_timeout_ms: 1000, session_ttl_ms: 1000, resumed: false };
    await welcome({ delivery_mode: "at-least-once", delivery });
    await fake.advance(2000);
    expect(sockets().length).toBe(2);
    expect(sockets().map(({ protocols }) => protocols.length)).toEqual([2, 2]);
    for (const { connection } of tabs) await connection.close();
    await fake.advance(1000);
    expect(browser.leftovers).toBe(0);
  });

  test("are refused together, and a later one tries again", async () => {
    const { fake, browser, open, sockets, welcome } = start();
    const tabs = [open(), open()];
    (await welcome()).end(4401, "token revoked");
    await fake.advance(60_000);
    for (const { connection } of tabs) {
      const error = { code: "refused", closeCode: 4401 };
      expect(connection.state).toMatchObject({ type: "closed", error });
    }
    expect([sockets().length, browser.leftovers]).toEqual([0, 0]);
    const later = open();
    await welcome();
    expect(later.connection.state.type).toBe("open");
    await later.connection.close();
  });

  test("try in turn no more often than one alone", async () => {
    const { fake, open } = start();
    const tabs = Array.from({ length: 7 }, () => open());
    fake.opened = (socket) => fake.platform.timer(10, () => socket.end(1006));
    await fake.advance(300_000);
    expect(fake.sockets.length).toBeGreaterThan(10);
    expect(fake.sockets.length).toBeLessThan(60);
    for (const { connection } of tabs) await connection.close();
  });

  test("lead from another tab if the leading one is hidden when the connection is lost", async () => {
    const { fake, open, sockets, welcome, serve } = start();
    const leader = open();
    const other = open();
    const first = await welcome();
    await serve(first, 1, 2);
    leader.tab.live("hidden");
    first.end(1006);
    await fake.advance(3000);
    expect(leader.connection.state.type).toBe("idle");
    expect(sockets()).toEqual([fake.last]);
    expect(other.tab.sockets.length).toBe(1);
    await serve(await welcome(), 3, 3);
    expect(other.seen).toEqual([1, 2, 3]);
    leader.tab.live("visible");
    await fake.advance(1000);
    await serve(fake.last, 3, 3);
    expect([leader.seen, sockets().length]).toEqual([[1, 2, 3], 1]);
    for (const { connection } of [leader, other]) await connection.close();
  });

  test("have sockets of their own where there are no locks", async () => {
    const { fake, open, sockets } = start();
    const platform = fake.platform;
    const tabs = [open({ platform }), open({ platform })];
    await settled();
    expect(sockets().length).toBe(2);
    for (const { connection } of tabs) await connection.close();
  });
});
