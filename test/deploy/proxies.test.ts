/** The configurations of proxies that docs/operations.md shows, with the proxies themselves in front of the gateway. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { type ClientHttp2Session, connect as connectHttp2, constants } from "node:http2";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";
import { ensureProxy, PROXY_ADVICE, type ProxyName } from "../../scripts/install-proxies.ts";
import { loadConfig } from "../../src/config/load.ts";
import { asOperator, untilReady } from "../contract/support/gateway-fixture.ts";
import { untilMetrics } from "../contract/support/metrics.ts";
import { type Certificate, createCertificates } from "../source/credentials.ts";
import { type RunningProcess, startProcess } from "../support/child-process.ts";
import { DEADLINE_MS, EventLog, until, within } from "../support/event-log.ts";
import { EventParser, type ServerEvent } from "../support/event-parser.ts";
import { openEvents } from "../support/event-source.ts";
import { freePort } from "../support/free-port.ts";
import { cleanEnvironment, type Gateway, startGateway } from "../support/gateway-process.ts";
import { type HandshakeOptions, requestUpgrade } from "../support/raw-handshake.ts";
import { OPCODE, openRaw } from "../support/raw-websocket.ts";
import { TARGETS } from "../support/runtimes.ts";
import { startTlsBridge, type TlsBridge } from "../support/tls-bridge.ts";

/** The longest that the gateway reads. */
const TOKEN = "t".repeat(8192);
/** Another address of this machine than the proxy's. */
const CLIENT = "127.0.0.2";
/** The longest time that nginx and HAProxy keep a quiet connection: in the tests, and as it is shown. */
const IDLE_SECONDS = 3;
const SHOWN_IDLE = "120s";
/** Pings in the tests, and how many take longer than the proxies wait. */
const PING_MS = 300;
const MANY_PINGS = 1 + (IDLE_SECONDS * 1000) / PING_MS;

setDefaultTimeout(180_000);

const deployed = (file: string): string =>
  readFileSync(new URL(`../../deploy/${file}`, import.meta.url), "utf8");

/** Replaces what must be there once. */
function replaced(text: string, changes: readonly (readonly [string, string])[]): string {
  return changes.reduce((before, [from, to]) => {
    const [head, tail, ...more] = before.split(from);
    if (tail === undefined || more.length > 0) throw new Error(`"${from}" is not there once`);
    return head + to + tail;
  }, text);
}

interface Setting {
  readonly directory: string;
  readonly port: number;
  readonly gateway: string;
  readonly certificate: Certificate;
}

interface Proxy {
  /** The arguments of a program that runs with what is shown, but for ports, files and times. */
  prepare(setting: Setting): Promise<string[]>;
}

const PROXIES: Readonly<Record<ProxyName, Proxy>> = {
  nginx: {
    async prepare({ directory, port, gateway, certificate: { certFile, keyFile } }) {
      const server = replaced(deployed("nginx.conf"), [
        ["listen 443 ", `listen 127.0.0.1:${port} `],
        ["/etc/ssl/app.example.com.crt", certFile],
        ["/etc/ssl/app.example.com.key", keyFile],
        ["127.0.0.1:8080", gateway],
        [SHOWN_IDLE, `${IDLE_SECONDS}s`],
      ]);
      await writeFile(join(directory, "spillway.conf"), server);
      const folders = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
      const temporary = folders.map((name) => `${name}_temp_path ${directory}/${name};`).join("\n");
      const main = `daemon off;\npid ${directory}/nginx.pid;\nerror_log stderr notice;\nevents {}
http {\naccess_log off;\n${temporary}\ninclude ${directory}/spillway.conf;\n}\n`;
      await writeFile(join(directory, "nginx.conf"), main);
      return ["-e", "stderr", "-p", directory, "-c", join(directory, "nginx.conf")];
    },
  },
  haproxy: {
    async prepare({ directory, port, gateway, certificate: { certFile, keyFile } }) {
      const pem = join(directory, "haproxy.pem");
      await writeFile(pem, readFileSync(certFile, "utf8") + readFileSync(keyFile, "utf8"));
      const text = replaced(deployed("haproxy.cfg"), [
        ["bind :443 ", `bind 127.0.0.1:${port} `],
        ["/etc/ssl/app.example.com.pem", pem],
        ["127.0.0.1:8080", gateway],
        // Not root, who could have as many files.
        ["maxconn 20000", "maxconn 100"],
      ]).replaceAll(SHOWN_IDLE, `${IDLE_SECONDS}s`);
      const file = join(directory, "haproxy.cfg");
      await writeFile(file, text);
      return ["-db", "-f", file];
    },
  },
  caddy: {
    async prepare({ directory, port, gateway, certificate: { certFile, keyFile } }) {
      const options = "{\n\tadmin off\n\tauto_https disable_redirects\n}\n";
      const site = `app.example.com:${port} {\n\tbind 127.0.0.1\n\ttls ${certFile} ${keyFile}\n`;
      const text = replaced(deployed("Caddyfile"), [
        ["app.example.com {\n", options + site],
        ["127.0.0.1:8080", gateway],
      ]);
      const file = join(directory, "Caddyfile");
      await writeFile(file, text);
      return ["run", "--adapter", "caddyfile", "--config", file];
    },
  },
};

for (const name of ["nginx", "haproxy", "caddy"] as const) {
  // Only Linux has more addresses on loopback.
  const program = process.platform === "linux" ? ensureProxy(name) : undefined;
  if (program === undefined) {
    process.stderr.write(`Skipped as there is no ${name} here: its tests; ${PROXY_ADVICE}\n`);
  }
  describe.skipIf(program === undefined).each([
    [name, TARGETS.bun],
    [name, TARGETS.deno],
    [name, TARGETS.node],
  ])("Behind %s", (_, target) => {
    let directory: string;
    let gateway: Gateway;
    let proxy: RunningProcess;
    let bridge: TlsBridge;
    let host: string;
    let to: { host: string; port: number; servername: string; ca: string };
    beforeAll(async () => {
      directory = await mkdtemp(join(tmpdir(), "spillway-proxy-"));
      const { ca, server: certificate } = createCertificates(directory);
      const tokens_file = join(directory, "tokens.json");
      await writeFile(tokens_file, JSON.stringify([tokenEntry()]));
      const shown = JSON.parse(deployed("spillway.json"));
      const here = {
        tokens_file,
        admin_port: 0,
        log_level: "debug",
        ping_interval: `${PING_MS}ms`,
      };
      const config = { ...shown, ...here };
      gateway = await startGateway(target, { config });
      await untilReady(gateway);
      const port = await freePort();
      host = `app.example.com:${port}`;
      const setting = { directory, port, gateway: `127.0.0.1:${gateway.port}`, certificate };
      const command = [program!, ...(await PROXIES[name].prepare(setting))];
      // Caddy writes into its home.
      const env = { ...cleanEnvironment(), HOME: directory };
      proxy = await startProcess(name, command, { env });
      to = { host: "127.0.0.1", port, servername: "app.example.com", ca: ca.cert };
      bridge = await startTlsBridge({ ...to, localAddress: CLIENT } as typeof to);
      const { lines } = proxy;
      await until(
        `answer of ${name}`,
        () => statusAt("/livez").catch(() => lines.entries),
        (answer) => answer === 200,
      );
    });
    afterAll(async () => {
      await bridge?.close();
      await proxy?.stop();
      expect(await gateway.stop()).toEqual({ code: 0, signal: null });
      await rm(directory, { recursive: true });
    });

    /** What a page at the public name sends. */
    const page = (more: Readonly<Record<string, string>> = {}) => ({
      ...{ Host: host, Origin: `https://${host}`, Authorization: `Bearer ${TOKEN}` },
      ...more,
    });
    const url = (scheme: string): string => `${scheme}://127.0.0.1:${bridge.port}`;
    const overHttp2 = (): ClientHttp2Session => {
      const near = { ...to, localAddress: CLIENT, ALPNProtocols: ["h2"] } as typeof to;
      return connectHttp2(`https://${host}`, { createConnection: () => connectTls(near) });
    };
    const statusAt = async (path: string): Promise<number> => {
      const headers = { Upgrade: undefined, Connection: "close", Host: host };
      return (await requestUpgrade(`${url("http")}${path}`, { headers })).status;
    };
    const post = (subject: string, more: HandshakeOptions["headers"] = {}) =>
      requestUpgrade(`${url("http")}/publish/${subject}`, {
        method: "POST",
        headers: {
          ...{ Upgrade: undefined, "Sec-WebSocket-Key": undefined },
          ...{ "Sec-WebSocket-Version": undefined, Connection: "close", "Content-Length": "1" },
          ...page(),
          ...more,
        },
        behind: Buffer.from("1"),
      });

    test(`on ${target.name}, messages come at once, and clients that leave are noticed`, async () => {
      const socket = await openRaw(`${url("ws")}/ws`, { headers: page() });
      const events = await openEvents(`${url("http")}/ws/sse`, page());
      await events.next("subscribed");
      expect((await post("a.b")).status).toBe(202);
      expect(JSON.parse(await socket.nextText())).toMatchObject({ subject: "a.b", payload: 1 });
      expect(JSON.parse((await events.next("message")).data)).toMatchObject({ payload: 1 });
      socket.close();
      expect((await socket.nextClose()).code).toBe(1000);
      events.destroy();
      const operator = await asOperator(gateway);
      await untilMetrics(operator, ["websocket_clients_active"], (active) => active === 0);
    });

    test(`on ${target.name}, clients also connect below a path`, async () => {
      const socket = await openRaw(`${url("ws")}/live/ws?subjects=below.>`, { headers: page() });
      const events = await openEvents(`${url("http")}/live/ws/sse?subjects=below.>`, page());
      await events.next("subscribed");
      await post("below.a");
      expect(JSON.parse(await socket.nextText())).toMatchObject({ subject: "below.a" });
      expect(JSON.parse((await events.next("message")).data)).toMatchObject({ subject: "below.a" });
      socket.close();
      events.destroy();
      await socket.nextClose();
    });

    test(`on ${target.name}, events come at once over HTTP/2`, async () => {
      const session = overHttp2();
      const events = await openHttp2Events(session, "/ws/sse?subjects=second.>", page());
      await events.next("subscribed");
      await post("second.a");
      expect(JSON.parse((await events.next("message")).data)).toMatchObject({
        subject: "second.a",
      });
      // As a browser does when its page is left.
      events.cancel();
      const operator = await asOperator(gateway);
      await untilMetrics(operator, ["websocket_clients_active"], (active) => active === 0);
      session.destroy();
    });

    test(`on ${target.name}, a proxy that offers WebSockets over HTTP/2 (RFC 8441) carries them`, async () => {
      const session = overHttp2();
      const settings = Promise.withResolvers<boolean>();
      session.once("remoteSettings", (s) => settings.resolve(s.enableConnectProtocol === true));
      const isOffered = await within(settings.promise, "settings of HTTP/2");
      if (name === "haproxy") expect(isOffered).toBe(true);
      if (isOffered) {
        const { Host, ...headers } = page({ "sec-websocket-version": "13" });
        const stream = session.request(
          {
            ...{ ":method": "CONNECT", ":protocol": "websocket", ":scheme": "https" },
            ...{ ":path": "/ws?subjects=tunnel.>", ":authority": Host, ...headers },
          },
          { endStream: false },
        );
        const status = Promise.withResolvers<number | undefined>();
        const frames = new EventLog<string>("WebSocket over HTTP/2", (text) => text);
        stream.once("response", (answer) => status.resolve(answer[":status"]));
        stream.on("data", (data: Buffer) => frames.add(data.toString("latin1")));
        expect(await within(status.promise, "answer to CONNECT")).toBe(200);
        await post("tunnel.a");
        await frames.find((text) => text.includes('"subject":"tunnel.a"'), "message");
      }
      session.destroy();
    });

    test(`on ${target.name}, a client stays connected for longer than the proxy keeps a quiet connection`, async () => {
      const socket = await openRaw(`${url("ws")}/ws?subjects=quiet.>`, { headers: page() });
      const events = await openEvents(`${url("http")}/ws/sse?subjects=quiet.>`, page());
      await socket.untilCount(OPCODE.ping, MANY_PINGS);
      await events.comments.take(MANY_PINGS, "comments");
      await post("quiet.a");
      expect(JSON.parse(await socket.nextText())).toMatchObject({ subject: "quiet.a" });
      expect(JSON.parse((await events.next("message")).data)).toMatchObject({ subject: "quiet.a" });
      socket.close();
      events.destroy();
      await socket.nextClose();
    });

    test(`on ${target.name}, the gateway knows a client's address, whatever the client says it is`, async () => {
      const made = { "X-Forwarded-For": "192.0.2.1", Forwarded: "for=192.0.2.1" };
      const socket = await openRaw(`${url("ws")}/ws`, { headers: page(made) });
      await post("a.b");
      await socket.nextText();
      const addresses = gateway.logs
        .filter(({ properties }) => properties.event === "client_connected")
        .map(({ properties }) => properties.address);
      expect(addresses.length).toBeGreaterThan(0);
      expect(new Set(addresses)).toEqual(new Set([CLIENT]));
      socket.close();
      await socket.nextClose();
    });

    test(`on ${target.name}, pages of other sites are refused`, async () => {
      const Origin = "https://other.example";
      const asked = await requestUpgrade(`${url("http")}/ws`, { headers: page({ Origin }) });
      expect(asked.status).toBe(403);
      expect((await post("a.b", { Origin })).status).toBe(403);
    });
  });
}

function tokenEntry() {
  return {
    sha256: createHash("sha256").update(TOKEN).digest("hex"),
    sub: "ann",
    authorization_details: [
      { type: "spillway", actions: ["subscribe", "publish"], subjects: { allow: [">"] } },
    ],
  };
}

/** Asks for events over HTTP/2. */
async function openHttp2Events(
  session: ClientHttp2Session,
  path: string,
  { Host, ...headers }: Readonly<Record<string, string>>,
): Promise<{ next(type: string): Promise<ServerEvent>; cancel(): void }> {
  const failed = Promise.withResolvers<never>();
  session.once("error", failed.reject);
  const stream = session.request({
    ...{ ":path": path, ":authority": Host, accept: "text/event-stream" },
    ...headers,
  });
  stream.once("error", failed.reject);
  const answered = Promise.withResolvers<number | undefined>();
  stream.once("response", (answer) => answered.resolve(answer[":status"]));
  const events = new EventLog<ServerEvent>("events over HTTP/2", ({ data }) => data);
  const parser = new EventParser((event) => events.add(event));
  stream.setEncoding("utf8").on("data", (text: string) => parser.push(text));
  const answer = Promise.race([answered.promise, failed.promise]);
  expect(await within(answer, "answer over HTTP/2", DEADLINE_MS)).toBe(200);
  return {
    cancel: () => stream.close(constants.NGHTTP2_CANCEL),
    next: async (type) => {
      for (;;) {
        const event = await events.next(`event "${type}"`);
        if (event.type === type) return event;
      }
    },
  };
}

test("The proxies keep a quiet connection for longer than ping_interval", async () => {
  const readTextFile = () => Promise.reject(new Error("no file"));
  const { config } = await loadConfig({ argv: [], env: {}, readTextFile });
  expect(Number.parseInt(SHOWN_IDLE, 10) * 1000).toBeGreaterThan(2 * config.pingIntervalMs);
});
