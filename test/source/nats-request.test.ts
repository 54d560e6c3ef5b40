import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { connect, type NatsConnection } from "nats";
import { NatsSource } from "../../src/source/nats.ts";
import { type NatsServer, startNatsServer } from "../support/nats-server.ts";
import { Recorder } from "./recorder.ts";

let server: NatsServer;
let service: NatsConnection;
const sources: NatsSource[] = [];

beforeAll(async () => {
  server = await startNatsServer({
    config: `authorization { users: [
      { user: all, password: p }
      { user: some, password: p, permissions: { publish: { deny: "svc.denied" } } }
    ] }`,
  });
  service = await connect({ servers: server.url, user: "all", pass: "p" });
});
afterEach(async () => {
  await Promise.all(sources.splice(0).map((source) => source.stop(1_000)));
});
afterAll(async () => {
  await service.close();
  await server.stop();
});

function create() {
  const recorder = new Recorder();
  const options = { servers: [server.url], name: "test", user: "some", password: "p" };
  const source = new NatsSource({ log: recorder.log, nats: { options } });
  sources.push(source);
  return { source, recorder };
}

async function connected(): Promise<NatsSource> {
  const { source, recorder } = create();
  source.start(recorder);
  await recorder.until("connected");
  return source;
}

const text = (data: Uint8Array): string => new TextDecoder().decode(data);

describe("A request", () => {
  test("gets the first answer, whatever others come", async () => {
    const source = await connected();
    const subscription = service.subscribe("svc.echo", {
      callback: (_, msg) => {
        msg.respond(`1:${msg.string()}`);
        msg.respond(`2:${msg.string()}`);
      },
    });
    await service.flush();
    const answers = Promise.all(["a", "b"].map((body) => source.request("svc.echo", body, 5000)));
    expect((await answers).map(text)).toEqual(["1:a", "1:b"]);
    subscription.unsubscribe();
  });

  test("may get an answer without data", async () => {
    const source = await connected();
    const subscription = service.subscribe("svc.empty", { callback: (_, msg) => msg.respond() });
    await service.flush();
    expect((await source.request("svc.empty", "", 5000)).length).toBe(0);
    subscription.unsubscribe();
  });

  test("fails at once if nobody listens, or NATS denies it", async () => {
    const source = await connected();
    const reason = (subject: string) =>
      source.request(subject, "", 60_000).catch((error: Error) => error.message);
    expect(await reason("svc.nobody")).toBe("nobody answers at svc.nobody");
    expect(await reason("svc.denied")).toBe("NATS does not let the gateway publish to svc.denied");
  });

  test("fails if no answer comes in time", async () => {
    const source = await connected();
    const subscription = service.subscribe("svc.silent", { callback: () => {} });
    await service.flush();
    await expect(source.request("svc.silent", "", 50)).rejects.toThrow("there is no answer");
    subscription.unsubscribe();
  });

  test("fails at once without a connection", async () => {
    const { source, recorder } = create();
    await expect(source.request("svc.echo", "", 60_000)).rejects.toThrow("the gateway is stopped");
    source.start(recorder);
    await expect(source.request("svc.echo", "", 60_000)).rejects.toThrow("there is no connection");
  });
});
