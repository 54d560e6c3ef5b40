import { test } from "bun:test";
import { NatsSource } from "../../src/source/nats.ts";
import { until } from "../support/event-log.ts";
import { startNatsServer, subscriptionsAt } from "../support/nats-server.ts";
import { Recorder } from "./recorder.ts";

test("The requests of a source share one inbox, however often NATS was restarted", async () => {
  const server = await startNatsServer({ jetstream: true, monitoring: true });
  const recorder = new Recorder();
  const source = new NatsSource({
    log: recorder.log,
    streams: [{ name: "S", subjects: ["s.>"] }],
    nats: { options: { servers: [server.url], name: "test" } },
  });
  source.start(recorder);
  for (const restarts of [0, 1, 2]) {
    if (restarts > 0) await server.restart();
    await recorder.until("connected");
    await until(
      `one inbox after ${restarts} restarts`,
      async () =>
        (await subscriptionsAt(server)).filter((subject) => subject.startsWith("_INBOX.")),
      ({ length }) => length === 1,
    );
  }
  await source.stop(1_000);
  await server.stop();
});
