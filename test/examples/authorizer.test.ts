/** The examples of services that decide who clients are, behind a real NATS. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, type NatsConnection } from "nats";
import { locateGo } from "../../scripts/install-nats-server.ts";
import { untilReady } from "../contract/support/gateway-fixture.ts";
import { type RunningProcess, startProcess } from "../support/child-process.ts";
import { cleanEnvironment, type Gateway, startGateway } from "../support/gateway-process.ts";
import { type NatsServer, startNatsServer } from "../support/nats-server.ts";
import { ensureNode } from "../support/node-binary.ts";
import { requestUpgrade } from "../support/raw-handshake.ts";
import { ROOT, TARGETS } from "../support/runtimes.ts";
import { openV1 } from "../support/v1-client.ts";

setDefaultTimeout(180_000);

const directory = mkdtempSync(join(tmpdir(), "spillway-authorizer-"));
afterAll(() => rmSync(directory, { recursive: true }));

/** What starts each service; `undefined` where that can't be. */
const SERVICES: Readonly<Record<string, readonly string[] | undefined>> = {
  JavaScript: [ensureNode("node"), `${ROOT}examples/authorizer.js`],
  Go: builtWithGo(),
};

describe.each(Object.keys(SERVICES))("The example of an authorizer in %s", (language) => {
  const command = SERVICES[language];
  let server: NatsServer;
  let nats: NatsConnection;
  let service: RunningProcess;
  let gateway: Gateway;
  beforeAll(async () => {
    if (command === undefined) return;
    server = await startNatsServer();
    nats = await connect({ servers: server.url });
    const env = { ...cleanEnvironment(), NATS_URL: server.url };
    service = await startProcess(`authorizer in ${language}`, command, { env });
    await service.lines.find(({ text }) => text.includes("Listening"), "Listening");
    const config = { nats_url: server.url, authorizer_subject: "_AUTH.gateway" };
    gateway = await startGateway(TARGETS.bun, { config });
    await untilReady(gateway);
  });
  afterAll(async () => {
    if (command === undefined) return;
    expect(await gateway.stop()).toEqual({ code: 0, signal: null });
    await service.stop();
    await nats.close();
    await server.stop();
  });

  test.skipIf(command === undefined)("lets a user in to their own subjects", async () => {
    nats.publish("_AUTH.gateway", "not JSON");
    await nats.flush();
    const client = await openV1(gateway.wsUrl, { Authorization: "Bearer token-of-ann" });
    await client.subscribe("own", ["orders.ann.>"]);
    nats.publish("orders.ann.1", "1");
    expect(await client.next("data")).toMatchObject({ subject: "orders.ann.1", payload: 1 });
    client.send({ type: "subscribe", id: "others", subjects: ["orders.bob.>"] });
    expect(await client.next("error")).toMatchObject({ error: { code: "forbidden" } });
    client.raw.destroy();
  });

  test.skipIf(command === undefined)("refuses a token that it doesn't know", async () => {
    const headers = { Authorization: "Bearer token-of-nobody" };
    expect((await requestUpgrade(gateway.wsUrl, { headers })).status).toBe(401);
  });
});

function builtWithGo(): readonly string[] | undefined {
  const go = locateGo();
  const cwd = `${ROOT}examples/authorizer-go`;
  const skipped = (reason: string): undefined => {
    process.stderr.write(`Skipped: the example of an authorizer in Go, as ${reason}\n`);
  };
  if (go === undefined) return skipped("Go is not there");
  const downloaded = spawnSync(go, ["mod", "download"], { cwd, encoding: "utf8" });
  if (downloaded.status !== 0) return skipped(`its modules are not: ${downloaded.stderr.trim()}`);
  const program = join(directory, "authorizer");
  const built = spawnSync(go, ["build", "-o", program, "."], { cwd, encoding: "utf8" });
  if (built.status !== 0) throw new Error(`go build: ${built.stderr}`);
  return [program];
}
