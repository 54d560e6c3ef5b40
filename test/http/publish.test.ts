import { expect, test } from "bun:test";
import { Grant } from "../../src/core/access/grant.ts";
import type { SourceMessage } from "../../src/core/ports/source.ts";
import { publishRoutes } from "../../src/http/publish.ts";
import { ManualClock } from "../core/support/manual-clock.ts";

const everybody = Grant.forEverybody([">"], {
  publishSubjects: "everything",
  deliveryMode: "at-most-once",
  policy: "disconnect",
  allowedPolicies: [],
  startFrom: "new",
  maxSubscriptions: 1,
});

test("A body that ends after its request was answered with 408 is not published", async () => {
  const clock = new ManualClock();
  const published: SourceMessage[] = [];
  const app = publishRoutes(
    { subjects: [">"], maxBytes: 100, requestTimeoutMs: 1000 },
    {
      publishing: {
        async post(_, message) {
          published.push(message);
          return { kind: "published" };
        },
      },
      clock,
      grantOf: async () => everybody,
    },
  );
  const post = (body: ReadableStream<Uint8Array>) =>
    app.request("/publish/a", { method: "POST", body, duplex: "half" } as RequestInit);
  const late = Promise.withResolvers<ReadableStreamDefaultController<Uint8Array>>();
  const answer = post(
    new ReadableStream(
      {
        pull(controller) {
          late.resolve(controller);
          return new Promise(() => {});
        },
      },
      // Only a reader pulls.
      { highWaterMark: 0 },
    ),
  );
  const controller = await late.promise;
  clock.advance(1000);
  expect((await answer).status).toBe(408);

  controller.enqueue(new Uint8Array(1));
  controller.close();
  // What comes behind it is published: by then the late one would be, too.
  const whole = post(
    new ReadableStream({
      start(controller) {
        controller.enqueue(new Uint8Array(2));
        controller.close();
      },
    }),
  );
  expect((await whole).status).toBe(202);
  expect(published.map(({ data }) => data.length)).toEqual([2]);
});
