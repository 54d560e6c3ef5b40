import { expect, test } from "bun:test";
import { connect } from "nats";
import { connectNats, type NatsConnection } from "../../src/source/connect.ts";
import { NatsPublisher } from "../../src/source/nats-publisher.ts";
import { NatsSession } from "../../src/source/nats-session.ts";
import { PatternSet } from "../../src/source/pattern-set.ts";
import { UnsendablePatterns } from "../../src/source/unsendable-patterns.ts";
import { startNatsServer } from "../support/nats-server.ts";
import { Recorder } from "./recorder.ts";

test("NatsSession makes a new connection when its own is closed for good", async () => {
  const server = await startNatsServer();
  const recorder = new Recorder();
  const patterns = new PatternSet();
  patterns.add("life");
  const opened: NatsConnection[] = [];
  const unsendable = new UnsendablePatterns();
  const session = new NatsSession({
    patterns,
    unsendable,
    streams: undefined,
    publisher: new NatsPublisher(unsendable.lines),
    log: recorder.log,
    listener: recorder,
    after: undefined,
    connection: {
      owned: true,
      async open() {
        const connection = await connectNats({ servers: [server.url], name: "life" });
        opened.push(connection);
        return connection;
      },
    },
  });
  await recorder.until("connected");
  await opened[0]!.close();
  const { reason } = await recorder.until("connecting");
  expect(reason).toBe("the connection to NATS was closed: no reason given");
  await recorder.until("connected");
  expect(opened.length).toBe(2);
  expect(await recorder.arrivals.take(2)).toEqual(["life", "life"]);

  const publisher = await connect({ servers: server.url });
  publisher.publish("life");
  expect((await recorder.messages.next()).subject).toBe("life");
  await publisher.close();
  await session.end(1_000);
  expect(opened[1]!.isClosed()).toBe(true);
  await server.stop();
});
