import { beforeEach, describe, expect, test } from "bun:test";
import { StreamFinder } from "../../src/source/jetstream/stream-finder.ts";
import { NoRespondersError, type Requests } from "../../src/source/requests.ts";

/** JetStream's answer for each subject; `undefined`: it is away. */
let streams: Readonly<Record<string, string>> | undefined;
let asked: string[];
let finder: StreamFinder;

const requests = {
  async ask(_: string, body: string) {
    const { subject } = JSON.parse(body) as { subject: string };
    asked.push(subject);
    if (streams === undefined) throw new NoRespondersError();
    const stream = streams[subject];
    const answer = { streams: stream === undefined ? [] : [stream] };
    return { msg: { data: new TextEncoder().encode(JSON.stringify(answer)) } };
  },
} as unknown as Requests;

beforeEach(() => {
  streams = { "orders.a": "ORDERS" };
  asked = [];
  finder = new StreamFinder();
});

const find = (subject: string) => finder.find(requests, subject);

describe("A subject whose stream is in doubt", () => {
  test("has it no more at once, and has it again if JetStream says so", async () => {
    expect(await find("orders.a")).toMatchObject({ stream: "ORDERS" });
    expect(finder.known("orders.a")).toMatchObject({ stream: "ORDERS" });
    finder.doubt("orders.a");
    expect(finder.known("orders.a")).toBe("unknown");
    expect(await find("orders.a")).toMatchObject({ stream: "ORDERS" });
    expect(finder.known("orders.a")).toMatchObject({ stream: "ORDERS" });
    expect(asked).toEqual(["orders.a", "orders.a"]);
  });

  test("keeps it while JetStream is away, also once another subject was found to have none", async () => {
    await find("orders.a");
    finder.doubt("orders.a");
    streams = undefined;
    expect(await find("orders.a")).toMatchObject({ stream: "ORDERS" });
    expect(await find("other")).toEqual({ stream: undefined });
    expect(finder.known("other")).toEqual({ stream: undefined });
    expect(finder.known("orders.a")).toBe("unknown");
    // Each doubt is about what JetStream said last, which doesn't get older by that.
    for (let doubt = 0; doubt < 100; doubt++) finder.doubt("orders.a");
    expect(await find("orders.a")).toMatchObject({ stream: "ORDERS" });
  });

  test("has the one that JetStream says when it is back, or none", async () => {
    await find("orders.a");
    finder.doubt("orders.a");
    streams = undefined;
    await find("orders.a");
    streams = { "orders.a": "NEW" };
    expect(await find("orders.a")).toMatchObject({ stream: "NEW" });
    finder.doubt("orders.a");
    streams = {};
    expect(await find("orders.a")).toMatchObject({ stream: undefined });
    expect(finder.known("orders.a")).toMatchObject({ stream: undefined });
  });

  test("is unknown if nothing was known of it", () => {
    finder.doubt("orders.a");
    expect(finder.known("orders.a")).toBe("unknown");
    expect(asked).toEqual([]);
  });
});

test("Every question has an answer as soon as it is known that there is no JetStream, however many wait", async () => {
  streams = undefined;
  let answered = 0;
  for (let n = 0; n < 1000; n++) {
    void find(`many.${n}`).then((stream) => {
      expect(stream).toEqual({ stream: undefined });
      answered++;
    });
  }
  expect(asked.length).toBe(256);
  await new Promise((resolve) => setImmediate(resolve));
  expect([answered, asked.length]).toEqual([1000, 256]);
});
