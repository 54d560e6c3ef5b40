import { expect, test } from "bun:test";
import { Grant } from "../../src/core/access/grant.ts";
import type { Refusal } from "../../src/core/access/refusal.ts";
import { FailedPosts } from "../../src/http/failed-posts.ts";
import { type PublishParts, publishRoutes } from "../../src/http/publish.ts";
import { ManualClock } from "../core/support/manual-clock.ts";

const everybody = Grant.forEverybody([">"], {
  publishSubjects: "everything",
  deliveryMode: "at-most-once",
  policy: "disconnect",
  allowedPolicies: [],
  startFrom: "new",
  maxSubscriptions: 1,
});
const TOO_MANY: Refusal = { code: "too_many_requests", message: "too many", retryable: true };

/** The routes, and what they asked of the core. */
class Posts {
  readonly clock = new ManualClock();
  readonly lengths: number[] = [];
  readonly published: Uint8Array[] = [];
  readonly announced: number[] = [];
  readonly refused: string[] = [];
  readonly audited: string[] = [];
  readonly logged: unknown[] = [];
  address = "192.0.2.1";
  places = 0;
  /** The core's answer to the next message. */
  refusal: Refusal | undefined;
  grantOf: PublishParts["grantOf"] = async () => everybody;
  refusalNow: PublishParts["refusalNow"] = () => undefined;
  readonly #app = publishRoutes(
    { subjects: [">"], maxPublishBytes: 100, requestTimeoutMs: 1000, maxPublishesPerSecond: 10 },
    {
      publishing: {
        post: async (_sender, _subject, bytes) => {
          this.announced.push(bytes);
          if (this.refusal !== undefined) return this.refusal;
          this.places++;
          let held = 1;
          return {
            publish: async (data) => {
              this.lengths.push(data.length);
              this.published.push(data);
              return { kind: "published" };
            },
            release: () => {
              this.places -= held;
              held = 0;
            },
          };
        },
        refused: (_sender, _message, { code }) => void this.refused.push(code),
      },
      clock: this.clock,
      log: { debug: (_, properties) => void this.logged.push(properties) },
      audit: { record: (event) => void this.audited.push(event) },
      sockets: { addressOf: () => this.address },
      grantOf: (c) => this.grantOf(c),
      refusalNow: (grant) => this.refusalNow(grant),
    },
  );

  async post(body: BodyInit, headers: Record<string, string> = {}): Promise<Response> {
    const init = { method: "POST", body, headers, duplex: "half" } as RequestInit;
    return await this.#app.request("/publish/a", init);
  }
}

/** A body in chunks of so many bytes. */
function chunks(...lengths: readonly number[]): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start(controller) {
      for (const length of lengths) controller.enqueue(new Uint8Array(length));
      controller.close();
    },
  });
}

/** A body that isn't there before `arrive` is called; `read` resolves when somebody wants it. */
function heldBody() {
  const read = Promise.withResolvers<void>();
  const arrive = Promise.withResolvers<void>();
  const body = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        read.resolve();
        await arrive.promise;
        controller.enqueue(new Uint8Array(1));
        controller.close();
      },
    },
    // Only a reader pulls.
    { highWaterMark: 0 },
  );
  let wasRead = false;
  read.promise.then(() => {
    wasRead = true;
  });
  return { body, read: read.promise, arrive: () => arrive.resolve(), wasRead: () => wasRead };
}

test("A body is not read for a client that is not let in, or has no place", async () => {
  const posts = new Posts();
  const unread = heldBody();
  posts.grantOf = async () => ({ kind: "unauthenticated", message: "no token" });
  const stranger = await posts.post(unread.body);
  expect([stranger.status, stranger.headers.get("connection")]).toEqual([401, "close"]);
  posts.grantOf = async () => everybody;
  posts.refusal = TOO_MANY;
  const another = heldBody();
  const late = await posts.post(another.body);
  expect([late.status, late.headers.get("retry-after")]).toEqual([429, "1"]);
  expect([unread.wasRead(), another.wasRead()]).toEqual([false, false]);
  // A body that is whole in a moment doesn't cost its connection.
  const short = await posts.post("1", { "Content-Length": "1" });
  expect([short.status, short.headers.get("connection")]).toEqual([429, null]);
  // Clients that are refused together don't return together.
  expect(short.headers.get("retry-after")).toBe("2");
  for (let n = 0; n < 5000; n++) await posts.post("1", { "Content-Length": "1" });
  const last = await posts.post("1", { "Content-Length": "1" });
  expect(Number(last.headers.get("retry-after"))).toBeGreaterThan(5);
  expect(posts.logged.slice(0, 2)).toEqual([
    { event: "post_refused", address: "192.0.2.1", status: 401, reason: "no token" },
    { event: "post_refused", address: "192.0.2.1", status: 429, reason: "Too many" },
  ]);
});

test("A message is not published if its token was revoked, or has expired, while the body came", async () => {
  const posts = new Posts();
  const held = heldBody();
  const answer = posts.post(held.body);
  await held.read;
  posts.refusalNow = (grant) => {
    expect(grant).toBe(everybody);
    return { kind: "unauthenticated", message: "The token is revoked" };
  };
  held.arrive();
  expect((await answer).status).toBe(401);
  expect([posts.lengths, posts.places]).toEqual([[], 0]);
});

test("A body in chunks has a place for the largest message, another one for its length", async () => {
  const posts = new Posts();
  expect((await posts.post(chunks(2, 3))).status).toBe(202);
  expect((await posts.post(new Uint8Array(7), { "Content-Length": "7" })).status).toBe(202);
  expect([posts.announced, posts.lengths]).toEqual([
    [100, 7],
    [5, 7],
  ]);
  expect(posts.places).toBe(0);
});

test("A body in many chunks is put together as it was sent", async () => {
  const posts = new Posts();
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      for (let n = 0; n < 100; n++) controller.enqueue(Uint8Array.of(n));
      controller.enqueue(new Uint8Array());
      controller.close();
    },
  });
  expect((await posts.post(body)).status).toBe(202);
  expect(posts.published).toEqual([Uint8Array.from({ length: 100 }, (_, n) => n)]);
});

test("A body that is longer than a message may be is not published, and gives its place back", async () => {
  const posts = new Posts();
  const answer = await posts.post(chunks(60, 60, 60));
  expect([answer.status, answer.headers.get("connection")]).toEqual([413, "close"]);
  expect([posts.lengths, posts.refused, posts.places]).toEqual([[], ["too_large"], 0]);
});

test("A body that ends before it is complete is not published", async () => {
  const posts = new Posts();
  const broken = new ReadableStream({
    pull(controller) {
      controller.enqueue(new Uint8Array(1));
      controller.error(new Error("cut off"));
    },
  });
  expect((await posts.post(broken)).status).toBe(400);
  expect([posts.lengths, posts.places]).toEqual([[], 0]);
});

test("A body that ends after its request was answered with 408 is not published", async () => {
  const posts = new Posts();
  const late = heldBody();
  const answer = posts.post(late.body);
  await late.read;
  expect(posts.places).toBe(1);
  posts.clock.advance(1000);
  expect((await answer).status).toBe(408);
  expect(posts.places).toBe(0);
  late.arrive();
  // The next message is published: by then the late one would be, too.
  expect((await posts.post(chunks(2))).status).toBe(202);
  expect(posts.lengths).toEqual([2]);
  expect(posts.clock.timers).toBe(0);
});

test("An address whose messages are refused for its credentials is not asked for them more often than it may publish", async () => {
  const posts = new Posts();
  let checks = 0;
  const refuse = async (kind: "unauthenticated" | "unavailable") => {
    checks++;
    return { kind, message: "no" } as const;
  };
  // A subject that the gateway can't check is nobody's fault.
  posts.grantOf = () => refuse("unavailable");
  for (let n = 0; n < 30; n++) expect((await posts.post("1")).status).toBe(503);
  posts.grantOf = () => refuse("unauthenticated");
  const statuses: number[] = [];
  for (let n = 0; n < 30; n++) statuses.push((await posts.post("1")).status);
  expect(statuses).toEqual([...Array(20).fill(401), ...Array(10).fill(429)]);
  expect(checks).toBe(50);
  expect(posts.audited).toEqual(Array(10).fill("client_limited"));
  expect((await posts.post("1")).headers.get("retry-after")).toBe("1");
  // Others are asked.
  posts.grantOf = async () => everybody;
  expect((await posts.post("1")).status).toBe(429);
  posts.address = "192.0.2.2";
  expect((await posts.post("1")).status).toBe(202);
  posts.address = "192.0.2.1";
  posts.clock.advance(100);
  expect((await posts.post("1")).status).toBe(202);
});

test("A client whose token doesn't allow its messages counts like one without a valid token", async () => {
  const posts = new Posts();
  posts.grantOf = async () => new Grant([">"], { ...everybody.terms, basis: "claims" });
  posts.refusal = { code: "forbidden", message: "this client may not publish" };
  const statuses: number[] = [];
  for (let n = 0; n < 21; n++) statuses.push((await posts.post("1")).status);
  expect(statuses).toEqual([...Array(20).fill(403), 429]);
});

test("Ten thousand addresses whose messages are refused are remembered, and the last ones longest", () => {
  const failed = new FailedPosts(1);
  for (const n of [0, 1, 0, 1]) failed.failed(`${n}`, 0);
  expect([failed.waitMs("0", 0), failed.waitMs("1", 0)]).toEqual([1000, 1000]);
  // Addresses that may still post are forgotten before those that have to wait.
  for (let n = 2; n < 20_000; n++) failed.failed(`${n}`, 0);
  expect([failed.waitMs("0", 0), failed.waitMs("1", 0)]).toEqual([1000, 1000]);
  // The first of those that are left, which is remembered, and one that isn't.
  for (const n of ["10002", "10001"]) failed.failed(n, 0);
  expect([failed.waitMs("10002", 0), failed.waitMs("10001", 0)]).toEqual([1000, 0]);
  expect(failed.waitMs("1", 1000)).toBe(0);
  // If all have to wait, the one that failed first is free first.
  for (let n = 0; n < 10_000; n++) for (const _ of [1, 2]) failed.failed(`all ${n}`, 5000);
  failed.failed("one more", 5000);
  expect([failed.waitMs("all 0", 5000), failed.waitMs("all 1", 5000)]).toEqual([0, 1000]);
});
