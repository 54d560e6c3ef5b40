import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect as connectTcp } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";
import type { Subscription } from "nats";
import { createCertificates, createSelfSigned } from "../source/credentials.ts";
import { EventLog, until } from "../support/event-log.ts";
import { type Gateway, runToExit, startGateway } from "../support/gateway-process.ts";
import { openRaw } from "../support/raw-websocket.ts";
import { V1Client } from "../support/v1-client.ts";
import { contract, EVERY_RUNTIME } from "./support/contract.ts";
import { untilReady } from "./support/gateway-fixture.ts";
import { useNatsServer } from "./support/nats-server-fixture.ts";

const AUTHORIZER = "_AUTH.admin";
const VIEWER = "viewer-0123456789abcdef0123456789abcdef";
const OPERATOR = "operator-0123456789abcdef0123456789abcdef";
const OPERATORS_PAGES = ["/healthz", "/metrics", "/schema.json", "/asyncapi.json", "/"];

const hashOf = (token: string): string => createHash("sha256").update(token).digest("hex");
const bearer = (token: string) => ({ Authorization: `Bearer ${token}` });

async function openAs(gateway: Gateway, token: string): Promise<V1Client> {
  const headers = { "Sec-WebSocket-Protocol": "spillway.v1.json", ...bearer(token) };
  return new V1Client(await openRaw(gateway.wsUrl, { headers }));
}

contract(EVERY_RUNTIME, (target) => {
  let directory: string;
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), "spillway-tls-"));
  });
  afterAll(async () => {
    await rm(directory, { recursive: true });
  });
  const write = async (name: string, text: string): Promise<string> => {
    const path = join(directory, name);
    await writeFile(path, text);
    return path;
  };

  describe("The listener for operators", () => {
    const nats = useNatsServer({});
    let service: Subscription;

    beforeAll(() => {
      service = nats.connection.subscribe(AUTHORIZER, {
        callback: (_, msg) => {
          const { credentials } = msg.json<{ credentials: { token?: string } }>();
          const [, sub] = credentials.token?.split("-") ?? [];
          const details = [{ type: "spillway", subjects: { allow: [">"] } }];
          const claims = { sub, jti: credentials.token, authorization_details: details };
          msg.respond(JSON.stringify(sub === undefined ? { refused: "unknown" } : claims));
        },
      });
    });
    afterAll(() => service.unsubscribe());

    /** Starts a gateway whose clients need a token, with a listener for operators. */
    async function startBoth(more: Readonly<Record<string, unknown>> = {}) {
      const config = {
        ...{ nats_url: nats.server.url, authorizer_subject: AUTHORIZER, admin_port: 0 },
        ...more,
      };
      const gateway = await startGateway(target, { config });
      const line = await gateway.waitForLog(
        ({ properties }) => properties.event === "admin_listening",
      );
      const url = `http://127.0.0.1:${line.properties.port}`;
      await untilReady(gateway);
      return { gateway, ask: (path: string, init?: RequestInit) => fetch(url + path, init) };
    }

    async function expectClean(gateway: Gateway): Promise<void> {
      expect(await gateway.stop()).toEqual({ code: 0, signal: null });
    }

    const revoke = (body: object, headers: Record<string, string> = {}): RequestInit => ({
      method: "POST",
      headers,
      body: JSON.stringify(body),
    });

    test("has the pages that clients don't get, and revokes tokens", async () => {
      const { gateway, ask } = await startBoth();
      for (const path of OPERATORS_PAGES) {
        expect([path, (await gateway.get(path)).status]).toEqual([path, 403]);
        const answer = await ask(path);
        expect([path, answer.status]).toEqual([path, 200]);
        await answer.body?.cancel();
      }
      expect((await gateway.get("/livez")).status).toBe(200);
      expect((await ask("/ws")).status).toBe(404);
      expect((await fetch(`${gateway.url}/admin/revoke`, revoke({ sub: "ann" }))).status).toBe(404);

      const client = await openAs(gateway, "t-ann");
      const other = await openAs(gateway, "t-bob");
      expect((await ask("/admin/revoke", revoke({ sub: "ann" }))).status).toBe(204);
      expect(await client.closed()).toMatchObject({ code: 4401 });
      expect(await other.subscribe("a", [">"])).toMatchObject({ id: "a" });
      other.raw.destroy();
      await expectClean(gateway);
      expect(gateway.logs.map(({ properties }) => properties)).toContainEqual(
        expect.objectContaining({ event: "operator_revoked", audit: true, sub: "ann" }),
      );
    });

    test("is where tokens are revoked, and the audit log tells what clients and operators did", async () => {
      const { gateway, ask } = await startBoth({ max_clients_per_address: 2 });
      const recorded = async (event: string, properties: object): Promise<void> => {
        const line = await gateway.waitForLog((one) => one.properties.event === event, event);
        expect(line.properties).toMatchObject({ audit: true, address: "127.0.0.1", ...properties });
      };
      const ann = { sub: "ann", issuer: AUTHORIZER, jti: "t-ann" };
      const client = await openAs(gateway, "t-ann");
      await recorded("client_connected", { ...ann, dialect: "v1" });
      client.send({ type: "subscribe", id: "s", subjects: ["$SYS.x"] });
      await recorded("client_denied", { ...ann, action: "subscribe" });
      client.send({ type: "publish", id: "p", subject: "a.b", payload: 1 });
      await recorded("publish_denied", { ...ann, action: "publish" });
      for (const [event, action, path, method] of [
        ["publish_denied", "publish", "/publish/a.b", "POST"],
        ["client_denied", "subscribe", "/ws/sse?subjects=$SYS.x", "GET"],
      ] as const) {
        const denied = await fetch(gateway.url + path, { method, headers: bearer("t-ann") });
        expect([denied.status, await denied.text()]).toEqual([403, expect.any(String)]);
        const line = await gateway.waitForLog(
          ({ properties }) => properties.event === event && properties.client === undefined,
          event,
        );
        expect(line.properties).toMatchObject({ ...ann, address: "127.0.0.1", action });
      }
      client.send({ type: "auth", id: "a", token: "t-ann" });
      await recorded("client_authenticated", ann);
      const anonymous = await gateway.get("/ws/sse");
      expect([anonymous.status, await anonymous.text()]).toEqual([401, expect.any(String)]);
      await recorded("client_refused", { kind: "unauthenticated", method: "GET", path: "/ws/sse" });
      const second = await openAs(gateway, "t-bob");
      // Bun's `rejects` runs the event loop inside of itself, and may then miss output of the gateway.
      const third = await openAs(gateway, "t-eve").catch((error: Error) => error.message);
      expect(third).toContain("429");
      await recorded("client_limited", { limit: "address" });
      expect((await ask("/admin/revoke", revoke({ sub: "ann" }))).status).toBe(204);
      await recorded("operator_revoked", { operator: "", sub: "ann" });
      await recorded("client_revoked", ann);
      second.raw.destroy();
      await expectClean(gateway);
    });

    test("knows operators by their tokens, and reads the file again", async () => {
      const viewer = { sha256: hashOf(VIEWER), sub: "vera", role: "viewer" };
      const operator = { sha256: hashOf(OPERATOR), sub: "otto", role: "operator" };
      const path = await write("operators.json", JSON.stringify([viewer]));
      const { gateway, ask } = await startBoth({ admin_host: "0.0.0.0", admin_tokens_file: path });
      const statusOf = async (...given: Parameters<typeof ask>) => {
        const answer = await ask(...given);
        await answer.body?.cancel();
        return answer.status;
      };
      for (const page of OPERATORS_PAGES) {
        expect([page, await statusOf(page)]).toEqual([page, 401]);
        expect([page, await statusOf(page, { headers: bearer(VIEWER) })]).toEqual([page, 200]);
      }
      expect(await statusOf("/admin/revoke", revoke({ sub: "x" }, bearer(VIEWER)))).toBe(403);
      expect(await statusOf("/admin/revoke", revoke({ sub: "x" }, bearer(OPERATOR)))).toBe(401);
      await write("operators.json", JSON.stringify([viewer, operator]));
      await until(
        "the operator is known",
        () => statusOf("/admin/revoke", revoke({ sub: "x" }, bearer(OPERATOR))),
        (status) => status === 204,
      );
      await expectClean(gateway);
      expect(JSON.stringify(gateway.logs)).not.toContain(VIEWER);
      expect(JSON.stringify(gateway.logs)).not.toContain(OPERATOR);
    });

    test("is said to be missing where clients need a token", async () => {
      const config = { nats_url: nats.server.url, authorizer_subject: AUTHORIZER };
      const gateway = await startGateway(target, { config });
      const line = await gateway.waitForLog(({ properties }) => properties.event === "admin_off");
      expect(line.message).toContain("set admin_port");
      await expectClean(gateway);
    });

    test("is refused where it would be open, and with a file that can't be used", async () => {
      const open = { admin_port: 0, admin_host: "0.0.0.0" };
      const broken = { ...open, admin_tokens_file: await write("broken.json", "[{}]") };
      const missing = { ...open, admin_tokens_file: join(directory, "none.json") };
      for (const [config, says] of [
        [open, '"admin_host" is "0.0.0.0" but must be a loopback address'],
        [broken, '"admin_tokens_file" is "'],
        [missing, "which can't be read"],
      ] as const) {
        const { code, stdout, stderr } = await runToExit(target, { config });
        expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
        expect(stderr).toContain(says);
      }
    });
  });

  describe("TLS", () => {
    let pki: ReturnType<typeof createCertificates>;
    let other: ReturnType<typeof createCertificates>;
    beforeAll(async () => {
      pki = createCertificates(directory);
      other = createCertificates(await mkdtemp(join(directory, "other-")));
    });

    interface Shown {
      readonly ca: string;
      readonly cert?: string;
      readonly key?: string;
    }

    /** A WebSocket over TLS, with the texts that it gets. */
    async function open(
      gateway: Gateway,
      tls: Shown,
    ): Promise<EventLog<string> & { close(): void }> {
      const socket = new WebSocket(`wss://127.0.0.1:${gateway.port}/ws`, { tls } as never);
      const texts = new EventLog<string>("client over TLS");
      socket.onmessage = ({ data }) => texts.add(String(data));
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      socket.onopen = () => resolve();
      socket.onclose = ({ code }) => {
        texts.end(`closed with ${code}`);
        reject(new Error(`closed with ${code}`));
      };
      await promise;
      return Object.assign(texts, { close: () => socket.close() });
    }

    const ask = (gateway: Gateway, path: string, tls: Shown, init: RequestInit = {}) =>
      fetch(`https://127.0.0.1:${gateway.port}${path}`, {
        ...init,
        ...({ tls, keepalive: false } as object),
      });
    const publish = async (gateway: Gateway, body: string, tls: Shown) =>
      (await ask(gateway, "/publish/a", tls, { method: "POST", body })).status;
    /** The common name of the certificate that new connections get. */
    const shownTo = (gateway: Gateway, ca: string): Promise<string> =>
      new Promise((resolve) => {
        const socket = connectTls({ host: "127.0.0.1", port: gateway.port, ca }, () => {
          resolve(String(socket.getPeerCertificate().issuer.CN) + socket.authorized);
          socket.destroy();
        });
        socket.on("error", ({ message }) => resolve(message));
      });

    test("Streams and pages are served on both listeners, and a renewed certificate drops nobody", async () => {
      const tls_cert_file = await write("cert.pem", pki.server.cert);
      const tls_key_file = await write("key.pem", pki.server.key);
      const config = { tls_cert_file, tls_key_file, admin_port: 0 };
      const gateway = await startGateway(target, { config });
      const { properties } = gateway.logs.find((line) => line.properties.event === "listening")!;
      expect(properties.stream).toBe(`wss://localhost:${gateway.port}/ws`);
      const admin = gateway.logs.find((line) => line.properties.event === "admin_listening")!;
      expect(admin.properties.url).toBe(`https://localhost:${admin.properties.port}`);
      const old = { ca: pki.ca.cert };
      const metrics = await fetch(`https://127.0.0.1:${admin.properties.port}/metrics`, {
        tls: old,
      } as never);
      expect(metrics.status).toBe(200);
      await metrics.body?.cancel();
      await expect(gateway.get("/livez")).rejects.toThrow();

      const client = await open(gateway, old);
      const events = await ask(gateway, "/ws/sse", old);
      const reader = events.body!.pipeThrough(new TextDecoderStream()).getReader();
      expect(await publish(gateway, "1", old)).toBe(202);
      expect(await client.next("message")).toContain('"payload":1');

      await write("key.pem", "no key");
      await gateway.waitForLog((line) => line.properties.event === "file_reload_failed");
      expect(await shownTo(gateway, pki.ca.cert)).toBe("catrue");
      await write("cert.pem", other.server.cert);
      await write("key.pem", other.server.key);
      await gateway.waitForLog((line) => line.properties.event === "file_reloaded");
      const renewed = { ca: other.ca.cert };
      await until(
        "the new certificate",
        () => shownTo(gateway, other.ca.cert),
        (shown) => shown === "catrue",
      );
      const late = await open(gateway, renewed);
      expect(await publish(gateway, "2", renewed)).toBe(202);
      expect(await client.next("message")).toContain('"payload":2');
      expect(await late.next("message")).toContain('"payload":2');
      let text = "";
      while (!text.includes('"payload":2')) text += (await reader.read()).value;
      expect(text).toContain('"payload":1');
      await reader.cancel();
      client.close();
      late.close();
      expect(await gateway.stop()).toEqual({ code: 0, signal: null });
    });

    test("Clients without a certificate of the authority get nothing", async () => {
      const config = {
        tls_cert_file: pki.server.certFile,
        tls_key_file: pki.server.keyFile,
        tls_client_ca_files: [pki.ca.certFile],
        tls_min_version: "1.3",
        ...(target.runtime !== "bun" && { tls_client_names: ["client"] }),
      };
      const gateway = await startGateway(target, { config });
      const { ca, client } = pki;
      const known = { ca: ca.cert, cert: client.cert, key: client.key };
      const socket = await open(gateway, known);
      expect(await publish(gateway, "1", known)).toBe(202);
      expect(await socket.next("message")).toContain('"payload":1');
      socket.close();
      const strange = { ca: ca.cert, cert: other.client.cert, key: other.client.key };
      const refusals = () =>
        gateway.logs.filter(({ properties }) => properties.event === "client_refused");
      for (const [shown, reason] of [
        [{ ca: ca.cert }, "it has shown no certificate"],
        [strange, "its certificate isn't accepted"],
      ] as const) {
        await expect(ask(gateway, "/livez", shown)).rejects.toThrow();
        await expect(open(gateway, shown)).rejects.toThrow();
        if (target.runtime === "bun") continue;
        const line = await gateway.waitForLog(({ properties }) =>
          String(properties.reason).startsWith(reason),
        );
        const facts = { event: "client_refused", audit: true, kind: "unauthenticated" };
        expect(line.properties).toMatchObject({ ...facts, address: "127.0.0.1" });
      }
      // Connections that never show what they want are no refusals.
      await new Promise<void>((resolve) => {
        const socket = connectTcp({ host: "127.0.0.1", port: gateway.port }, () =>
          socket.end("GET / HTTP/1.1\r\n\r\n"),
        );
        socket.on("error", () => {});
        socket.on("close", () => resolve());
        socket.resume();
      });
      expect(await gateway.stop()).toEqual({ code: 0, signal: null });
      expect(refusals().length).toBe(target.runtime === "bun" ? 0 : 4);
    });

    test.skipIf(target.runtime === "bun")(
      "Clients need one of the names, if there are names",
      async () => {
        const config = {
          tls_cert_file: pki.server.certFile,
          tls_key_file: pki.server.keyFile,
          tls_client_ca_files: [pki.ca.certFile],
          tls_client_names: ["somebody.else"],
        };
        const gateway = await startGateway(target, { config });
        const { ca, client } = pki;
        const known = { ca: ca.cert, cert: client.cert, key: client.key };
        await expect(ask(gateway, "/livez", known)).rejects.toThrow();
        await expect(open(gateway, known)).rejects.toThrow();
        const line = await gateway.waitForLog(
          ({ properties }) => properties.event === "client_refused",
        );
        expect(line.properties).toMatchObject({ audit: true, names: "client" });
        expect(await gateway.stop()).toEqual({ code: 0, signal: null });
      },
    );

    test("What can't be kept is an error at the start", async () => {
      const files = { tls_cert_file: pki.server.certFile, tls_key_file: pki.server.keyFile };
      const weak = createSelfSigned(
        directory,
        "weak",
        target.runtime === "bun" ? "ec:secp224r1" : "rsa:512",
      );
      const wrong: [object, string][] = [
        [
          { tls_cert_file: weak.certFile, tls_key_file: weak.keyFile },
          "must name a file that this runtime's TLS accepts, and it says: ",
        ],
        [{ ...files, tls_key_file: pki.client.keyFile }, '"tls_key_file"'],
        [{ ...files, tls_cert_file: pki.server.keyFile }, '"tls_cert_file"'],
        [{ ...files, tls_client_ca_files: [pki.ca.keyFile] }, '"tls_client_ca_files"'],
        [{ ...files, tls_key_file: join(directory, "none") }, "can be read"],
      ];
      if (target.runtime !== "node") wrong.push([{ ...files, sockets: "native" }, '"sockets"']);
      if (target.runtime === "bun") {
        const names = { tls_client_ca_files: [pki.ca.certFile], tls_client_names: ["client"] };
        wrong.push([{ ...files, ...names }, '"tls_client_names" must not be set on Bun']);
      }
      for (const [config, says] of wrong) {
        const { code, stdout, stderr } = await runToExit(target, { config: { ...config } });
        expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
        expect(stderr).toContain(says);
      }
    });
  });
});
