/** The configurations of proxies that the README shows, with the proxies themselves in front of the gateway. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ensureProxy, PROXY_ADVICE, type ProxyName } from "../../scripts/install-proxies.ts";
import { asOperator, untilReady } from "../contract/support/gateway-fixture.ts";
import { untilMetrics } from "../contract/support/metrics.ts";
import { type Certificate, createCertificates } from "../source/credentials.ts";
import { type RunningProcess, startProcess } from "../support/child-process.ts";
import { openEvents } from "../support/event-source.ts";
import { cleanEnvironment, type Gateway, startGateway } from "../support/gateway-process.ts";
import { type HandshakeOptions, requestUpgrade } from "../support/raw-handshake.ts";
import { openRaw } from "../support/raw-websocket.ts";
import { TARGETS } from "../support/runtimes.ts";
import { startTlsBridge, type TlsBridge } from "../support/tls-bridge.ts";

/** The longest that the gateway reads. */
const TOKEN = "t".repeat(8192);
/** Another address of this machine than the proxy's. */
const CLIENT = "127.0.0.2";

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
  /** The arguments of a program that runs with what the README shows, but for ports and files. */
  prepare(setting: Setting): Promise<string[]>;
  /** What it says when it listens. */
  readonly ready: string;
}

const PROXIES: Readonly<Record<ProxyName, Proxy>> = {
  nginx: {
    ready: "start worker process ",
    async prepare({ directory, port, gateway, certificate: { certFile, keyFile } }) {
      const server = replaced(deployed("nginx.conf"), [
        ["listen 443 ", `listen 127.0.0.1:${port} `],
        ["/etc/ssl/app.example.com.crt", certFile],
        ["/etc/ssl/app.example.com.key", keyFile],
        ["127.0.0.1:8080", gateway],
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
  caddy: {
    ready: "serving initial configuration",
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

for (const name of ["nginx", "caddy"] as const) {
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
    beforeAll(async () => {
      directory = await mkdtemp(join(tmpdir(), "spillway-proxy-"));
      const { ca, server: certificate } = createCertificates(directory);
      const tokens_file = join(directory, "tokens.json");
      await writeFile(tokens_file, JSON.stringify([tokenEntry()]));
      const shown = JSON.parse(deployed("spillway.json"));
      const config = { ...shown, tokens_file, admin_port: 0, log_level: "debug" };
      gateway = await startGateway(target, { config });
      await untilReady(gateway);
      const port = await freePort();
      host = `app.example.com:${port}`;
      const setting = { directory, port, gateway: `127.0.0.1:${gateway.port}`, certificate };
      const command = [program!, ...(await PROXIES[name].prepare(setting))];
      // Caddy writes into its home.
      const env = { ...cleanEnvironment(), HOME: directory };
      proxy = await startProcess(name, command, { env });
      await proxy.lines.find(
        ({ text }) => text.includes(PROXIES[name].ready),
        "line that says that it listens",
      );
      const to = { host: "127.0.0.1", port, servername: "app.example.com", ca: ca.cert };
      bridge = await startTlsBridge({ ...to, localAddress: CLIENT } as typeof to);
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

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}
