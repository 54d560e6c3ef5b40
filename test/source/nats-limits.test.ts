/** What NATS does not take: a pattern that ends the connection, and one too many. */
import { afterEach, describe, expect, test } from "bun:test";
import { type AddressInfo, createConnection, createServer, type Socket } from "node:net";
import { connect } from "nats";
import { NatsSource } from "../../src/source/nats.ts";
import { type NatsServer, startNatsServer } from "../support/nats-server.ts";
import { Recorder } from "./recorder.ts";

const ending: (() => unknown)[] = [];

afterEach(async () => {
  for (const end of ending.splice(0).reverse()) await end();
});

async function serve(config = ""): Promise<NatsServer> {
  const server = await startNatsServer({ config });
  ending.push(() => server.stop());
  return server;
}

async function started(url: string): Promise<{ source: NatsSource; recorder: Recorder }> {
  const recorder = new Recorder();
  const nats = { options: { servers: [url], name: "test" } };
  const source = new NatsSource({ log: recorder.log, nats });
  ending.push(() => source.stop(1_000));
  source.start(recorder);
  await recorder.until("connected");
  return { source, recorder };
}

/** A way to a server that ends the connection, as nats-server does, when one of these patterns is sent. */
async function startTrap(port: number, poison: RegExp): Promise<{ url: string; sprung: string[] }> {
  const sprung: string[] = [];
  const sockets = new Set<Socket>();
  const trap = createServer((client) => {
    const through = createConnection(port, "127.0.0.1");
    for (const socket of [client, through]) {
      sockets.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => {
        client.destroy();
        through.destroy();
      });
    }
    client.on("data", (data) => {
      const found = poison.exec(data.toString());
      if (found === null) through.write(data);
      else {
        sprung.push(found[0]);
        client.end("-ERR 'Unknown Protocol Operation'\r\n");
      }
    });
    through.on("data", (data) => client.writable && client.write(data));
  });
  const listening = Promise.withResolvers<void>();
  trap.listen(0, "127.0.0.1", listening.resolve);
  await listening.promise;
  ending.push(() => {
    trap.close();
    for (const socket of sockets) socket.destroy();
  });
  return { url: `nats://127.0.0.1:${(trap.address() as AddressInfo).port}`, sprung };
}

describe("NatsSource, when NATS ends the connection for a pattern", () => {
  test("finds it among those that were asked for with it, and never sends it again", async () => {
    const server = await serve();
    const { url, sprung } = await startTrap(server.port, /SUB poison /);
    const { source, recorder } = await started(url);
    source.subscribe("before");
    await recorder.arrivals.next();
    const others = Array.from({ length: 5 }, (_, n) => `with.${n}`);
    for (const pattern of [...others, "poison"]) source.subscribe(pattern);
    const found = await recorder.refusals.find(
      ({ isFinal }) => isFinal === true,
      "final refusal",
      30_000,
    );
    expect(found).toMatchObject({ pattern: "poison" });
    const times = sprung.length;
    // Six are halved to three, to two, to one.
    expect(times).toBeLessThanOrEqual(4);
    for (const pattern of others) {
      await recorder.arrivals.find((arrived) => arrived === pattern, pattern);
    }
    source.unsubscribe("poison");
    source.subscribe("poison");
    source.subscribe("after");
    await recorder.arrivals.find((arrived) => arrived === "after", "after");
    expect(sprung).toHaveLength(times);
    const publisher = await connect({ servers: server.url });
    ending.push(() => publisher.close());
    for (const subject of ["before", "after", ...others]) publisher.publish(subject);
    await recorder.messages.take(7);
  }, 60_000);
});

describe("NatsSource, when NATS takes no more subscriptions", () => {
  const MOST = 100;
  const wanted = Array.from({ length: 250 }, (_, n) => `full.${n}`);

  test("says of each pattern what NATS has made of it, also after it was cut off", async () => {
    const server = await serve(`max_subscriptions: ${MOST}`);
    const { source, recorder } = await started(server.url);
    // In several turns, so that NATS answers for some while it is asked for others.
    for (const [index, pattern] of wanted.entries()) {
      source.subscribe(pattern);
      if (index % 7 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    const check = async (): Promise<void> => {
      // NATS may be asked twice for a pattern that an error has put in doubt.
      const arrived = new Set<string>();
      while (arrived.size < MOST) arrived.add(await recorder.arrivals.next());
      const refused = await recorder.refusals.take(wanted.length - MOST);
      expect(refused.every(({ reason }) => /maximum subscriptions/.test(reason))).toBe(true);
      expect([...arrived, ...refused.map(({ pattern }) => pattern)].toSorted()).toEqual(
        wanted.toSorted(),
      );
    };
    await check();
    await server.restart();
    await recorder.until("connected");
    await check();
    // One line for each would be very many.
    expect(recorder.lines.entries.length).toBeLessThan(60);
  });

  test("takes those that were refused as soon as there is room", async () => {
    const server = await serve(`max_subscriptions: ${MOST}`);
    const { source, recorder } = await started(server.url);
    for (const pattern of wanted) source.subscribe(pattern);
    const taken = await recorder.arrivals.take(MOST);
    await recorder.refusals.take(wanted.length - MOST);
    for (const pattern of taken.slice(0, 30)) source.unsubscribe(pattern);
    const later = await recorder.arrivals.take(30);
    const publisher = await connect({ servers: server.url });
    ending.push(() => publisher.close());
    for (const subject of later) publisher.publish(subject);
    const messages = await recorder.messages.take(30);
    expect(messages.map(({ subject }) => subject)).toEqual(later);
  }, 60_000);
});
