/** Server-sent events instead of a WebSocket, on a fake platform. */
import { describe, expect, test } from "bun:test";
import {
  type Connection,
  type ConnectOptions,
  connect,
  type Item,
  presence,
  serverSentEvents,
  webSocketOrEvents,
} from "spillway/client";
import { FakeFetch, type FakeRequest } from "./support/fake-events.ts";
import { FakePlatform, settled } from "./support/fake-platform.ts";

function start(options: ConnectOptions = {}) {
  const fake = new FakePlatform();
  const web = new FakeFetch();
  // The gateway's answer to a request that is no handshake.
  web.asked = (request) => {
    if (request.url === "https://gateway/ws") request.answer(204);
  };
  const connection = connect("wss://gateway/ws", {
    transport: serverSentEvents(),
    platform: { ...fake.platform, fetch: web.fetch },
    ...options,
  });
  return { fake, web, connection };
}

function message(n: number, subject = "a.b"): string {
  return `data: ${JSON.stringify({ type: "data", id: `S:e:${n}`, timestamp: 0, subject, payload: { n } })}`;
}

function end(n: number, subject = "a.b"): string[] {
  return [
    ...["event: end", `id: S:e:${n}~x`],
    `data: ${JSON.stringify({ type: "end", subject, id: `S:e:${n}` })}`,
  ];
}

function collect(connection: Connection, subjects: string, options = {}): string[] {
  const seen: string[] = [];
  void (async () => {
    for await (const item of connection.subscribe<{ n: number }>(subjects, options)) {
      seen.push(textOf(item));
    }
    seen.push("over");
  })().catch((error) => seen.push(error.code));
  return seen;
}

function textOf(item: Item<{ n: number }>): string {
  return item.type === "data" ? `${item.payload.n}` : item.type;
}

describe("Server-sent events", () => {
  test("A subscription is a request, with its token in a header, and resumes after its last message", async () => {
    const { fake, web, connection } = start({ token: "secret" });
    const seen = collect(connection, "a.*", { from: { seq: 7 }, policy: "conflate", maxRate: 5 });
    await settled();
    const [first] = web.streams;
    expect(first?.url.split("?")[0]).toBe("https://gateway/ws/sse");
    expect(first?.query).toEqual({
      subject: "a.*",
      from: "seq:7",
      policy: "conflate",
      max_rate: "5",
    });
    expect(first?.init.headers).toMatchObject({ Authorization: "Bearer secret" });
    first?.stream();
    first?.say("id: S:e:1", message(1));
    const cut = `id: S:e:2\n${message(2)}\n\n`;
    first?.write(cut.slice(0, 30));
    first?.write(cut.slice(30));
    await settled();
    expect(seen).toEqual(["1", "2"]);
    first?.end();
    await settled();
    expect(connection.state.type).toBe("waiting");
    await fake.advance(1000);
    const [second] = web.streams.filter((one) => one !== first);
    expect(second?.query).toMatchObject({ subject: "a.*", after: "S:e:2" });
    await connection.close();
    expect([web.streams, fake.timers.size, fake.listeners.size]).toEqual([[], 0, 0]);
  });

  test("Each request has the query of the URL, as a WebSocket has it", async () => {
    const fake = new FakePlatform();
    const web = new FakeFetch();
    web.asked = (request) => request.answer(204);
    const connection = connect("wss://gateway/ws/?access_token=t", {
      transport: serverSentEvents(),
      platform: { ...fake.platform, fetch: web.fetch },
    });
    await settled();
    web.asked = () => {};
    collect(connection, "a.b");
    void connection.publish("a.b", 1, { end: true }).catch(() => {});
    await settled();
    const urls = [...web.streams, ...web.requests].map(({ url }) => url);
    expect(new Set(urls)).toEqual(
      new Set([
        "https://gateway/ws/sse?access_token=t&subject=a.b",
        "https://gateway/ws/?access_token=t",
        "https://gateway/publish/a.b?access_token=t&end=true",
      ]),
    );
    await connection.close();
  });

  test("A line without an end is given up before it fills the memory", async () => {
    const { fake, web, connection } = start();
    const errors: string[] = [];
    connection.on("error", ({ message }) => errors.push(message));
    collect(connection, "a.b");
    await settled();
    const [first] = web.streams;
    first?.stream();
    const part = "x".repeat(2 ** 23);
    for (let n = 0; n < 9; n++) {
      first?.write(part);
      await settled();
    }
    expect(errors).toEqual([expect.stringContaining("a line has more than 67108864 characters")]);
    expect([first?.isAborted, connection.state.type]).toEqual([true, "waiting"]);
    await fake.advance(1000);
    expect(web.streams).toHaveLength(1);
    await connection.close();
  });

  test("Subscriptions that overlap each get their messages, in order, whichever stream is first", async () => {
    const { web, connection } = start();
    const one = collect(connection, "a.b", { from: "all" });
    const other = collect(connection, "a.>", { from: "all" });
    await settled();
    const [a, b] = web.streams;
    for (const stream of [a, b]) stream?.stream();
    for (const n of [1, 2, 3]) a?.say(`id: S:e:${n}`, message(n));
    await settled();
    for (const n of [1, 2, 3]) b?.say(`id: S:e:${n}`, message(n));
    await settled();
    expect([one, other]).toEqual([
      ["1", "2", "3"],
      ["1", "2", "3"],
    ]);
    expect(web.streams.length).toBe(2);
    await connection.close();
  });

  test("The last message of a subject comes with its end, also if the stream is lost in between", async () => {
    const { fake, web, connection } = start();
    const seen = collect(connection, "a.b", { from: "all" });
    await settled();
    const [first] = web.streams;
    first?.stream();
    first?.say("id: S:e:1", message(1));
    first?.say(message(2));
    await settled();
    expect(seen).toEqual(["1"]);
    first?.end();
    await fake.advance(1000);
    const second = web.streams.at(-1);
    expect(second?.query.after).toBe("S:e:1");
    second?.stream("S:e:1");
    second?.say(message(2));
    second?.say(...end(2));
    await settled();
    expect(seen).toEqual(["1", "2", "end", "over"]);
    await connection.close();
  });

  test("A subject that has ended where it is resumed (204) ends the loop", async () => {
    const { web, connection } = start();
    const seen = collect(connection, "a.b", { from: { after: "S:e:2~x" } });
    await settled();
    web.streams[0]?.answer(204);
    await settled();
    expect(seen).toEqual(["end", "over"]);
    await connection.close();
  });

  test("A gap is for the subscription whose stream has it", async () => {
    const { web, connection } = start();
    const one = collect(connection, "a.b");
    const other = collect(connection, "a.>");
    await settled();
    for (const stream of web.streams) stream.stream();
    const gap = { type: "gap", from: "S:e:1", to: "S:e:2", count: 2, reason: "slow" };
    web.streams[1]?.say("event: gap", `data: ${JSON.stringify(gap)}`);
    await settled();
    expect([one, other]).toEqual([[], ["gap"]]);
    await connection.close();
  });

  test("Messages are posted; what needs a WebSocket fails with `unsupported`", async () => {
    const { web, connection } = start({ token: "secret" });
    await settled();
    const published = connection.publish("a.b c", { n: 1 }, { end: true });
    await settled();
    const post = web.requests.at(-1);
    expect(post?.url).toBe("https://gateway/publish/a.b%20c?end=true");
    expect(post?.init).toMatchObject({
      ...{ method: "POST", body: '{"n":1}', headers: { Authorization: "Bearer secret" } },
    });
    post?.answer(202, { subject: "a.b", bytes: 7, stream: "S", seq: 4 });
    expect(await published).toMatchObject({ stream: "S", seq: 4 });
    const refused = connection.publish("a.b", 1);
    await settled();
    web.requests.at(-1)?.answer(403, { detail: "not you" });
    await expect(refused).rejects.toMatchObject({ code: "forbidden", message: "not you" });
    const count = web.requests.length;
    const unsupported = { code: "unsupported", retryable: false };
    await expect(connection.request("a.b")).rejects.toMatchObject(unsupported);
    await expect(connection.publish("a", 1, { headers: { X: "1" } })).rejects.toMatchObject(
      unsupported,
    );
    const acked = connection.subscribe("a.b", { mode: "at-least-once" });
    await expect(acked.ready).rejects.toMatchObject(unsupported);
    const watch = presence(connection, "a.b");
    await settled();
    expect(watch.getSnapshot().error).toMatchObject(unsupported);
    expect(web.requests.length).toBe(count);
    await connection.close();
  });

  test("A message whose answer is lost with the connection isn't posted again", async () => {
    const { fake, web, connection } = start();
    collect(connection, "a.b");
    await settled();
    web.streams[0]?.stream();
    const published = connection.publish("a.b", 1);
    published.catch(() => {});
    await settled();
    web.streams[0]?.end();
    await fake.advance(5000);
    await expect(published).rejects.toMatchObject({ code: "timeout", retryable: true });
    expect(web.requests.filter(({ init }) => init.method === "POST").length).toBe(1);
    await connection.close();
  });

  test("A subscription that is refused fails alone; a token that is refused is fetched anew", async () => {
    let tokens = 0;
    const { fake, web, connection } = start({ token: () => `token-${++tokens}` });
    const refused = collect(connection, "secret");
    collect(connection, "a.b");
    await settled();
    web.streams[0]?.answer(403, { detail: "not you" });
    await settled();
    expect([refused, connection.state.type]).toEqual([["forbidden"], "open"]);
    web.streams.at(-1)?.answer(401, { detail: "expired" });
    await fake.advance(1000);
    expect(web.streams.at(-1)?.init.headers).toMatchObject({ Authorization: "Bearer token-2" });
    await connection.close();
  });

  test("Subjects may have commas in them", async () => {
    const { web, connection } = start();
    connection.subscribe(["a,b", "c.>", "d&e=f"]);
    await settled();
    const query = new URL(web.streams[0]!.url).searchParams;
    expect([...query]).toEqual([
      ["subject", "a,b"],
      ["subject", "c.>"],
      ["subject", "d&e=f"],
    ]);
    await connection.close();
  });

  test.each([
    ["no token", undefined, { code: "unauthenticated" }],
    ["a token that never changes", "fixed", { code: "refused", closeCode: 4512 }],
  ])("A 401 ends a connection with %s for good", async (_, token, error) => {
    const { fake, web, connection } = start(token === undefined ? {} : { token });
    const seen = collect(connection, "a.b");
    await settled();
    web.streams[0]?.answer(401, { detail: "This gateway needs a token" });
    await settled();
    expect(connection.state).toMatchObject({
      type: "closed",
      error: { ...error, retryable: false },
    });
    const { message } = (connection.state as { error: Error }).error;
    expect(message).toContain("token");
    await fake.advance(300_000);
    expect([seen, web.requests.length]).toEqual([[error.code], 2]);
    expect([fake.timers.size, fake.listeners.size]).toEqual([0, 0]);
  });

  test("A 401 is followed by an attempt with another token, also for a message that is posted", async () => {
    let tokens = 0;
    const { fake, web, connection } = start({ token: () => `token-${++tokens}` });
    await settled();
    const refused = connection.publish("a.b", 1);
    await settled();
    web.requests.at(-1)?.answer(401, { detail: "The token has expired" });
    await expect(refused).rejects.toMatchObject({ code: "unauthenticated", retryable: true });
    connection.publish("a.b", 2).catch(() => {});
    await settled();
    const second = { Authorization: "Bearer token-2" };
    expect(web.requests.at(-1)?.init.headers).toMatchObject(second);
    connection.subscribe("a.b");
    expect(web.streams.at(-1)?.init.headers).toMatchObject(second);
    web.streams.at(-1)?.answer(401, { detail: "The token has expired" });
    await fake.advance(1000);
    expect(web.streams.at(-1)?.init.headers).toMatchObject({ Authorization: "Bearer token-3" });
    await connection.close();
  });

  test.each([
    [400, "unsupported"],
    [403, "forbidden"],
    [410, "unavailable"],
    [413, "too_large"],
    [431, "unavailable"],
  ])("A %d refuses its subscription for good, and no other one", async (status, code) => {
    const { fake, web, connection } = start();
    const seen = collect(connection, "a.b");
    const other = collect(connection, "a.c");
    await settled();
    web.streams[1]?.stream();
    web.streams[0]?.answer(status, { detail: "no" });
    await fake.advance(60_000);
    web.streams.at(-1)?.say("id: S:e:1", message(1, "a.c"));
    await settled();
    expect([seen, other, connection.state.type]).toEqual([[code], ["1"], "open"]);
    expect(web.requests.filter(({ url }) => url.includes("/sse?")).length).toBe(2);
    await connection.close();
  });

  test.each([429, 502, 503])(
    "After a %d, the subscription alone is asked for again",
    async (status) => {
      const { fake, web, connection } = start();
      const seen = collect(connection, "a.b");
      const other = collect(connection, "a.c");
      await settled();
      web.streams[1]?.stream();
      web.streams[0]?.answer(status);
      await fake.advance(2000);
      const again = web.streams.at(-1);
      again?.stream();
      again?.say("id: S:e:1", message(1));
      await settled();
      expect([seen, other, connection.state.type]).toEqual([["1"], [], "open"]);
      expect(web.requests.filter(({ url }) => url.includes("/sse?")).length).toBe(3);
      await connection.close();
    },
  );

  const WAITS = [
    ["20", 20],
    ["86400", 300],
    ["0", 0],
    ["Thu, 01 Jan 2099 00:00:00 GMT", 0],
  ] as const;

  test.each(WAITS)(
    'A subscription that is refused with "Retry-After: %s" is asked for again after %d s at least',
    async (said, seconds) => {
      const { fake, web, connection } = start();
      collect(connection, "a.b");
      await settled();
      web.streams[0]?.answer(429, {}, { "Retry-After": said });
      const asked = () => web.requests.filter(({ url }) => url.includes("/sse?")).length;
      await fake.advance(1000 * seconds);
      expect(asked()).toBe(1);
      await fake.advance(2000);
      expect(asked()).toBe(2);
      await connection.close();
    },
  );

  test.each(WAITS)(
    'A gateway that answers with "Retry-After: %s" is asked again after %d s at least',
    async (said, seconds) => {
      const { fake, web, connection } = start();
      web.asked = (request) => request.answer(503, {}, { "Retry-After": said });
      await fake.advance(1000 * seconds);
      expect(web.requests).toHaveLength(1);
      await fake.advance(1000);
      expect(web.requests).toHaveLength(2);
      await connection.close();
    },
  );

  test.each([
    ["is no stream of events", (request: FakeRequest) => request.answer(200, { hello: "page" })],
    ["has the status 404", (request: FakeRequest) => request.answer(404)],
  ])("An answer that %s is nobody's, and says so until the gateway is there", async (_, answer) => {
    const { fake, web, connection } = start();
    const errors: string[] = [];
    connection.on("error", ({ message }) => errors.push(message));
    const seen = collect(connection, "a.b");
    await settled();
    answer(web.streams[0]!);
    await settled();
    expect(connection.state.type).toBe("waiting");
    expect(errors).toEqual([
      expect.stringContaining("no gateway answers at https://gateway/ws/sse"),
    ]);
    await fake.advance(1000);
    web.streams.at(-1)?.stream();
    web.streams.at(-1)?.say("id: S:e:1", message(1));
    await settled();
    expect(seen).toEqual(["1"]);
    await connection.close();
  });

  test("`disconnect` says when to connect again", async () => {
    const { fake, web, connection } = start();
    collect(connection, "a.b");
    await settled();
    web.streams[0]?.stream();
    const said = { type: "disconnect", code: 1001, reason: "stop", reconnect: true };
    const data = JSON.stringify({ ...said, retry_after_ms: 7000 });
    web.streams[0]?.say("event: disconnect", `data: ${data}`);
    web.streams[0]?.end();
    await settled();
    expect(connection.state).toMatchObject({ type: "waiting", untilMs: fake.nowMs + 7000 });
    await connection.close();
  });

  test("Leaving a loop ends its request", async () => {
    const { web, connection } = start();
    const subscription = connection.subscribe("a.b");
    await settled();
    web.streams[0]?.stream();
    await subscription.ready;
    subscription.close();
    expect(web.streams).toEqual([]);
    expect(connection.state.type).toBe("open");
    await connection.close();
  });
});

describe("A WebSocket, or server-sent events", () => {
  const begin = () => start({ transport: webSocketOrEvents() });

  test("Two WebSockets that can't be opened are followed by events; a WebSocket that opens later takes over", async () => {
    const { fake, web, connection } = begin();
    const seen = collect(connection, "a.b");
    for (const count of [1, 2]) {
      await settled();
      expect([fake.sockets.length, web.requests.length]).toEqual([count, 0]);
      fake.last.end(1006);
      await fake.advance(1000);
    }
    web.streams[0]?.stream();
    web.streams[0]?.say("id: S:e:1", message(1));
    await settled();
    expect([seen, connection.state.type]).toEqual([["1"], "open"]);
    // The network still blocks WebSockets.
    await fake.advance(300_000);
    expect(fake.sockets.length).toBe(3);
    fake.last.end(1006);
    expect(connection.state.type).toBe("open");
    await fake.advance(300_000);
    expect(fake.sockets.length).toBe(4);
    fake.last.open();
    fake.last.say({ type: "welcome", session: "s" });
    expect([web.streams, connection.state.type]).toEqual([[], "waiting"]);
    await fake.advance(1000);
    expect([fake.sockets.length, web.streams]).toEqual([5, []]);
    await connection.close();
    expect([fake.timers.size, fake.listeners.size]).toEqual([0, 0]);
    expect(fake.sockets.filter(({ readyState }) => readyState < 2)).toEqual([]);
  });

  test("WebSockets and events are tried in turn while neither reaches the gateway", async () => {
    const { fake, web, connection } = begin();
    web.asked = (request) => request.fail();
    for (let attempt = 0; attempt < 6; attempt++) {
      await settled();
      if (fake.last.readyState < 2) fake.last.end(1006);
      await fake.advance(30_000);
    }
    expect(fake.sockets.length).toBeGreaterThanOrEqual(3);
    expect(web.requests.length).toBeGreaterThanOrEqual(2);
    await connection.close();
  });

  test("A WebSocket that was open and is lost is opened again", async () => {
    const { fake, web, connection } = begin();
    for (let round = 0; round < 4; round++) {
      await settled();
      fake.last.open();
      fake.last.say({
        ...{ type: "welcome", session: "s", ping_interval_ms: 30_000, upstream: "connected" },
        ...{ delivery_mode: "at-most-once", limits: { max_frame_bytes: 1000 } },
      });
      fake.last.end(1006);
      await fake.advance(30_000);
    }
    expect(web.requests).toEqual([]);
    await connection.close();
  });
});
