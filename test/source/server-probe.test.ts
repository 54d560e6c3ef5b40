/** What a source says of whoever listens where NATS should. */
import { afterAll, afterEach, beforeAll, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer as createHttp } from "node:http";
import { type AddressInfo, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { NatsSource } from "../../src/source/nats.ts";
import { type NatsServer, startNatsServer } from "../support/nats-server.ts";
import { createCertificates } from "./credentials.ts";
import { Recorder } from "./recorder.ts";

const directory = mkdtempSync(join(tmpdir(), "spillway-probe-"));
let open: NatsServer;
let locked: NatsServer;
const strangers: Server[] = [];
let source: NatsSource | undefined;

beforeAll(async () => {
  const { server } = createCertificates(directory);
  const tls = `tls { cert_file: "${server.certFile}", key_file: "${server.keyFile}" }`;
  open = await startNatsServer({ monitoring: true });
  locked = await startNatsServer({
    websocket: false,
    config: `${tls}\nwebsocket { host: "127.0.0.1", port: -1, ${tls} }`,
  });
});
afterEach(async () => {
  await source?.stop(1000);
  for (const stranger of strangers.splice(0)) stranger.close();
});
afterAll(async () => {
  await Promise.all([open?.stop(), locked?.stop()]);
  rmSync(directory, { recursive: true });
});

async function stranger(server: Server): Promise<number> {
  strangers.push(server);
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  return (server.address() as AddressInfo).port;
}

test.each<[what: string, url: () => string | Promise<string>, reason: RegExp]>([
  [
    "nats:// to the WebSocket port",
    () => `nats://127.0.0.1:${open.wsPort}`,
    /is NATS' WebSocket port, without TLS: use a URL that begins with ws:\/\//,
  ],
  [
    "nats:// to the WebSocket port with TLS",
    () => `nats://127.0.0.1:${locked.wsPort}`,
    /use a URL that begins with wss:\/\//,
  ],
  [
    "ws:// to the TCP port",
    () => `ws://127.0.0.1:${open.port}`,
    /is NATS' TCP port: use a URL that begins with nats:\/\//,
  ],
  ["wss:// to the TCP port", () => `wss://127.0.0.1:${open.port}`, /is NATS' TCP port/],
  [
    "ws:// to the port with TLS",
    () => `ws://127.0.0.1:${locked.wsPort}`,
    /requires TLS: use a URL that begins with wss:\/\//,
  ],
  [
    "wss:// to the port without TLS",
    () => `wss://127.0.0.1:${open.wsPort}`,
    /WebSocket port, without TLS: use a URL that begins with ws:\/\//,
  ],
  ["tls:// to the port without TLS", () => `tls://127.0.0.1:${open.port}`, /does not offer tls/],
  [
    "nats:// to an HTTP server",
    () => open.monitoringUrl.replace("http", "nats"),
    /is an HTTP server that is not NATS over TCP: it answers "HTTP\/1.1 /,
  ],
  [
    "ws:// to an HTTP server",
    async () => `ws://127.0.0.1:${await stranger(createHttp((_, answer) => answer.end("hello")))}`,
    /is an HTTP server that is not NATS over WebSockets/,
  ],
  [
    "nats:// to something else",
    async () =>
      `nats://127.0.0.1:${await stranger(createServer((socket) => socket.on("error", () => {}).write("SSH-2.0-OpenSSH_9\x1b[2J\r\n")))}`,
    /is not a NATS server: it says "SSH-2.0-OpenSSH_9\?\[2J"/,
  ],
  [
    "nats:// to something silent",
    async () =>
      `nats://127.0.0.1:${await stranger(createServer((socket) => socket.on("error", () => {})))}`,
    /accepts connections but sends nothing/,
  ],
  [
    "nats:// to something that hangs up",
    async () =>
      `nats://127.0.0.1:${await stranger(createServer((socket) => socket.on("error", () => {}).end()))}`,
    /closes every connection/,
  ],
])(
  "%s is named as what it is, within seconds",
  async (_, url, reason) => {
    const recorder = new Recorder();
    const nats = { options: { servers: [await url()], name: "test" } };
    source = new NatsSource({
      log: recorder.log,
      nats: {
        options: { ...nats.options, dialWebSocket: (at) => new WebSocket(at) },
      },
    });
    source.start(recorder);
    await recorder.until("connecting", (status) => reason.test(status.reason));
    await recorder.lines.find(({ text }) => reason.test(text));
  },
  20_000,
);
