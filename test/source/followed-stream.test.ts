import { afterEach, describe, expect, test } from "bun:test";
import type { Msg } from "../../src/source/connect.ts";
import { FollowedStream } from "../../src/source/jetstream/followed-stream.ts";
import type { MadeConsumer, StreamApi, StreamInfo } from "../../src/source/jetstream/stream-api.ts";
import { Recorder } from "./recorder.ts";

const NAME = "ORDERS";

/** JetStream on one connection, as far as a stream that is followed asks for it. */
class FakeApi {
  /** The creation of the stream that it describes. */
  origin: string;
  last = 0;
  replicas = 3;
  /** How often it was asked to describe the stream. */
  described = 0;
  readonly making = Promise.withResolvers<MadeConsumer>();
  readonly connection = { flush: async () => {} };
  /** Delivers a message of the consumer. */
  take: (msg: Msg) => void = () => {};
  readonly requests = {
    listen: (_inbox: string, take: (msg: Msg) => void) => {
      this.take = take;
      return { unsubscribe: () => {} };
    },
    watchDenials: () => () => {},
    faults: { unreadable: () => {} },
  };

  constructor(origin: string) {
    this.origin = origin;
  }

  async stream(): Promise<StreamInfo> {
    this.described++;
    const { origin, last, replicas } = this;
    return {
      origin,
      first: 1,
      ...{ last, replicas },
      captures: ["orders.>"],
      subjects: 0,
    } as unknown as StreamInfo;
  }

  createConsumer(): Promise<MadeConsumer> {
    return this.making.promise;
  }

  isAtLeast(): boolean {
    return true;
  }

  deleteConsumer(): void {}
}

const recorder = new Recorder();
const followed: FollowedStream[] = [];

afterEach(() => {
  for (const stream of followed.splice(0)) stream.close();
});

function follow(api: FakeApi, stream = create()): FollowedStream {
  void stream.open(api as unknown as StreamApi, recorder);
  return stream;
}

function create(): FollowedStream {
  const stream = new FollowedStream({ name: NAME, subjects: ["orders.>"] }, recorder.log);
  followed.push(stream);
  return stream;
}

/** Lets all that is under way in this turn of the event loop come to its end. */
async function turn(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

describe("A stream that is followed", () => {
  test("is described again once its consumer is there, as it may be another stream by then", async () => {
    const api = new FakeApi("ORDERS:1");
    follow(api);
    await turn();
    expect(api.described).toBe(1);
    api.origin = "ORDERS:2";
    api.making.resolve({ name: "consumer", filters: true });
    await turn();
    expect(api.described).toBe(2);
    await recorder.tips.find(({ origin }) => origin === "ORDERS:2", "the new stream");
  });

  test("is not said to be what it was by an answer that comes after the next connection", async () => {
    const [before, now] = [new FakeApi("ORDERS:3"), new FakeApi("ORDERS:4")];
    const stream = follow(before);
    await turn();
    follow(now, stream);
    now.making.resolve({ name: "consumer", filters: true });
    await turn();
    before.making.resolve({ name: "consumer", filters: true });
    await turn();
    expect(recorder.tips.entries.at(-1)).toMatchObject({ origin: "ORDERS:4" });
    expect(stream.status.isFollowed).toBe(true);
  });

  test("does not go back because a replica that stood still has less of it", async () => {
    const [before, stale] = [new FakeApi("ORDERS:5"), new FakeApi("ORDERS:5")];
    before.last = 9;
    const stream = follow(before);
    await turn();
    stale.last = 7;
    follow(stale, stream);
    await turn();
    expect(stream.status.sequence).toBe(9);
    expect(stream.problem).toContain("its leader doesn't have what came of it before");
    const tips = recorder.tips.entries.filter(({ origin }) => origin === "ORDERS:5");
    expect(tips.map(({ sequence, lost }) => [sequence, lost])).toEqual([[9, false]]);
  });

  test("delivers nothing again that the consumer of a lagging replica sends once more", async () => {
    const api = new FakeApi("ORDERS:7");
    api.last = 9;
    const stream = follow(api);
    api.making.resolve({ name: "consumer", filters: true });
    await turn();
    const before = recorder.messages.entries.length;
    for (const [index, sequence] of [8, 9, 10].entries()) {
      const reply = `$JS.ACK.ORDERS.consumer.1.${sequence}.${index + 1}.1700000000000000000.${2 - index}`;
      api.take({ subject: `orders.${sequence}`, reply, data: new Uint8Array() } as unknown as Msg);
    }
    const delivered = recorder.messages.entries.slice(before).map(({ subject }) => subject);
    expect(delivered).toEqual(["orders.10"]);
    expect(stream.status).toMatchObject({ sequence: 10, isFollowed: true });
  });

  test("goes back, and says that messages are lost, if its only server has less of it", async () => {
    const [before, restored] = [new FakeApi("ORDERS:6"), new FakeApi("ORDERS:6")];
    before.last = 9;
    const stream = follow(before);
    await turn();
    Object.assign(restored, { last: 7, replicas: 1 });
    follow(restored, stream);
    await turn();
    expect(recorder.tips.entries.at(-1)).toMatchObject({ sequence: 7, lost: true });
  });
});
