/** Clients that begin in the past are told that they have caught up, whatever lies at the end of their stream. */
import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import type { StreamConfig } from "nats";
import { createGateway, type Gateway } from "../../src/mod.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { type StreamFixture, useStreams } from "../contract/support/stream-fixture.ts";
import { until, within } from "../support/event-log.ts";
import { EventParser, type ServerEvent } from "../support/event-parser.ts";

setDefaultTimeout(120_000);

/** A clock whose long timers never fire: nobody is told something because a time is over. */
const clock = {
  ...systemClock,
  after: (delayMs: number, call: () => void) =>
    delayMs < 5000 ? systemClock.after(delayMs, call) : () => {},
};

/** The number of messages of the stream that the gateway carries. */
const KEPT = 5;

interface End {
  readonly name: string;
  readonly stream?: Partial<StreamConfig>;
  /** Makes the end of a stream that has these messages. */
  make(nats: StreamFixture, name: string): Promise<void>;
}

const last = async ({ manager }: StreamFixture, name: string): Promise<number> =>
  (await manager.streams.info(name)).state.last_seq;

const remove = async (nats: StreamFixture, name: string): Promise<void> => {
  await nats.manager.streams.deleteMessage(name, await last(nats, name));
};

const other = (nats: StreamFixture, name: string): Promise<void> =>
  nats.fill(`${name.toLowerCase()}.other.x`, 3);

const ENDS: readonly End[] = [
  { name: "messages that the gateway doesn't carry", make: other },
  { name: "a deleted message", make: remove },
  {
    name: "a deleted message that the gateway doesn't carry",
    make: async (nats, name) => {
      await other(nats, name);
      await remove(nats, name);
    },
  },
  {
    name: "nothing, as all was purged",
    make: async ({ manager }, name) => void (await manager.streams.purge(name)),
  },
  {
    name: "nothing, as all is too old",
    stream: { max_age: 1e9 },
    make: async ({ manager }, name) => {
      await until(
        "empty stream",
        () => manager.streams.info(name),
        ({ state }) => state.messages === 0,
      );
    },
  },
  {
    name: "replaced messages",
    stream: { max_msgs_per_subject: 1 },
    make: async (nats, name) => {
      await other(nats, name);
      await other(nats, name);
    },
  },
];

/** Reads the events of a client until it has caught up. */
async function catchUp(gateway: Gateway, query: string): Promise<ServerEvent[]> {
  const ending = new AbortController();
  const request = new Request(`http://localhost/ws/sse?${query}`, { signal: ending.signal });
  const { body, status } = await gateway.app.request(request);
  expect(status).toBe(200);
  const events: ServerEvent[] = [];
  const parser = new EventParser((event) => events.push(event));
  const reader = body!.pipeThrough(new TextDecoderStream()).getReader();
  const read = async (): Promise<void> => {
    while (!events.some(({ type }) => type === "caught_up")) {
      const { value, done } = await reader.read();
      if (done) throw new Error("the events have ended");
      parser.push(value);
    }
  };
  try {
    await within(read(), () => `"caught_up" for ${query}; events: ${JSON.stringify(events)}`);
  } finally {
    await reader.cancel();
    ending.abort();
  }
  return events;
}

describe("A client that begins in the past has caught up without a wait, if its stream ends with", () => {
  const nats = useStreams();
  const gateways: Gateway[] = [];
  afterAll(() => Promise.all(gateways.map((gateway) => gateway.stop())));

  async function follow(name: string): Promise<Gateway> {
    const kept = `${name.toLowerCase()}.kept.>`;
    const config = { nats_url: nats.url, streams: [`${name}:${kept}`], ring_messages: 100 };
    const log = { debug() {}, info() {}, warn() {}, error() {} };
    const gateway = await createGateway(config, { clock, log });
    gateways.push(gateway);
    await gateway.start();
    await until(
      "readiness",
      async () => (await gateway.app.request("http://localhost/readyz")).status,
      (status) => status === 200,
    );
    return gateway;
  }

  test.each(ENDS.map((end, index) => [end.name, index] as const))("%s", async (_, index) => {
    const { stream, make } = ENDS[index]!;
    const name = `END${index}`;
    await nats.create(name, stream);
    const early = await follow(name);
    for (let n = 0; n < KEPT; n++) await nats.fill(`${name.toLowerCase()}.kept.${n}`, 1, n);
    const [, ...live] = await catchUp(early, "from=all");
    const cursor = live.findLast(({ type }) => type === "message")?.id ?? "";
    expect(cursor).not.toBe("");
    await make(nats, name);
    const beyond = cursor.replace(/\d+$/, String(await last(nats, name)));
    for (const gateway of [early, await follow(name)]) {
      for (const from of [
        ...["from=all", "from=last", "from=last_per_subject", "from=seq:1", "from=seq:3"],
        ...["from=time:2020-01-01T00:00:00Z", `after=${cursor}`, `after=${beyond}`],
      ]) {
        const events = await catchUp(gateway, from);
        const reasons = events.flatMap(({ type, data }) =>
          type === "gap" ? JSON.parse(data).reason : [],
        );
        expect({ from, reasons: reasons.filter((reason) => reason !== "expired") }).toEqual({
          from,
          reasons: [],
        });
      }
      // A message that the stream doesn't have yet.
      await catchUp(gateway, "from=seq:1000");
    }
  });
});
