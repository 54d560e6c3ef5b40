import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";
import { signToken } from "../../src/access/sign-token.ts";
import { keySet, newKey, type SigningKey } from "../access/support/signing-keys.ts";
import { createCertificates } from "../source/credentials.ts";
import { until } from "../support/event-log.ts";
import { type Gateway, type LogLine, startGateway } from "../support/gateway-process.ts";
import { openRaw } from "../support/raw-websocket.ts";
import { V1Client } from "../support/v1-client.ts";
import { contract, EVERY_RUNTIME } from "./support/contract.ts";
import { subscribeV1 } from "./support/gateway-fixture.ts";

const TOKENS = ["ann", "bob"].map((name) => `${name}-0123456789abcdef0123456789abcdef`);
const [ANN = "", BOB = ""] = TOKENS;

const entryOf = (token: string, ...allow: string[]) => ({
  sha256: createHash("sha256").update(token).digest("hex"),
  sub: token.split("-")[0],
  authorization_details: [
    { type: "spillway", subjects: { allow }, actions: ["subscribe", "publish"] },
  ],
});

/** A reload of the configuration of a real process, by a signal, by an operator, and by a change of its file. */
contract(EVERY_RUNTIME, (target) => {
  describe("Reload", () => {
    let directory: string;
    let files = 0;
    beforeAll(async () => {
      directory = await mkdtemp(join(tmpdir(), "spillway-reload-"));
    });
    afterAll(async () => {
      await rm(directory, { recursive: true });
    });

    /** Starts a gateway with a file that can be written again. */
    async function start(config: object, on = target) {
      const path = join(directory, `${++files}.json`);
      const write = (now: object | string) =>
        writeFile(path, typeof now === "string" ? now : JSON.stringify({ admin_port: 0, ...now }));
      await write(config);
      const gateway = await startGateway(on, { args: ["--config", path] });
      return { gateway, write, ...(await operatorsOf(gateway)) };
    }

    async function operatorsOf(gateway: Gateway) {
      const line = await gateway.waitForLog(eventIs("admin_listening"));
      const ask = async (at: string, method = "GET") => {
        const url = `${line.properties.url}`.replace("localhost", "127.0.0.1");
        const response = await fetch(url + at, {
          method,
          tls: { rejectUnauthorized: false },
        } as never);
        return { status: response.status, text: await response.text() };
      };
      const reload = async () => {
        const { status, text } = await ask("/admin/reload", "POST");
        return { status, body: JSON.parse(text) as Record<string, unknown> };
      };
      /** The counters of reloads, by result. */
      const counts = async () => {
        const { text } = await ask("/metrics");
        const found = text.matchAll(/^spillway_config_reloads_total\{.*result="(\w+)"\} (\d+)$/gm);
        return Object.fromEntries([...found].map(([, result, count]) => [result, Number(count)]));
      };
      return { ask, reload, counts };
    }

    /** Sends SIGHUP, and returns the log line that says how that ended. */
    async function hangUp(gateway: Gateway): Promise<LogLine> {
      const ended = ({ properties: { event } }: LogLine) =>
        event === "config_reloaded" || event === "config_reload_failed";
      const before = gateway.logs.filter(ended).length;
      gateway.signal("SIGHUP");
      let seen = 0;
      return await gateway.waitForLog((line) => ended(line) && ++seen > before, "end of a reload");
    }

    const publish = async (gateway: Gateway, subject: string, payload: unknown, token?: string) => {
      const headers = token === undefined ? {} : { Authorization: `Bearer ${token}` };
      const body = JSON.stringify(payload);
      const url = `${gateway.url}/publish/${subject}`;
      const response = await fetch(url, { method: "POST", body, headers });
      await response.body?.cancel();
      return response.status;
    };

    const subjectsOf = (client: V1Client) => client.messages.map(({ subject }) => subject);

    test("takes new limits and another log level, and every connection stays", async () => {
      const { gateway, write, ask, reload, counts } = await start({ max_clients: 2 });
      const client = await subscribeV1(gateway);
      await client.subscribe("a", [">"]);
      await write({ max_clients: 1, log_level: "debug" });
      const line = await hangUp(gateway);
      expect(line.properties).toMatchObject({ event: "config_reloaded", changes: 2 });
      const changed = gateway.logs.filter(eventIs("config_changed"));
      expect(changed.map(({ properties }) => properties)).toMatchObject([
        { key: "max_clients", before: "2", after: "1" },
        { key: "log_level", before: '"info"', after: '"debug"' },
      ]);
      await expect(subscribeV1(gateway)).rejects.toThrow();
      // Only at debug has each refused client a line.
      await gateway.waitForLog(eventIs("handshake_refused"));
      expect(await publish(gateway, "x", 1)).toBe(202);
      expect(await client.next("data")).toMatchObject({ subject: "x" });

      await write({ max_clients: 3 });
      expect(await reload()).toEqual({
        status: 200,
        body: {
          changes: [
            { key: "max_clients", before: 1, after: 3 },
            { key: "log_level", before: "debug", after: "info" },
          ],
        },
      });
      const audit = await gateway.waitForLog(eventIs("operator_reloaded"));
      expect(audit.properties).toMatchObject({ audit: true, address: "127.0.0.1" });
      await (await subscribeV1(gateway)).subscribe("b", ["y"]);
      expect(JSON.parse((await ask("/admin/config")).text)).toMatchObject({ max_clients: 3 });
      expect(await reload()).toEqual({ status: 200, body: { changes: [] } });
      expect(await counts()).toEqual({ applied: 2, unchanged: 1, invalid: 0, restart_needed: 0 });
      expect(await gateway.stop()).toEqual({ code: 0, signal: null });
    });

    test("changes nothing if something is wrong, or needs a restart", async () => {
      const { gateway, write, ask, reload, counts } = await start({ max_clients: 2 });
      const client = await subscribeV1(gateway);
      await client.subscribe("a", [">"]);
      for (const [config, says, status] of [
        [{ max_clients: 0, log_level: "debug" }, '"max_clients" is 0 but must be', 422],
        ['{"max_clients": ', "JSON", 422],
        [{ max_clients: 1, tokens_file: join(directory, "none") }, '"tokens_file" is', 422],
        [{ max_clients: 1, path: "/other" }, '"path" is "/ws" and would be "/other"', 409],
        [{ max_clients: 1, anonymous: [{ subjects: { allow: [">"] } }] }, '"anonymous"', 409],
      ] as const) {
        await write(config);
        const { level, properties } = await hangUp(gateway);
        expect([level, properties.event]).toEqual(["ERROR", "config_reload_failed"]);
        expect(properties.reason).toContain(says);
        expect(await reload()).toMatchObject({
          status,
          body: { detail: expect.stringContaining(says) },
        });
      }
      const { text } = await ask("/admin/config");
      expect(JSON.parse(text)).toMatchObject({ max_clients: 2, log_level: "info", path: "/ws" });
      expect(await counts()).toEqual({ applied: 0, unchanged: 0, invalid: 6, restart_needed: 4 });
      expect(await publish(gateway, "x", 1)).toBe(202);
      expect(await client.next("data")).toMatchObject({ subject: "x" });
      await (await subscribeV1(gateway)).subscribe("b", ["y"]);
      expect(await gateway.stop()).toEqual({ code: 0, signal: null });
    });

    test("follows its file where that is a link of a link, as Kubernetes mounts it", async () => {
      const mount = join(directory, `mount-${++files}`);
      const put = async (version: string, config: object) => {
        await mkdir(join(mount, version), { recursive: true });
        await writeFile(join(mount, version, "spillway.json"), JSON.stringify(config));
        await symlink(version, join(mount, "..new"));
        await rename(join(mount, "..new"), join(mount, "..data"));
      };
      await put("..1", { watch_config: true, max_clients: 1 });
      const path = join(mount, "spillway.json");
      await symlink(join("..data", "spillway.json"), path);
      const gateway = await startGateway(target, { args: ["--config", path] });
      await put("..2", { watch_config: true, max_clients: 2 });
      const line = await gateway.waitForLog(eventIs("config_changed"));
      expect(line.properties).toMatchObject({ key: "max_clients", before: "1", after: "2" });
      await put("..3", { watch_config: true, max_clients: -1 });
      await gateway.waitForLog(eventIs("config_reload_failed"));
      await put("..4", { max_clients: 3 });
      await gateway.waitForLog(({ properties }) => properties.after === "3");
      expect(await gateway.stop()).toEqual({ code: 0, signal: null });
    });

    test("tells clients what they lose, and disconnects those that are known no more", async () => {
      const tokens_file = join(directory, `tokens-${++files}.json`);
      const give = (...entries: object[]) => writeFile(tokens_file, JSON.stringify(entries));
      await give(entryOf(ANN, "a.>", "b.>"), entryOf(BOB, "a.>"));
      const anonymous = [{ subjects: { allow: ["a.>", "b.>"] }, actions: ["subscribe"] }];
      const { gateway, write } = await start({ tokens_file, anonymous });
      const [ann, bob] = await Promise.all([openAs(gateway, ANN), openAs(gateway, BOB)]);
      const nobody = await openAs(gateway);
      for (const client of [ann, nobody]) {
        await client.subscribe("both", ["a.1", "b.1"]);
        await client.subscribe("b", ["b.>"]);
      }
      await bob.subscribe("a", ["a.1"]);

      await give(entryOf(ANN, "a.>"));
      const narrower = [{ subjects: { allow: ["a.>"] }, actions: ["subscribe"] }];
      await write({ tokens_file, anonymous: narrower });
      expect((await hangUp(gateway)).properties.event).toBe("config_reloaded");
      for (const client of [ann, nobody]) {
        expect(await client.next("unsubscribed")).toMatchObject({ sub: "b", reason: "forbidden" });
        await client.until(
          (said) => said.type === "subscribed" && `${said.subjects}` === "a.1",
          "what is left",
        );
      }
      expect(await bob.closed()).toMatchObject({ code: 4401 });
      expect(await publish(gateway, "b.1", 1, ANN)).toBe(403);
      expect(await publish(gateway, "a.1", 1, ANN)).toBe(202);
      for (const client of [ann, nobody]) {
        expect(await client.next("data")).toMatchObject({ subject: "a.1" });
      }
      await expect(openAs(gateway, BOB)).rejects.toThrow();
      expect(await gateway.stop()).toEqual({ code: 0, signal: null });
    });

    test("disconnects those whose issuer no longer has the key that proved their token, as if it had expired", async () => {
      const [one, two] = await Promise.all([newKey("one"), newKey("two")]);
      const keys_file = join(directory, `keys-${++files}.json`);
      await writeFile(keys_file, keySet(one, two));
      const issuerOf = (path: string) => [{ issuer: "i", audience: ["a"], keys_file: path }];
      const { gateway, write } = await start({ issuers: issuerOf(keys_file) });
      const openWith = async ({ privateJwk }: SigningKey) => {
        const iat = Math.floor(Date.now() / 1000);
        const [{ authorization_details }] = [entryOf(ANN, ">")];
        const claims = {
          iss: "i",
          aud: "a",
          sub: "ann",
          iat,
          exp: iat + 600,
          authorization_details,
        };
        const token = await signToken({ key: JSON.stringify(privateJwk), type: "at+jwt", claims });
        const client = await openAs(gateway, token);
        await client.subscribe("a", ["a"]);
        return { client, token };
      };
      const [left, stays] = [await openWith(one), await openWith(two)];
      const [gone] = [await openWith(one)];
      await writeFile(keys_file, keySet(two));
      expect((await hangUp(gateway)).properties.event).toBe("config_reloaded");
      for (const { client } of [left, gone]) {
        expect(await client.closed()).toMatchObject({ code: 4512 });
      }
      await expect(openAs(gateway, left.token)).rejects.toThrow("401");
      expect(await publish(gateway, "a", 1, stays.token)).toBe(202);
      expect(await stays.client.next("data")).toMatchObject({ subject: "a" });

      const other = join(directory, `keys-${++files}.json`);
      await writeFile(other, keySet(one));
      await write({ issuers: issuerOf(other) });
      expect((await hangUp(gateway)).properties.event).toBe("config_reloaded");
      expect(await stays.client.closed()).toMatchObject({ code: 4512 });
      await openAs(gateway, left.token);
      expect(await gateway.stop()).toEqual({ code: 0, signal: null });
    });

    test("takes away and adds subjects", async () => {
      const { gateway, write } = await start({ subjects: ["a.>", "b.>"] });
      const all = await subscribeV1(gateway);
      await all.subscribe("all", [">"]);
      await write({ subjects: ["a.>", "c.>"] });
      await hangUp(gateway);
      await all.until(
        (said) => said.type === "subscribed" && `${said.subjects}`.includes("c.>"),
        "the new subjects",
      );
      expect(await publish(gateway, "b.1", 1)).toBe(400);
      expect(await publish(gateway, "c.1", 1)).toBe(202);
      expect(await publish(gateway, "a.1", 1)).toBe(202);
      await all.until(({ subject }) => subject === "a.1", "a.1");
      expect(subjectsOf(all)).toEqual(["c.1", "a.1"]);
      all.send({ type: "subscribe", id: "b", subjects: ["b.1"] });
      expect(await all.next("error")).toMatchObject({ error: { code: "forbidden" } });
      expect(await gateway.stop()).toEqual({ code: 0, signal: null });
    });

    test("is one of all workers", async () => {
      // Deno may start programs only if it is told so.
      const command = () =>
        target.command().flatMap((word) => (word === "run" ? ["run", "--allow-run"] : [word]));
      const on = target.runtime === "deno" ? { ...target, command } : target;
      const { gateway, write, reload, ask } = await start({ workers: 2, max_clients: 4 }, on);
      const changed = async (after: string): Promise<void> => {
        for (const worker of [1, 2]) {
          await gateway.waitForLog(
            ({ properties }) => properties.worker === worker && properties.after === after,
            `a reload of worker ${worker}`,
          );
        }
      };
      await write({ workers: 2, max_clients: 6 });
      gateway.signal("SIGHUP");
      await changed("6");
      await write({ workers: 2, max_clients: 8 });
      expect((await reload()).body).toEqual({
        changes: [{ key: "max_clients", before: 6, after: 8 }],
      });
      await changed("8");
      await write({ workers: 3, max_clients: 8 });
      expect(await reload()).toMatchObject({
        status: 409,
        body: { detail: expect.stringContaining('"workers" is 2 and would be 3') },
      });

      // The file's new text has no effect, not even on a worker that starts.
      await write("{ broken");
      expect(await reload()).toMatchObject({ status: 422 });
      const { workers } = JSON.parse((await ask("/healthz")).text) as {
        workers: { worker: number; pid: number }[];
      };
      process.kill(workers.find(({ worker }) => worker === 2)!.pid, "SIGKILL");
      await gateway.waitForLog(eventIs("worker_replaced"));
      expect(gateway.logs.filter(eventIs("worker_ended"))).toHaveLength(1);
      const shown = JSON.parse((await ask("/admin/config")).text);
      expect(shown).toMatchObject({ workers: 2, max_clients: 8 });
      expect(await gateway.stop()).toEqual({ code: 0, signal: null });
    });

    test("is one of all workers, too, when the file changes", async () => {
      const command = () =>
        target.command().flatMap((word) => (word === "run" ? ["run", "--allow-run"] : [word]));
      const on = target.runtime === "deno" ? { ...target, command } : target;
      const config = { workers: 2, watch_config: true };
      const { gateway, write, ask } = await start({ ...config, max_clients: 4 }, on);
      const reloaded = async (event: string, times: number): Promise<LogLine[]> => {
        const lines = () => gateway.logs.filter(eventIs(event));
        return await until(
          `${times} lines ${event}`,
          async () => lines(),
          ({ length }) => length >= times,
        );
      };
      await write({ ...config, max_clients: 6 });
      const workers = (await reloaded("config_changed", 2)).map(
        ({ properties }) => properties.worker,
      );
      expect(workers.toSorted()).toEqual([1, 2]);
      // One worker refuses it for all.
      await write({ ...config, max_clients: 0 });
      await reloaded("config_reload_failed", 1);
      await write({ ...config, max_clients: 8 });
      await reloaded("config_changed", 4);
      expect(gateway.logs.filter(eventIs("config_reload_failed"))).toHaveLength(1);
      expect(JSON.parse((await ask("/admin/config")).text)).toMatchObject({ max_clients: 8 });
      expect(await gateway.stop()).toEqual({ code: 0, signal: null });
    });

    test("takes another file of operators", async () => {
      const operators = async (name: string, token: string): Promise<string> => {
        const path = join(directory, `${name}-${++files}.json`);
        const [{ sha256 }] = [entryOf(token)];
        await writeFile(path, JSON.stringify([{ sha256, sub: name, role: "operator" }]));
        return path;
      };
      const { gateway, write } = await start({ admin_tokens_file: await operators("one", ANN) });
      const { properties } = await gateway.waitForLog(eventIs("admin_listening"));
      const statusOf = async (token: string): Promise<number> => {
        const url = `${properties.url}/admin/config`.replace("localhost", "127.0.0.1");
        const response = await fetch(url, { headers: { Authorization: `Bearer ${token}` } });
        await response.body?.cancel();
        return response.status;
      };
      expect([await statusOf(ANN), await statusOf(BOB)]).toEqual([200, 401]);
      await write({ admin_tokens_file: await operators("two", BOB) });
      expect((await hangUp(gateway)).properties.event).toBe("config_reloaded");
      expect([await statusOf(ANN), await statusOf(BOB)]).toEqual([401, 200]);
      expect(await gateway.stop()).toEqual({ code: 0, signal: null });
    });

    test("shows another certificate to new clients, and open connections stay", async () => {
      const pki = ["old", "new"].map((name) => join(directory, `${name}-${++files}`));
      const [before, after] = await Promise.all(
        pki.map(async (at) => {
          await mkdir(at);
          const { ca, server } = createCertificates(at);
          return { ca: ca.cert, tls_cert_file: server.certFile, tls_key_file: server.keyFile };
        }),
      );
      const configOf = ({ tls_cert_file, tls_key_file }: NonNullable<typeof before>) => ({
        tls_cert_file,
        tls_key_file,
      });
      const { gateway, write } = await start(configOf(before!));
      const isShown = (ca: string, more: { maxVersion?: "TLSv1.2" } = {}): Promise<boolean> =>
        new Promise((resolve) => {
          const options = { host: "127.0.0.1", port: gateway.port, ca, ...more };
          const socket = connectTls(options, () => {
            resolve(socket.authorized);
            socket.destroy();
          });
          socket.on("error", () => resolve(false));
        });
      const client = await openTls(gateway, before!.ca);
      expect(await isShown(before!.ca)).toBe(true);
      await write({ ...configOf(before!), tls_key_file: after!.tls_key_file });
      expect((await hangUp(gateway)).properties.reason).toContain('"tls_key_file"');
      expect(await isShown(before!.ca)).toBe(true);
      await write(configOf(after!));
      expect((await hangUp(gateway)).properties.event).toBe("config_reloaded");
      // Deno replaces its server, which takes a moment.
      while (!(await isShown(after!.ca)));
      expect(await isShown(before!.ca)).toBe(false);
      expect(await isShown(after!.ca, { maxVersion: "TLSv1.2" })).toBe(true);
      await write({ ...configOf(after!), tls_min_version: "1.3" });
      expect((await hangUp(gateway)).properties.event).toBe("config_reloaded");
      while (!(await isShown(after!.ca)));
      expect(await isShown(after!.ca, { maxVersion: "TLSv1.2" })).toBe(false);
      client.send("hello");
      expect(client.readyState).toBe(WebSocket.OPEN);
      client.close();
      await write({});
      expect((await hangUp(gateway)).properties.reason).toContain("turns TLS on or off");
      expect(await gateway.stop()).toEqual({ code: 0, signal: null });
    });

    async function openAs(gateway: Gateway, token?: string): Promise<V1Client> {
      const headers = {
        "Sec-WebSocket-Protocol": "spillway.v1.json",
        ...(token !== undefined && { Authorization: `Bearer ${token}` }),
      };
      return new V1Client(await openRaw(gateway.wsUrl, { headers }));
    }
  });
});

const eventIs =
  (event: string) =>
  ({ properties }: LogLine): boolean =>
    properties.event === event;

/** Opens a plain client that trusts an authority. */
function openTls(gateway: Gateway, ca: string): Promise<WebSocket> {
  return new Promise((resolve, reject) => {
    const client = new WebSocket(gateway.wsUrl.replace("ws:", "wss:"), { tls: { ca } } as never);
    client.onopen = () => resolve(client);
    client.onerror = () => reject(new Error("It didn't connect"));
  });
}
