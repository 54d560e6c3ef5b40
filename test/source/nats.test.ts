import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { type AddressInfo, createConnection, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { connect, headers, type NatsConnection } from "nats";
import type { SourceListener } from "../../src/core/ports/source.ts";
import { connectNats } from "../../src/source/connect.ts";
import { NatsSource } from "../../src/source/nats.ts";
import { within } from "../support/event-log.ts";
import { type NatsServer, startNatsServer, subscriptionsAt } from "../support/nats-server.ts";
import { publishWithHeaders } from "../support/raw-nats.ts";
import { Recorder } from "./recorder.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

let server: NatsServer;
let publisher: NatsConnection;
const sources: NatsSource[] = [];

beforeAll(async () => {
  server = await startNatsServer();
  publisher = await connect({ servers: server.url });
});
afterEach(async () => {
  await Promise.all(sources.splice(0).map((source) => source.stop(1_000)));
});
afterAll(async () => {
  await publisher.close();
  await server.stop();
});

/** A source that is subscribed to patterns and stopped after the test, with what it says. */
function create(
  patterns: string[],
  servers: string[] = [server.url],
): { source: NatsSource; recorder: Recorder } {
  const recorder = new Recorder();
  const nats = { options: { servers, name: "test" } };
  const source = new NatsSource({ log: recorder.log, nats });
  for (const pattern of patterns) source.subscribe(pattern);
  sources.push(source);
  return { source, recorder };
}

async function started(patterns: string[], servers?: string[]): ReturnType<typeof startedSource> {
  return await startedSource(create(patterns, servers));
}

async function startedSource(
  made: ReturnType<typeof create>,
): Promise<{ source: NatsSource; recorder: Recorder }> {
  made.source.start(made.recorder);
  await made.recorder.until("connected");
  return made;
}

for (const transport of ["nats", "ws"] as const) {
  describe(`NatsSource over ${transport}://`, () => {
    const urls = (): string[] => [transport === "nats" ? server.url : server.wsUrl];

    test("delivers payloads byte for byte, the empty one too", async () => {
      const { recorder } = await started(["bytes.>"], urls());
      const all = Uint8Array.from({ length: 256 }, (_, byte) => byte);
      const large = new Uint8Array(500_000).map((_, index) => index % 251);
      publisher.publish("bytes.all", all);
      publisher.publish("bytes.none");
      publisher.publish("bytes.large", large);
      publisher.publish("bytes.crlf", bytes("\r\nMSG x 1 0\r\n\r\n"));
      const received = await recorder.messages.take(4);
      expect(received.map(({ subject }) => subject)).toEqual([
        "bytes.all",
        "bytes.none",
        "bytes.large",
        "bytes.crlf",
      ]);
      expect(received.map(({ data }) => Buffer.from(data).toString("base64"))).toEqual(
        [all, bytes(""), large, bytes("\r\nMSG x 1 0\r\n\r\n")].map((data) =>
          Buffer.from(data).toString("base64"),
        ),
      );
    });

    test("hands over headers as they were sent, and none where there are none", async () => {
      const { recorder } = await started(["headers"], urls());
      const some = headers();
      some.append("Nats-Msg-Id", "7");
      some.append("x-Mixed-CASE", "a");
      some.append("x-Mixed-CASE", "b: c");
      publisher.publish("headers", bytes("with"), { headers: some });
      publisher.publish("headers", bytes("without"));
      publisher.publish("headers", bytes("empty"), { headers: headers(503, "No Responders") });
      const received = await recorder.messages.take(3);
      expect(received.map((message) => message.headers)).toEqual([
        { "Nats-Msg-Id": ["7"], "x-Mixed-CASE": ["a", "b: c"] },
        undefined,
        undefined,
      ]);
      expect(received.map(({ data }) => new TextDecoder().decode(data))).toEqual([
        "with",
        "without",
        "empty",
      ]);
    });

    test("delivers 20,000 messages in order", async () => {
      const { recorder } = await started(["order.*"], urls());
      for (let number = 0; number < 20_000; number++) {
        publisher.publish(`order.${number % 7}`, bytes(String(number)));
      }
      const received = await recorder.messages.take(20_000);
      const decoder = new TextDecoder();
      const wrong = received.findIndex(({ data }, index) => decoder.decode(data) !== `${index}`);
      expect(wrong).toBe(-1);
    });

    test("is back after NATS was restarted, with its subscriptions", async () => {
      const own = await startNatsServer();
      const { recorder } = await started(["back.>"], [transport === "nats" ? own.url : own.wsUrl]);
      await own.stop();
      expect((await recorder.until("connecting")).reason).toContain("lost the connection to");
      await own.restart();
      await recorder.until("connected");
      const other = await connect({ servers: own.url });
      other.publish("back.again");
      expect((await recorder.messages.next()).subject).toBe("back.again");
      expect(recorder.states).toEqual(["connecting", "connected", "connecting", "connected"]);
      await other.close();
      await own.stop();
    });

    test("says that NATS is not there, and connects when it comes", async () => {
      const own = await startNatsServer();
      await own.stop();
      const url = transport === "nats" ? own.url : own.wsUrl;
      const { source, recorder } = create(["late"], [url]);
      source.start(recorder);
      const { reason } = await recorder.until("connecting", (status) =>
        status.reason.startsWith("Cannot connect"),
      );
      expect(reason).toMatch(/^Cannot connect to NATS at (nats|ws):\/\/127.0.0.1:\d+\/?: ./);
      await own.restart();
      await recorder.until("connected");
      expect(recorder.states.filter((state) => state === "connected")).toEqual(["connected"]);
      await own.stop();
    });
  });
}

describe("NatsSource", () => {
  test("delivers once what several of its patterns match", async () => {
    const { recorder } = await started(["over.a.*", "over.*.b", "over.a.b", "over.>", "*.a.b"]);
    publisher.publish("over.a.b");
    publisher.publish("over.a.x");
    publisher.publish("over.x.b");
    publisher.publish("else.a.b");
    publisher.publish("over.end");
    await recorder.messages.find(({ subject }) => subject === "over.end");
    expect(recorder.subjects).toEqual(["over.a.b", "over.a.x", "over.x.b", "else.a.b", "over.end"]);
  });

  test("does not deliver NATS' own subjects because of a wildcard, but where they are named", async () => {
    const { recorder } = await started([">", "$KV.prices.*"]);
    for (const subject of ["_INBOX.x", "$KV.prices.eur", "$KV.other.x", "$OTHER", "end"]) {
      publisher.publish(subject);
    }
    await recorder.messages.find(({ subject }) => subject === "end");
    expect(recorder.subjects.sort()).toEqual(["$KV.prices.eur", "end"]);
  });

  test("is at work after start returned, and idle after stop", async () => {
    const { source, recorder } = create(["x"]);
    expect(source.status).toEqual({ state: "idle" });
    source.start(recorder);
    expect(source.status.state).toBe("connecting");
    const { to } = await recorder.until("connected");
    expect(`nats://${to}`).toBe(server.url);
    await source.stop(1_000);
    expect(source.status).toEqual({ state: "idle" });
    expect(recorder.states).toEqual(["connecting", "connected", "idle"]);
  });

  test("can be stopped before it was started, twice, and be started again", async () => {
    const { source, recorder } = create(["again"]);
    await source.stop(1_000);
    source.start(recorder);
    await recorder.until("connected");
    await Promise.all([source.stop(1_000), source.stop(1_000)]);
    source.start(recorder);
    await recorder.until("connected");
    publisher.publish("again");
    await recorder.messages.next();
    expect(recorder.subjects).toEqual(["again"]);
  });

  test("can be started again while it stops", async () => {
    const { source, recorder } = await started(["meanwhile"]);
    const stopped = source.stop(1_000);
    const second = new Recorder();
    source.start(second);
    await stopped;
    await second.until("connected");
    publisher.publish("meanwhile");
    await second.messages.next();
    expect(recorder.subjects).toEqual([]);
    expect(recorder.states.at(-1)).toBe("idle");
    expect(source.status.state).toBe("connected");
  });

  test("refuses to be started twice", async () => {
    const { source } = await started(["twice"]);
    expect(() => source.start(new Recorder())).toThrow("Cannot start a source that is started");
  });

  test("delivers what NATS had sent before it is stopped", async () => {
    const { source, recorder } = await started(["drain"]);
    for (let number = 0; number < 5_000; number++) publisher.publish("drain");
    await publisher.flush();
    await source.stop(5_000);
    expect(recorder.messages.entries.length).toBe(5_000);
    publisher.publish("drain");
    await publisher.flush();
    expect(recorder.messages.entries.length).toBe(5_000);
  });

  test("that is to be quiet delivers what NATS had sent, nothing more, and still publishes", async () => {
    const { source, recorder } = await started(["quiet.in"]);
    for (let number = 0; number < 1_000; number++) publisher.publish("quiet.in");
    await publisher.flush();
    await source.drain(5_000);
    expect(recorder.messages.entries.length).toBe(1_000);
    publisher.publish("quiet.in");
    const heard = publisher.subscribe("quiet.out", { max: 1 });
    await publisher.flush();
    source.publish({ subject: "quiet.out", data: bytes("1") });
    await source.stop(5_000);
    for await (const message of heard) expect(message.string()).toBe("1");
    expect(recorder.messages.entries.length).toBe(1_000);
    expect(recorder.states).toEqual(["connecting", "connected", "idle"]);
  });

  test("is quiet at once while NATS is away", async () => {
    const away = await startNatsServer();
    await away.stop();
    const { source, recorder } = create(["x"], [away.url]);
    source.start(recorder);
    await recorder.until("connecting", ({ reason }) => reason.startsWith("Cannot connect"));
    await within(source.drain(10_000), "end of quiet", 500);
    await within(source.stop(10_000), "end of stop", 500);
    expect(recorder.states.at(-1)).toBe("idle");
  });

  test("closes its connection when it is stopped", async () => {
    const gate = await startGate(server.port);
    gate.open();
    const { source } = await started(["bye"], [gate.url]);
    await source.stop(1_000);
    expect(await within(gate.closed, "end of the connection")).toContain("UNSUB");
  });

  test("stops at once while NATS is away", async () => {
    const away = await startNatsServer();
    await away.stop();
    const { source, recorder } = create(["x"], [away.url]);
    source.start(recorder);
    await recorder.until("connecting", ({ reason }) => reason.startsWith("Cannot connect"));
    await within(source.stop(10_000), "end of stop", 500);
    expect(recorder.states.at(-1)).toBe("idle");
  });

  test("stops at once while it was cut off from NATS", async () => {
    const lost = await startNatsServer();
    const { source, recorder } = await started(["x"], [lost.url]);
    await lost.stop();
    await recorder.until("connecting");
    await within(source.stop(10_000), "end of stop", 500);
    expect(recorder.states.at(-1)).toBe("idle");
  });

  test("stops at once while it dials, and closes the connection that is made after all", async () => {
    const gate = await startGate(server.port);
    const { source, recorder } = create(["x"], [gate.url]);
    source.start(recorder);
    await gate.dialled;
    await within(source.stop(10_000), "end of stop", 500);
    expect(source.status).toEqual({ state: "idle" });
    gate.open();
    expect(await within(gate.closed, "end of the connection")).toContain("CONNECT {");
    expect(recorder.states).toEqual(["connecting", "idle"]);
  });

  test("ends its stop in time when NATS answers no more", async () => {
    const frozen = await startNatsServer();
    const { source, recorder } = await started(["x"], [frozen.url]);
    process.kill(frozen.pid, "SIGSTOP");
    try {
      await within(source.stop(100), "end of stop", 1_000);
      expect(recorder.states.at(-1)).toBe("idle");
    } finally {
      process.kill(frozen.pid, "SIGCONT");
      await frozen.stop();
    }
  });

  test("logs that a server enters lame duck mode, and stays connected as long as it may", async () => {
    const lame = await startNatsServer();
    const { source, recorder } = await started(["x"], [lame.url]);
    process.kill(lame.pid, "SIGUSR2");
    const { level } = await recorder.lines.find(({ text }) => text.includes("lame duck mode"));
    expect(level).toBe("info");
    expect(source.status.state).toBe("connected");
    // A lame duck takes ten seconds to leave when it is asked to.
    process.kill(lame.pid, "SIGKILL");
    await lame.stop();
  });

  test("survives a listener that throws, and counts it", async () => {
    const { source, recorder } = create(["throw"]);
    let told = 0;
    const listener: SourceListener = {
      stream() {},
      message() {
        told++;
        if (told === 1) throw new Error("broken listener");
        recorder.messages.add({ subject: "second", data: bytes(""), headers: undefined });
      },
      status(status) {
        recorder.status(status);
        throw new Error("broken status");
      },
      arrives() {
        throw new Error("broken arrival");
      },
      refused() {},
      streamRefused() {},
      fault: (kind, detail) => recorder.fault(kind, detail),
    };
    source.start(listener);
    await recorder.until("connected");
    publisher.publish("throw");
    publisher.publish("throw");
    await recorder.messages.next();
    expect(recorder.faults.entries).toEqual(
      [
        "handling a status failed: broken status",
        "handling a status failed: broken status",
        "handling the arrival of throw failed: broken arrival",
        "handling a message on throw failed: broken listener",
      ].map((detail) => ({ kind: "source_fault", detail })),
    );
  });

  test("delivers messages whose headers are against the rules, without headers", async () => {
    const { recorder } = await started(["malformed"]);
    await publishWithHeaders(server.port, "malformed", ["NATS/1.0", "bad key: 1"], "hi");
    const { data, headers } = await recorder.messages.next();
    expect(new TextDecoder().decode(data)).toBe("hi");
    expect(headers).toBeUndefined();
  });
});

describe("NatsSource on a connection that is not its own", () => {
  test("leaves the connection and its other subscriptions as they are", async () => {
    const recorder = new Recorder();
    const others: string[] = [];
    const connection = await connectNats({ servers: [server.url], name: "host" });
    connection.subscribe("shared.>", { callback: (_, msg) => others.push(msg.subject) });
    const source = new NatsSource({ log: recorder.log, nats: { connection } });
    source.subscribe("shared.*");
    source.start(recorder);
    await recorder.until("connected");
    publisher.publish("shared.one");
    await recorder.messages.next();
    await source.stop(1_000);
    publisher.publish("shared.two");
    await publisher.flush();
    await connection.flush();
    expect(connection.isClosed()).toBe(false);
    expect(others).toEqual(["shared.one", "shared.two"]);
    expect(recorder.subjects).toEqual(["shared.one"]);

    source.start(recorder);
    await recorder.until("connected");
    await source.stop(1_000);
    await connection.close();
  });

  test("leaves no subscription there, and takes a message of its own once, however often it is started", async () => {
    const recorder = new Recorder();
    const monitored = await startNatsServer({ monitoring: true });
    const connection = await connectNats({ servers: [monitored.url], name: "host" });
    const taken: string[] = [];
    const take = (data: Uint8Array): void => void taken.push(new TextDecoder().decode(data));
    const reads = { subject: { name: "own", take } };
    const source = new NatsSource({ log: recorder.log, nats: { connection }, reads });
    connection.subscribe("silent", { callback: () => {} });
    for (const run of ["first", "second"]) {
      source.start(recorder);
      await recorder.until("connected");
      connection.publish("own", run);
      await expect(source.request("nobody", "", 5_000)).rejects.toThrow("nobody answers");
      const unanswered = source.request("silent", "", 60_000).catch(String);
      await source.stop(1_000);
      expect(await unanswered).toBe("Error: the connection is lost");
    }
    connection.publish("own", "afterwards");
    await connection.flush();
    expect(taken).toEqual(["first", "second"]);
    expect(await subscriptionsAt(monitored)).toEqual(["silent"]);
    await connection.close();
    await monitored.stop();
  });

  test("notices a NATS that is dead in silence by the connection's pings", async () => {
    const recorder = new Recorder();
    const frozen = await startNatsServer();
    const connection = await connect({ servers: frozen.url, pingInterval: 20, maxPingOut: 2 });
    const source = new NatsSource({ log: recorder.log, nats: { connection } });
    source.subscribe("x");
    source.start(recorder);
    const { to } = await recorder.until("connected");
    process.kill(frozen.pid, "SIGSTOP");
    const { reason } = await recorder.until("connecting");
    process.kill(frozen.pid, "SIGCONT");
    expect(reason).toBe(`${to} stopped answering pings`);
    await recorder.until("connected");
    await source.stop(1_000);
    await connection.close();
    await frozen.stop();
  });

  test("tries again at once where a server closes the connection instead of answering the login", async () => {
    const clients: Socket[] = [];
    const way = createServer((client) => {
      client.on("error", () => {});
      const through = createConnection(server.port, "127.0.0.1");
      client.once("close", () => through.destroy());
      through.pipe(client);
      // As a server does that has begun to stop.
      if (clients.push(client) === 2) client.once("data", () => client.destroy());
      else client.pipe(through);
    });
    await new Promise<void>((listening) => way.listen(0, "127.0.0.1", listening));
    const { port } = way.address() as AddressInfo;
    const recorder = new Recorder();
    const connection = await connect({
      servers: `127.0.0.1:${port}`,
      maxReconnectAttempts: -1,
      reconnectTimeWait: 20,
      // An attempt would last longer than this test waits.
      timeout: 60_000,
    });
    const source = new NatsSource({ log: recorder.log, nats: { connection } });
    source.subscribe("x");
    source.start(recorder);
    await recorder.until("connected");
    clients[0]?.destroy();
    await recorder.until("connecting");
    await recorder.until("connected");
    expect(clients).toHaveLength(3);
    await recorder.arrivals.take(2);
    publisher.publish("x");
    await recorder.messages.next();
    // nats.js says twice that it is back.
    expect(recorder.arrivals.entries).toEqual(["x", "x"]);
    await source.stop(1_000);
    await connection.close();
    way.close();
  });

  test("says so when the connection is closed, and can still be stopped", async () => {
    const recorder = new Recorder();
    const connection = await connectNats({ servers: [server.url], name: "host" });
    const source = new NatsSource({ log: recorder.log, nats: { connection } });
    source.subscribe("x");
    source.start(recorder);
    await recorder.until("connected");
    await connection.close();
    expect((await recorder.until("connecting")).reason).toContain("was closed");
    await source.stop(1_000);
    expect(source.status).toEqual({ state: "idle" });
  });
});

describe("NatsSource without permission", () => {
  let directory: string;
  let guarded: NatsServer;
  const permit = (allow: string) =>
    writeFile(
      join(directory, "users.conf"),
      `authorization { users: [
        { user: admin, password: admin }
        { user: reader, password: pass, permissions: { subscribe: { allow: ${allow} } } }
      ] }`,
    );

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), "spillway-users-"));
    await permit(`["open.>", "secret.narrow"]`);
    guarded = await startNatsServer({ config: `include "../${basename(directory)}/users.conf"` });
  });
  afterAll(async () => {
    await guarded.stop();
    await rm(directory, { recursive: true });
  });

  test("says which subject is refused, delivers the others, and has it all once it is allowed", async () => {
    const url = guarded.url.replace("//", "//reader:pass@");
    const { source, recorder } = create(["secret.>", "open.>", "secret.narrow"], [url]);
    const admin = await connect({ servers: guarded.url, user: "admin", pass: "admin" });
    source.start(recorder);
    const refusal = await recorder.refusals.next();
    const reason = 'Permissions Violation for Subscription to "secret.>"';
    expect(refusal).toEqual({ pattern: "secret.>", reason });
    expect(recorder.lines.entries).toContainEqual({
      level: "warn",
      text: `NATS refuses the subscription to secret.>: ${reason}`,
    });
    await recorder.until("connected");
    for (const subject of ["open.x", "secret.x", "secret.narrow"]) admin.publish(subject);
    await recorder.messages.take(2);
    expect(recorder.subjects).toEqual(["open.x", "secret.narrow"]);
    expect(recorder.arrivals.entries).toEqual(["open.>", "secret.narrow"]);

    await permit(`["open.>", "secret.>"]`);
    process.kill(guarded.pid, "SIGHUP");
    await recorder.arrivals.find((pattern) => pattern === "secret.>");
    for (const subject of ["secret.x", "secret.narrow", "open.end"]) admin.publish(subject);
    await recorder.messages.take(3);
    expect(recorder.subjects.slice(2)).toEqual(["secret.x", "secret.narrow", "open.end"]);

    await permit(`["open.>"]`);
    process.kill(guarded.pid, "SIGHUP");
    const { entries } = recorder.refusals;
    await recorder.refusals.find(
      (refusal) => refusal !== entries[0] && refusal.pattern === "secret.>",
    );
    expect(recorder.everythingSaid).not.toContain("pass@");
    await admin.close();
  });

  test("says of each pattern that is refused so, and stays connected", async () => {
    const { source, recorder } = await started(
      ["open.x"],
      [guarded.url.replace("//", "//reader:pass@")],
    );
    const never = [1, 2, 3].map((number) => `never.${number}`);
    for (const pattern of [...never, "open.y"]) source.subscribe(pattern);
    const refusals = await recorder.refusals.take(3);
    expect(refusals.map(({ pattern }) => pattern)).toEqual(never);
    await recorder.arrivals.find((pattern) => pattern === "open.y");
    expect(recorder.arrivals.entries).toEqual(["open.x", "open.y"]);
    expect(source.status.state).toBe("connected");
  });
});

/** A way to a server that lets nothing through before it is opened. */
async function startGate(port: number): Promise<{
  url: string;
  dialled: Promise<void>;
  open(): void;
  /** What the client had sent when its connection ended. */
  closed: Promise<string>;
}> {
  const dialled = Promise.withResolvers<void>();
  const opened = Promise.withResolvers<void>();
  const closed = Promise.withResolvers<string>();
  const gate = createServer(async (client) => {
    gate.close();
    dialled.resolve();
    await opened.promise;
    let sent = "";
    const through = createConnection(port, "127.0.0.1");
    client.on("data", (data) => {
      sent += data;
    });
    client.on("close", () => {
      through.destroy();
      closed.resolve(sent);
    });
    client.pipe(through).pipe(client);
  });
  const listening = Promise.withResolvers<void>();
  gate.listen(0, "127.0.0.1", listening.resolve);
  await listening.promise;
  const { port: own } = gate.address() as AddressInfo;
  return {
    url: `nats://127.0.0.1:${own}`,
    dialled: dialled.promise,
    open: opened.resolve,
    closed: closed.promise,
  };
}
