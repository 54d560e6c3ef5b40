import { connect, StorageType } from "nats";
import {
  type NatsServer,
  type NatsServerOptions,
  startNatsServer,
} from "../../test/support/nats-server.ts";
import { KEPT_STREAM, KEPT_SUBJECT } from "../load/endpoint.ts";
import type { Replay, Scenario } from "../scenario.ts";

/** So many messages are confirmed together. */
const TOGETHER = 500;

/** A NATS server for a scenario: with the stream that its clients go back to, where there is one. */
export async function startNatsFor(
  scenario: Scenario,
  options: NatsServerOptions = {},
): Promise<NatsServer> {
  if (scenario.kind !== "replay") return await startNatsServer(options);
  const nats = await startNatsServer({ ...options, jetstream: true });
  try {
    await fill(nats.url, scenario);
    return nats;
  } catch (error) {
    await nats.stop();
    throw error;
  }
}

async function fill(url: string, { messages, payloadBytes }: Replay): Promise<void> {
  const connection = await connect({ servers: url });
  const manager = await connection.jetstreamManager();
  const storage = StorageType.Memory;
  await manager.streams.add({ name: KEPT_STREAM, subjects: [KEPT_SUBJECT], storage });
  const stream = connection.jetstream();
  const payload = `{"d":"${"x".repeat(payloadBytes - '{"d":""}'.length)}"}`;
  for (let left = messages; left > 0; left -= TOGETHER) {
    const some = Array.from({ length: Math.min(TOGETHER, left) }, () =>
      stream.publish(KEPT_SUBJECT, payload),
    );
    await Promise.all(some);
  }
  await connection.close();
}
