/** The configuration of a gateway on the internet that the README shows. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createCertificates } from "../source/credentials.ts";
import { type Gateway, startGateway } from "../support/gateway-process.ts";
import { type NatsServer, startNatsServer } from "../support/nats-server.ts";
import { ROOT, TARGETS } from "../support/runtimes.ts";

setDefaultTimeout(180_000);

describe.each(["bun", "deno", "node"] as const)("deploy/public.json on %s", (name) => {
  let directory: string;
  let ca: string;
  let server: NatsServer;
  let gateway: Gateway;
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), "spillway-public-"));
    const pki = createCertificates(directory);
    ca = pki.ca.cert;
    server = await startNatsServer();
    const shown = JSON.parse(await readFile(`${ROOT}deploy/public.json`, "utf8"));
    const files = { tls_cert_file: pki.server.certFile, tls_key_file: pki.server.keyFile };
    const here = { host: "127.0.0.1", port: 0, admin_port: 0, nats_url: server.url };
    // Nothing is asked beyond this machine.
    const jwks_url = "http://127.0.0.1:9/jwks.json";
    const issuers = shown.issuers.map((issuer: object) => ({ ...issuer, jwks_url }));
    gateway = await startGateway(TARGETS[name], {
      config: { ...shown, ...files, ...here, issuers },
    });
  });
  afterAll(async () => {
    expect(await gateway.stop()).toEqual({ code: 0, signal: null });
    await server.stop();
    await rm(directory, { recursive: true });
  });

  const statusOf = async (path: string, headers: Readonly<Record<string, string>> = {}) => {
    const url = `https://127.0.0.1:${gateway.port}${path}`;
    const answer = await fetch(url, { headers, tls: { ca }, keepalive: false } as RequestInit);
    await answer.body?.cancel();
    return answer.status;
  };

  test("serves nobody without a token, and operators' pages only at the other port", async () => {
    expect(await statusOf("/livez")).toBe(200);
    expect(await statusOf("/ws/sse")).toBe(401);
    expect(await statusOf("/ws/sse", { Origin: "https://app.example.com" })).toBe(401);
    expect(await statusOf("/ws/sse", { Origin: "https://other.example" })).toBe(403);
    expect(await statusOf("/metrics")).toBe(403);
    const listens = gateway.logs.find(({ properties }) => properties.event === "admin_listening");
    const url = `https://127.0.0.1:${listens?.properties.port}/metrics`;
    const metrics = await fetch(url, { tls: { ca } } as RequestInit);
    expect([metrics.status, await metrics.text()]).toEqual([
      200,
      expect.stringContaining("websocket_"),
    ]);
    await expect(gateway.get("/livez")).rejects.toThrow();
  });
});
