import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { connect as connectNats, credsAuthenticator, nkeys } from "nats";
import { createCertificates, createOperator } from "../source/credentials.ts";
import { until } from "../support/event-log.ts";
import { type Gateway, startGateway } from "../support/gateway-process.ts";
import { type NatsServer, startNatsServer } from "../support/nats-server.ts";
import { connect } from "../support/subscriber.ts";
import { contract, EVERY_RUNTIME } from "./support/contract.ts";
import { subscribe, subscribeEvents, subscribeV1, untilReady } from "./support/gateway-fixture.ts";
import { metric } from "./support/metrics.ts";

type Settings = Readonly<Record<string, unknown>>;

/** How the command gets past NATS' locks; passwords are tested where NATS comes and goes. */
contract(EVERY_RUNTIME, (target) => {
  describe("Access to NATS", () => {
    let directory: string;
    let pki: ReturnType<typeof createCertificates>;
    const servers: NatsServer[] = [];
    const serve = async (options: Parameters<typeof startNatsServer>[0]): Promise<NatsServer> => {
      const server = await startNatsServer(options);
      servers.push(server);
      return server;
    };
    const write = async (name: string, text: string): Promise<string> => {
      const path = join(directory, name);
      await writeFile(path, text);
      return path;
    };

    beforeAll(async () => {
      directory = await mkdtemp(join(tmpdir(), "spillway-access-"));
      pki = createCertificates(directory);
    });
    afterAll(async () => {
      await Promise.all(servers.map((server) => server.stop()));
      await rm(directory, { recursive: true });
    });

    /** Carries one message from NATS to a client. */
    async function expectCarried(
      config: Settings,
      publisher: Parameters<typeof connectNats>[0],
    ): Promise<void> {
      const gateway = await startGateway(target, { config });
      await untilReady(gateway);
      const client = await subscribe(gateway);
      const connection = await connectNats(publisher);
      connection.publish("any.subject", "1");
      expect((await client.next()).subject).toBe("any.subject");
      await connection.close();
      await client.close();
      expect(await gateway.stop()).toEqual({ code: 0, signal: null });
    }

    test("A token is accepted over nats:// and ws://", async () => {
      const server = await serve({ config: "authorization { token: s3cret }" });
      const publisher = { servers: server.url, token: "s3cret" };
      for (const nats_url of [server.url, server.wsUrl]) {
        await expectCarried({ nats_url, nats_token: "s3cret" }, publisher);
      }
    });

    test("An NKey is accepted over nats:// and ws://", async () => {
      const user = nkeys.createUser();
      const seed = new TextDecoder().decode(user.getSeed());
      const nats_nkey_file = await write("user.nk", `${seed}\n`);
      const server = await serve({
        config: `authorization { users: [{ nkey: ${user.getPublicKey()} }, { user: p, password: p }] }`,
      });
      for (const nats_url of [server.url, server.wsUrl]) {
        const publisher = { servers: server.url, user: "p", pass: "p" };
        await expectCarried({ nats_url, nats_nkey_file }, publisher);
      }
    });

    test("A credentials file is accepted over nats:// and ws://", async () => {
      const { config, creds } = createOperator();
      const nats_creds_file = await write("user.creds", creds);
      const server = await serve({ config });
      const authenticator = credsAuthenticator(new TextEncoder().encode(creds));
      for (const nats_url of [server.url, server.wsUrl]) {
        await expectCarried({ nats_url, nats_creds_file }, { servers: server.url, authenticator });
      }
    });

    /** Says that the gateway is not ready, and has the reason in its log. */
    const expectReason = async (gateway: Gateway, reason: RegExp): Promise<void> => {
      const ask = async () => (await gateway.get("/readyz")).text();
      await until(`reason that is ${reason}`, ask, (text) => reason.test(text));
      await gateway.waitForLog(({ message }) => reason.test(message));
    };

    test("A password and a token of a file are read again at the next connect", async () => {
      for (const [line, user] of [
        ["user: u, password:", { nats_user: "u" }],
        ["token:", {}],
      ] as const) {
        const accounts = await write("login.conf", `authorization { ${line} hunter1 }`);
        const file = await write("login.txt", "hunter1\n");
        const server = await serve({
          config: `include "../${basename(directory)}/${basename(accounts)}"`,
        });
        const key = line.startsWith("user") ? "nats_password_file" : "nats_token_file";
        const config = { nats_url: server.url, ...user, [key]: file };
        const gateway = await startGateway(target, { config });
        await untilReady(gateway);
        await writeFile(accounts, `authorization { ${line} hunter2 }`);
        await server.restart();
        await expectReason(gateway, /authorization/i);
        await writeFile(file, "hunter2");
        await untilReady(gateway);
        expect(await gateway.stop()).toEqual({ code: 0, signal: null });
        expect(JSON.stringify(gateway.logs)).not.toContain("hunter");
      }
    });

    for (const transport of ["nats", "ws"] as const) {
      test(`Credentials that are replaced are read again at the next connect, over ${transport}://`, async () => {
        const before = createOperator();
        const after = createOperator();
        const accounts = await write(`${transport}.conf`, before.config);
        const nats_creds_file = await write(`${transport}.creds`, before.creds);
        const server = await serve({
          config: `include "../${basename(directory)}/${basename(accounts)}"`,
        });
        const nats_url = transport === "nats" ? server.url : server.wsUrl;
        const config = { nats_url, nats_creds_file, subjects: ["any.>"] };
        const gateway = await startGateway(target, { config });
        await untilReady(gateway);
        const client = await subscribe(gateway, "?subjects=any.x");

        await writeFile(accounts, after.config);
        await rm(nats_creds_file);
        await server.restart();
        await expectReason(gateway, /nats_creds_file.*can be read.*ENOENT|No such file/s);
        await writeFile(nats_creds_file, "half of it");
        await expectReason(gateway, /nats_creds_file.*must hold credentials/s);
        await writeFile(nats_creds_file, after.creds);
        await untilReady(gateway);
        const authenticator = credsAuthenticator(new TextEncoder().encode(after.creds));
        const publisher = await connectNats({ servers: server.url, authenticator });
        publisher.publish("any.x", "1");
        expect((await client.next()).subject).toBe("any.x");
        await publisher.close();
        await client.close();
        expect(await gateway.stop()).toEqual({ code: 0, signal: null });
      });
    }

    test("A permission that is revoked: clients, /metrics, /healthz and /readyz say so, and of a gap when it is granted again", async () => {
      const users = join(directory, "users.conf");
      const permit = (allow: string) =>
        writeFile(
          users,
          `authorization { users: [
            { user: admin, password: admin }
            { user: reader, password: pass, permissions: { subscribe: { allow: ${allow} } } }
          ] }`,
        );
      await permit('["open.>", "_INBOX.>"]');
      const server = await serve({ config: `include "../${basename(directory)}/users.conf"` });
      const config = { nats_url: server.url, nats_user: "reader", nats_password: "pass" };
      const gateway = await startGateway(target, { config: { ...config, subjects: ["open.>"] } });
      await untilReady(gateway);
      const client = await subscribeV1(gateway);
      await client.subscribe("1", ["open.x"]);
      const plain = await subscribe(gateway);
      const events = await subscribeEvents(gateway, "?subjects=open.x");

      await permit('["_INBOX.>"]');
      process.kill(server.pid, "SIGHUP");
      expect(await client.next("error")).toMatchObject({
        error: { code: "forbidden", message: expect.stringContaining("open.x") },
      });
      // Nobody is left in silence who can't ask for something else.
      expect((await plain.closed()).code).toBe(4403);
      expect(JSON.parse((await events.next("error")).data)).toMatchObject({
        error: { code: "forbidden" },
      });
      const left = JSON.parse((await events.next("disconnect")).data);
      expect(left).toMatchObject({ code: 4403, reconnect: true });
      expect(events.retryMs).toBe(left.retry_after_ms);
      expect(await events.ended()).toBe("whole");
      const refusedTo = (query: string) => connect(`${gateway.wsUrl}${query}`);
      expect((await (await refusedTo("?subjects=open.x")).closed()).code).toBe(4403);
      expect(await metric(gateway, "websocket_requests_refused_total", 'code="forbidden"')).toBe(3);
      // "open.>", which the plain client wants, and then "open.x", which had come with it.
      const refused = 'error_type="upstream_refused"';
      expect(await metric(gateway, "websocket_errors_total", refused)).toBe(2);
      const read = async (path: string) => (await gateway.get(path)).text();
      expect(await read("/healthz")).toMatch(/"last_error":"NATS refuses open\.x: .*Permission/);
      expect(await read("/readyz")).toMatch(/^{"ready":false,.*open\.>: .*Permission/);

      await permit('["open.>", "_INBOX.>"]');
      process.kill(server.pid, "SIGHUP");
      expect(await client.next("gap")).toMatchObject({ reason: "upstream", exact: false });
      // Who comes back has what is allowed again.
      const back = await subscribeEvents(gateway, "?subjects=open.x");
      const admin = await connectNats({ servers: server.url, user: "admin", pass: "admin" });
      admin.publish("open.x", "1");
      expect((await back.next("message")).data).toContain("open.x");
      back.destroy();
      expect(await client.next("data")).toMatchObject({ subject: "open.x" });
      await untilReady(gateway);
      await admin.close();
      client.raw.destroy();
      await gateway.stop();
    });

    describe("with TLS", () => {
      let server: NatsServer;
      const urls = () => [`tls://127.0.0.1:${server.port}`, `wss://127.0.0.1:${server.wsPort}`];

      beforeAll(async () => {
        const files = `cert_file: "${pki.server.certFile}", key_file: "${pki.server.keyFile}"`;
        const tls = `tls { ${files}, ca_file: "${pki.ca.certFile}", verify: true }`;
        server = await serve({
          websocket: false,
          config: `${tls}\nwebsocket { host: "127.0.0.1", port: -1, ${tls} }`,
        });
      });

      test("An authority and a certificate of our own are accepted over tls:// and wss://", async () => {
        const files = {
          nats_tls_ca_file: pki.ca.certFile,
          nats_tls_cert_file: pki.client.certFile,
          nats_tls_key_file: pki.client.keyFile,
        };
        const { cert, key } = pki.client;
        const tls = { ca: pki.ca.cert, cert, key };
        const publisher = { servers: `127.0.0.1:${server.port}`, tls };
        for (const nats_url of urls()) await expectCarried({ nats_url, ...files }, publisher);
      });

      test("Certificates that are replaced are read again at the next connect, over tls:// and wss://", async () => {
        const rotated = await mkdtemp(join(tmpdir(), "spillway-rotated-"));
        const other = createCertificates(rotated);
        const conf = join(directory, "rotated.conf");
        const tlsOf = ({ ca, server }: typeof pki) =>
          `tls { cert_file: "${server.certFile}", key_file: "${server.keyFile}", ca_file: "${ca.certFile}", verify: true }`;
        const configOf = (of: typeof pki, ports: [number, number]) =>
          `${tlsOf(of)}\nwebsocket { host: "127.0.0.1", port: ${ports[1]}, ${tlsOf(of)} }`;
        await writeFile(conf, configOf(pki, [-1, -1]));
        const rotating = await serve({
          websocket: false,
          config: `include "../${basename(directory)}/rotated.conf"`,
        });
        const { port, wsPort } = rotating;
        for (const nats_url of [`tls://127.0.0.1:${port}`, `wss://127.0.0.1:${wsPort}`]) {
          const ours = nats_url.startsWith("tls") ? [pki, other] : [other, pki];
          const files: Record<string, string> = {};
          const place = async (of: typeof pki) => {
            files.nats_tls_ca_file = await write("rotated-ca.pem", of.ca.cert);
            files.nats_tls_cert_file = await write("rotated.pem", of.client.cert);
            files.nats_tls_key_file = await write("rotated.key", of.client.key);
          };
          await place(ours[0]!);
          const gateway = await startGateway(target, { config: { nats_url, ...files } });
          await untilReady(gateway);
          await writeFile(conf, configOf(ours[1]!, [port, wsPort]));
          await rotating.restart();
          await until(
            "word of it",
            async () => (await gateway.get("/readyz")).status,
            (status) => status === 503,
          );
          await place(ours[1]!);
          await untilReady(gateway);
          await gateway.stop();
        }
        await rm(rotated, { recursive: true });
      });

      test("A certificate that nobody vouches for is a reason in /readyz, over tls:// and wss://", async () => {
        for (const nats_url of urls()) {
          const gateway = await startGateway(target, { config: { nats_url } });
          const ask = async () => (await gateway.get("/readyz")).text();
          await until(`reason that tells of the certificate at ${nats_url}`, ask, (text) =>
            /certificate|issuer/i.test(text),
          );
          await gateway.stop();
        }
      });
    });
  });
});
