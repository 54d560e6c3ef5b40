import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "nats";
import { createCertificates } from "../source/credentials.ts";
import { cleanEnvironment, runToExit, startGateway } from "../support/gateway-process.ts";
import { HAS_IPV6 } from "../support/ipv6.ts";
import { type NatsServer, startNatsServer } from "../support/nats-server.ts";
import { ROOT } from "../support/runtimes.ts";
import { contract, EVERY_RUNTIME } from "./support/contract.ts";
import { untilReady } from "./support/gateway-fixture.ts";

/** A port where nothing listens. */
const CLOSED = 1;

contract(EVERY_RUNTIME, (target) => {
  /** Runs a command with a standard input. */
  const pipe = (args: readonly string[], input: string) => {
    const [program = "", ...before] = target.command();
    const env = { ...cleanEnvironment(), ...target.env };
    const options = { cwd: ROOT, env, input, encoding: "utf8", timeout: 60_000 } as const;
    const { status, stdout, stderr } = spawnSync(program, [...before, ...args], options);
    return { code: status, stdout, stderr };
  };

  describe("spillway check --connect", () => {
    let nats: NatsServer;
    beforeAll(async () => {
      nats = await startNatsServer({ config: 'authorization { token: "s3cret" }' });
    });
    afterAll(() => nats.stop());

    const check = (config: object) =>
      runToExit(target, { command: ["check", "--connect"], config: { ...config } });

    test("says which server has taken the login", async () => {
      const { url } = nats;
      const { code, stdout, stderr } = await check({ nats_url: url, nats_token: "s3cret" });
      expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
      expect(stdout).toContain(`NATS is connected to ${new URL(url).host}`);
    });

    test("looks for the streams and buckets that the configuration names", async () => {
      const store = await startNatsServer({ jetstream: true });
      const connection = await connect({ servers: store.url });
      const manager = await connection.jetstreamManager();
      await manager.streams.add({ name: "ORDERS", subjects: ["orders.>"] });
      const streams = ["ORDERS", "KV_settings"];
      const config = { nats_url: store.url, streams, presence_bucket: "people" };
      const without = await check(config);
      expect(without.code).toBe(1);
      expect(without.stdout).toContain("NATS is connected to ");
      expect(without.stderr).toBe(
        "NATS can't read the stream KV_settings of streams: it does not exist. Create it, or correct the key\nNATS can't read the bucket people of presence_bucket: it does not exist. Create it, or correct the key\n",
      );
      for (const name of ["settings", "people"]) await connection.jetstream().views.kv(name);
      expect(await check(config)).toMatchObject({ code: 0, stderr: "" });
      await connection.close();
      await store.stop();
      // The server of the other tests has no JetStream.
      const away = await check({ nats_url: nats.url, nats_token: "s3cret", streams: ["ORDERS"] });
      expect(away.code).toBe(1);
      expect(away.stderr).toContain(
        "NATS can't read the stream ORDERS of streams: nobody answers: JetStream is not enabled",
      );
    });

    test("names the permission without which a stream can't be followed", async () => {
      const permissions = {
        publish: { deny: ["$JS.API.STREAM.INFO.ORDERS", "$JS.API.CONSUMER.CREATE.KV_people"] },
      };
      const users = [{ user: "gateway", password: "y", permissions }, { user: "tests" }];
      const store = await startNatsServer({
        jetstream: true,
        config: `no_auth_user: tests\nauthorization { users: ${JSON.stringify(users)} }`,
      });
      const connection = await connect({ servers: store.url });
      const manager = await connection.jetstreamManager();
      await manager.streams.add({ name: "ORDERS", subjects: ["orders.>"] });
      await connection.jetstream().views.kv("people");
      const nats_url = store.url.replace("//", "//gateway:y@");
      const { code, stderr } = await check({
        ...{ nats_url, streams: ["ORDERS"], presence_bucket: "people" },
      });
      expect({ code, stderr }).toEqual({
        code: 1,
        stderr:
          "NATS can't read the stream ORDERS of streams: NATS does not let the gateway publish to $JS.API.STREAM.INFO.ORDERS\n" +
          "NATS can't read the bucket people of presence_bucket: NATS does not let the gateway publish to $JS.API.CONSUMER.CREATE.KV_people\n",
      });
      await connection.close();
      await store.stop();
    });

    test("says that the login was refused", async () => {
      const accounts = [{ name: "blue", nats_url: nats.url, nats_token: "hunter2" }];
      const config = { nats_url: nats.url, nats_token: "wrong-s3cret", accounts };
      const run = await check({ ...config, anonymous: [{ subjects: { allow: [">"] } }] });
      expect(run.code).toBe(1);
      for (const name of ["NATS", "account blue"]) {
        expect(run.stderr).toContain(`${name} is not connected: Cannot connect to NATS at `);
      }
      expect(run.stderr).toMatch(
        /authorization violation.*\. Correct the credentials, or the account at NATS\n/i,
      );
      expect(run.stdout + run.stderr).not.toMatch(/hunter2|wrong-s3cret/);
    });

    test("says that nobody listens, or somebody else", async () => {
      const away = await check({ nats_url: `nats://127.0.0.1:${CLOSED}` });
      expect(away.code).toBe(1);
      expect(away.stderr).toContain(`nobody answers at 127.0.0.1:${CLOSED}`);
      const other = createServer((_, response) => response.end("hello"));
      const port = await listen(other);
      const found = await check({ nats_url: `nats://127.0.0.1:${port}` });
      other.close();
      expect(found.code).toBe(1);
      expect(found.stderr).toContain(`127.0.0.1:${port} is an HTTP server`);
    });
  });

  describe("spillway healthcheck", () => {
    const ask = (config: object) =>
      runToExit(target, { command: ["healthcheck"], config: { ...config } });

    test("ends with 0 if the gateway is ready, and with 1 and the reasons if it isn't", async () => {
      for (const host of ["0.0.0.0", ...(HAS_IPV6 ? ["::1"] : [])]) {
        const gateway = await startGateway(target, { config: { host } });
        expect(await ask({ host, port: gateway.port })).toMatchObject({
          ...{ code: 0, stdout: "ready\n", stderr: "" },
        });
        await gateway.stop();
      }
      const nats_url = `nats://127.0.0.1:${CLOSED}`;
      const waiting = await startGateway(target, { config: { nats_url } });
      const not = await ask({ nats_url, port: waiting.port });
      expect(not).toMatchObject({ code: 1, stdout: "" });
      expect(not.stderr).toStartWith("not ready: NATS is not connected: ");
      await waiting.stop();
    });

    test("ends with 1 if there is no gateway, or something else, or silence", async () => {
      const none = await ask({ port: CLOSED });
      expect(none.code).toBe(1);
      expect(none.stderr).toStartWith(`not ready: http://127.0.0.1:${CLOSED} gave no answer: `);
      expect(none.stderr).toEndWith(". Start the gateway, or set port\n");
      const other = createServer((_, response) => response.end("{}"));
      const otherPort = await listen(other);
      const strange = await ask({ port: otherPort });
      other.close();
      expect(strange.code).toBe(1);
      expect(strange.stderr).toEndWith("is not this gateway: it gave another answer. Set port\n");
      const silent = createServer(() => {});
      const port = await listen(silent);
      const late = await runToExit(target, {
        command: ["healthcheck", "--timeout", "200ms", "--json"],
        config: { port },
      });
      silent.closeAllConnections();
      silent.close();
      expect(late.code).toBe(1);
      const reason = `http://127.0.0.1:${port} gave no answer in 200 ms. Look at the log of the gateway, or raise --timeout`;
      expect(JSON.parse(late.stdout)).toEqual({ ready: false, reasons: [reason] });
    });

    test("asks the port for operators if there is one, also with TLS", async () => {
      const directory = await mkdtemp(join(tmpdir(), "spillway-health-"));
      const { server } = createCertificates(directory);
      const config = { tls_cert_file: server.certFile, tls_key_file: server.keyFile };
      const gateway = await startGateway(target, { config: { ...config, admin_port: 0 } });
      const { properties } = await gateway.waitForLog(
        (line) => line.properties.event === "admin_listening",
      );
      const run = await ask({ ...config, port: CLOSED, admin_port: properties.port });
      expect(run).toMatchObject({ code: 0, stdout: "ready\n", stderr: "" });
      await gateway.stop();
      await rm(directory, { recursive: true });
    });
  });

  describe("spillway token", () => {
    test.each([
      ["RS256", generateKeyPairSync("rsa", { modulusLength: 2048 })],
      ["ES384", generateKeyPairSync("ec", { namedCurve: "P-384" })],
      ["EdDSA", generateKeyPairSync("ed25519")],
    ] as const)(
      "makes a token with %s, which it explains, and which the gateway takes",
      async (alg, pair) => {
        const directory = await mkdtemp(join(tmpdir(), "spillway-token-"));
        const keys = join(directory, "keys.pem");
        await writeFile(keys, pair.publicKey.export({ format: "pem", type: "spki" }));
        const issuers = [{ issuer: "me", audience: "you", keys_file: keys, algorithms: [alg] }];
        const file = join(directory, "spillway.json");
        await writeFile(file, JSON.stringify({ issuers }));
        const privateKey = pair.privateKey.export({ format: "pem", type: "pkcs8" }) as string;
        const made = pipe(["token", "make", "--config", file, "--sub", "ann"], privateKey);
        expect({ ...made, stdout: "" }).toEqual({ code: 0, stdout: "", stderr: "" });
        const explained = pipe(["token", "inspect", "--config", file, "--json"], made.stdout);
        expect(explained.code).toBe(0);
        expect(JSON.parse(explained.stdout)).toMatchObject({
          ...{ header: { alg }, accepted: true, sub: "ann", issuer: "me" },
        });
        const gateway = await startGateway(target, { config: { issuers } });
        await untilReady(gateway);
        const headers = { Authorization: `Bearer ${made.stdout.trim()}` };
        const events = await fetch(`${gateway.url}${gateway.path}/sse`, { headers });
        expect(events.status).toBe(200);
        await events.body?.cancel();
        await gateway.stop();
        await rm(directory, { recursive: true });
      },
    );
  });

  test("spillway schema arrives whole in a pipe, and print-config says sources", async () => {
    const schema = pipe(["schema"], "");
    expect(schema).toMatchObject({ code: 0, stderr: "" });
    expect(JSON.parse(schema.stdout)).toHaveProperty("properties.max_clients");
    const printed = await runToExit(target, {
      command: ["print-config", "--json"],
      env: { SPILLWAY_PORT: "9000" },
    });
    expect(printed).toMatchObject({ code: 0, stderr: "" });
    expect(JSON.parse(printed.stdout).port).toEqual({
      ...{ value: 9000, source: "environment", from: "SPILLWAY_PORT" },
    });
  });

  test("An unknown command ends with 1, and names the nearest one", async () => {
    const { code, stdout, stderr } = await runToExit(target, { command: ["helthcheck"] });
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toBe(
      '"helthcheck" is not a command; did you mean "healthcheck"?\nMore: spillway explain COMMAND_INVALID\n',
    );
  });
});

async function listen(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return (server.address() as AddressInfo).port;
}
